"""Which path leads where, and what is refused before anyone there is asked."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress

from turnout.gateway.asgi import JSON_TYPE, ClientLeft, Handler, Receive, Scope, Send, send_whole
from turnout.gateway.browsers import BrowserGuard
from turnout.gateway.endpoints.models import speaks_anthropic
from turnout.gateway.errors import RequestError, internal_error
from turnout.gateway.protocols.error_shapes import anthropic_body, openai_body
from turnout.gateway.protocols.spoken import PROTOCOLS
from turnout.gateway.steps.access import Access

_PROTOCOL_OF = {protocol.path: protocol for protocol in PROTOCOLS}

_logger = logging.getLogger(__name__)


class Paths:
    """A table of paths: who answers at each, and to which method."""

    def __init__(self) -> None:
        self._at: dict[str, tuple[str, Handler]] = {}
        self._below: list[tuple[str, tuple[str, Handler]]] = []

    def add(self, method: str, path: str, handler: Handler) -> None:
        """Answer there; a path that ends in `/` stands for whatever begins with it."""
        if path.endswith("/"):
            self._below.append((path, (method, handler)))
        else:
            self._at[path] = (method, handler)

    def find(self, path: str) -> tuple[str, Handler] | None:
        """Method and handler; None if there is nothing."""
        known = self._at.get(path)
        if known is not None:
            return known
        return next((found for beginning, found in self._below if path.startswith(beginning)), None)

    def written_out(self) -> set[str]:
        """All that are no mere beginnings."""
        return set(self._at)


class Dispatcher:
    """Gives each request to the handler of its path, and tells the client what went wrong, as its protocol has it."""

    def __init__(self, guard: Callable[[], BrowserGuard], metrics_guard: BrowserGuard, access: Access) -> None:
        """
        Args:
            guard: the guard of the moment.
            metrics_guard: the one at the port for metrics.
            access: whether clients need keys; then no page can have a browser send one.
        """
        self._guard = guard
        self._metrics_guard = metrics_guard
        self._access = access
        self.paths = Paths()
        self.at_metrics_port = Paths()
        self.metrics_port: int | None = None
        """See `Gateway.metrics_port`."""
        self.under_way = 0
        """Requests that have not ended."""

    def is_operators(self, scope: Scope) -> bool:
        """Whether a request came where only the operator comes."""
        return self._came_to_metrics_port(scope) or self._guard().is_asked_on_this_machine(scope)

    def _came_to_metrics_port(self, scope: Scope) -> bool:
        return self.metrics_port is not None and (scope.get("server") or (None, None))[1] == self.metrics_port

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        path: str = scope["path"]
        if root := scope.get("root_path", ""):
            path = path.removeprefix(root)
        method: str = scope["method"]
        paths, guard = self.paths, self._guard()
        if self._came_to_metrics_port(scope):
            paths, guard = self.at_metrics_port, self._metrics_guard
        known = paths.find(path)
        try:
            guard.check_host(scope)
            if known is None:
                raise RequestError(404, f"There is no {path[:200]} here.", code="not_found")
            allowed, handler = known
            if method != allowed and not (method == "HEAD" and allowed == "GET"):
                raise RequestError(
                    405,
                    f"{path[:200]} takes {allowed}, not {method[:20]}.",
                    code="method_not_allowed",
                    headers=((b"allow", allowed.encode()),),
                )
            if method == "POST" and not self._access.asks_for_keys:
                guard.check_page(scope)
            self.under_way += 1
            try:
                await handler(scope, receive, send)
            finally:
                self.under_way -= 1
        except RequestError as error:
            await send_whole(send, error.status, (JSON_TYPE, *error.headers), _error_body(error, path, scope))
        except ClientLeft:
            pass
        except Exception:
            _logger.exception("%s %r: the gateway failed", method, path[:200])
            failure = internal_error()
            body = _error_body(failure, path, scope)
            with suppress(RuntimeError):  # what has begun cannot begin anew
                await send_whole(send, failure.status, (JSON_TYPE,), body)


def _error_body(error: RequestError, path: str, scope: Scope) -> bytes:
    """An error in the form of the path's protocol, or, where several share the path, of the client's."""
    if protocol := _PROTOCOL_OF.get(path):
        return protocol.error_body(error)
    return anthropic_body(error) if speaks_anthropic(scope) else openai_body(error)
