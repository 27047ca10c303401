"""The gateway as an ASGI application, built by a function: `build_app(config)`.

Run it with any ASGI server, or mount it inside another application: it starts itself with the server's lifespan,
or with its first request where no lifespan reaches it. Then await `shutdown()` at the end.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import orjson

from turnout._version import __version__
from turnout.chat_client import ConnectionPool
from turnout.config import Config, ServerConfig
from turnout.gateway.asgi import (
    JSON_TYPE,
    ClientLeft,
    Handler,
    Receive,
    Scope,
    Send,
    send_whole,
)
from turnout.gateway.browsers import BrowserGuard
from turnout.gateway.choosing.chooser import Chooser
from turnout.gateway.choosing.routes import Routes, load_routes
from turnout.gateway.choosing.sessions import Sessions
from turnout.gateway.choosing.stored_responses import StoredResponses
from turnout.gateway.counters import Counters
from turnout.gateway.endpoints.feedback import FeedbackEndpoint
from turnout.gateway.endpoints.metrics import MetricsEndpoint
from turnout.gateway.endpoints.models import MODELS_PATH, ModelList, speaks_anthropic
from turnout.gateway.endpoints.openapi import DESCRIPTION
from turnout.gateway.errors import RequestError, internal_error
from turnout.gateway.generation import Generation, needing_restart, reloadable
from turnout.gateway.ledger.calls import LedgerCalls
from turnout.gateway.ledger.place import open_database
from turnout.gateway.ledger.writing import Ledger
from turnout.gateway.metrics import Registry
from turnout.gateway.observing.metrics_of_workers import FOLDER_VARIABLE, MetricsOfWorkers
from turnout.gateway.observing.request_log import RequestLog
from turnout.gateway.observing.request_metrics import RequestMetrics, watch_gateway
from turnout.gateway.observing.tracing import Tracing
from turnout.gateway.observing.upstream_metrics import watch_upstreams
from turnout.gateway.protocols.anthropic_messages import ANTHROPIC_MESSAGES, ANTHROPIC_TOKEN_COUNT
from turnout.gateway.protocols.base import ClientProtocol
from turnout.gateway.protocols.decision_only import DECISION_ONLY
from turnout.gateway.protocols.error_shapes import anthropic_body, openai_body
from turnout.gateway.protocols.openai_chat import OPENAI_CHAT
from turnout.gateway.protocols.openai_embeddings import OPENAI_EMBEDDINGS
from turnout.gateway.protocols.openai_responses import OPENAI_RESPONSES
from turnout.gateway.steps.access import Access, OpenAccess
from turnout.gateway.steps.calling import PersistentUpstream, Upstream
from turnout.gateway.steps.keyed_access import KeyedAccess
from turnout.gateway.steps.pipeline import Pipeline
from turnout.gateway.steps.recording import LedgerRecorder, Recorder, ResponseRecorder, SessionRecorder, SideCounter
from turnout.routers.base import Router

PROTOCOLS: tuple[ClientProtocol, ...] = (
    OPENAI_CHAT,
    OPENAI_RESPONSES,
    OPENAI_EMBEDDINGS,
    ANTHROPIC_MESSAGES,
    ANTHROPIC_TOKEN_COUNT,
)
"""What clients may speak, each at its own path."""

_PROTOCOL_OF = {protocol.path: protocol for protocol in PROTOCOLS}

_logger = logging.getLogger(__name__)


def build_app(
    config: Config,
    *,
    routers: Mapping[str, Router] | None = None,
    environment: Mapping[str, str] = os.environ,
) -> Gateway:
    """The gateway for a configuration, with its routers loaded and its keys read.

    Args:
        config: what `turnout.config.load_config` gives.
        routers: fitted routers by the name that routes use, for those that come from no folder.
        environment: where the providers' keys are looked up.

    Raises:
        ConfigError: a key's variable is not set, or a router cannot be loaded.
    """
    pool = ConnectionPool(max_connections=config.upstream.max_connections)
    routes = load_routes(config, pool, routers=routers, environment=environment)
    metrics_token = config.observe.metrics_token(environment)
    ledger = None
    if (place := config.ledger.place(environment)) is not None:
        ledger = Ledger(open_database(place), query_text=config.ledger.query_text, keep_days=config.ledger.keep_days)

    def load(config: Config, *, previous: Routes) -> Routes:
        # A function, since what a `partial` holds is shown by its repr, and the environment holds keys.
        return load_routes(config, pool, routers=routers, environment=environment, previous=previous)

    return Gateway(config, routes, pool, ledger, load, metrics_token=metrics_token)


class Gateway:
    """An ASGI application; see `build_app`."""

    def __init__(
        self,
        config: Config,
        routes: Routes,
        pool: ConnectionPool,
        ledger: Ledger | None,
        load: Callable[..., Routes],
        *,
        metrics_token: str | None = None,
    ) -> None:
        """Use `build_app`. `load` is `load_routes` for another configuration."""
        self._load = load
        self._reloading = asyncio.Lock()
        self.draining = False
        """Whether the gateway is about to stop; it still answers, but is no longer ready."""
        self.ledger = ledger
        self.counters = Counters()
        self.access: Access = OpenAccess()
        self._calls: LedgerCalls | None = None
        if ledger is not None:
            self._calls = LedgerCalls(ledger.database)
            self.access = KeyedAccess(self._calls, require_keys=config.server.require_keys)
        self._pool = pool
        self._models = ModelList(lambda: self.routes, self.access)
        self._starting: asyncio.Lock | None = None
        self._started = False
        self._under_way = 0
        self.metrics = Registry()
        self._of_workers: MetricsOfWorkers | None = None
        self._sharing: asyncio.Task[None] | None = None
        if folder := os.environ.get(FOLDER_VARIABLE):
            self._of_workers = MetricsOfWorkers(self.metrics, Path(folder))
        watch_gateway(self.metrics, self.counters, ledger, lambda: self._under_way)
        watch_upstreams(self.metrics, lambda: self.routes)
        memory = LedgerCalls(ledger.database) if ledger else None
        self.sessions = Sessions(memory, shared=config.is_shared)
        self.stored_responses = StoredResponses(memory, shared=config.is_shared)
        recorders: list[Recorder] = [
            SideCounter(self.counters),
            RequestLog(),
            SessionRecorder(self.sessions),
            ResponseRecorder(self.stored_responses),
        ]
        if ledger is not None:
            recorders.append(LedgerRecorder(ledger))
        if config.observe.metrics:
            recorders.append(RequestMetrics(self.metrics, lambda: self.routes.known))
        self._tracing = Tracing() if config.observe.traces else None
        if self._tracing is not None:
            recorders.append(self._tracing)
        self._recorders = recorders
        self._generation = self._generation_of(config, routes)
        self._handlers: dict[str, tuple[str, Handler]] = {
            **{
                protocol.path: ("POST", partial(self._serve_model, protocol))
                for protocol in (*PROTOCOLS, DECISION_ONLY)
            },
            MODELS_PATH: ("GET", self._models.show_all),
            "/openapi.json": ("GET", self._describe),
            "/healthz": ("GET", self._health),
            "/readyz": ("GET", self._readiness),
        }
        self.metrics_port: int | None = None
        """The port at which the gateway tells of itself and does nothing else, once it listens at one."""
        self._at_metrics_port = {path: self._handlers[path] for path in ("/healthz", "/readyz")}
        metrics_host, _ = config.observe.metrics_listen or (None, 0)
        self._metrics_guard = BrowserGuard(ServerConfig(host=metrics_host or config.server.host))
        if config.observe.metrics:
            endpoint = MetricsEndpoint(self.metrics, self._of_workers, token=metrics_token, is_open=self._is_open)
            handlers = self._handlers if metrics_host is None else self._at_metrics_port
            handlers["/metrics"] = ("GET", endpoint)
        if self._calls is not None:
            feedback = FeedbackEndpoint(self.access, self._calls, lambda: self.routes.models.keys())
            self._handlers["/v1/feedback"] = ("POST", feedback)

    def _came_to_metrics_port(self, scope: Scope) -> bool:
        return self.metrics_port is not None and (scope.get("server") or (None, None))[1] == self.metrics_port

    def _is_open(self, scope: Scope) -> bool:
        """Whether metrics may be shown without a token."""
        return self._came_to_metrics_port(scope) or self._generation.guard.is_asked_on_this_machine(scope)

    def paths(self) -> set[str]:
        """Where clients may ask, but for single models."""
        return set(self._handlers)

    @property
    def config(self) -> Config:
        """The configuration of the moment."""
        return self._generation.config

    @property
    def routes(self) -> Routes:
        """Its names, and what stands behind them."""
        return self._generation.routes

    def _generation_of(self, config: Config, routes: Routes) -> Generation:
        upstream: Upstream = PersistentUpstream(routes.models, config.upstream.retries, self.counters)
        if self._tracing is not None:
            upstream = self._tracing.wrap(upstream)
        pipeline = Pipeline(
            routes,
            access=self.access,
            chooser=Chooser(self.counters, self.sessions, self.stored_responses, routes.models),
            upstream=upstream,
            recorders=self._recorders,
            counters=self.counters,
            max_body_bytes=config.server.max_body_bytes,
            forward_headers=config.server.forward_headers,
        )
        return Generation(config, routes, pipeline, BrowserGuard(config.server))

    async def reload(self, config: Config) -> None:
        """Serve another configuration from the next request on; those under way end with the one they began with.

        What cannot change while the gateway runs stays as it is, with a warning.

        Raises:
            ConfigError: it cannot be used, and nothing has changed.
        """
        async with self._reloading:
            old = self._generation
            if fixed := needing_restart(old.config, config):
                _logger.warning("%s: changes take effect when the gateway is started again", ", ".join(fixed))
                config = reloadable(old.config, config)
            # Loading takes a while; requests are served meanwhile.
            routes = await asyncio.to_thread(self._load, config, previous=old.routes)
            self._generation = self._generation_of(config, routes)
            old.retire(self._generation)
            self.counters.reloads += 1
            _logger.info("the configuration was read anew: %s", ", ".join(routes.names()))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http":
            if not self._started:
                await self.startup()
            await self._serve(scope, receive, send)
        else:
            raise ValueError(f"The gateway serves HTTP, not {scope['type']}.")

    async def startup(self) -> None:
        """Open the ledger and read the keys. Called by the server's lifespan, or by the first request."""
        if self._starting is None:
            self._starting = asyncio.Lock()
        async with self._starting:
            if self._started:
                return
            if self.ledger is not None:
                await asyncio.to_thread(self.ledger.start)
            await self.access.start()
            if self._of_workers is not None:
                self._sharing = asyncio.create_task(self._of_workers.keep_writing())
            self._warn_if_open()
            self._started = True

    def _warn_if_open(self) -> None:
        server, observe = self.config.server, self.config.observe
        if observe.metrics and not (server.is_loopback or observe.metrics_listen or observe.metrics_token_env):
            _logger.info("/metrics answers no one: give it metrics_listen or metrics_token_env under [observe]")
        if not (server.is_loopback or self.access.asks_for_keys):
            _logger.warning(
                "%s is not loopback and no key is asked for: whoever can reach it can spend what your providers' keys "
                "allow. Make a key for each client: turnout keys create",
                server.host,
            )

    def abandon(self) -> None:
        """The process that started the workers is gone: remove what it would have removed."""
        if self._sharing is not None:
            self._sharing.cancel()
        if self._of_workers is not None:
            self._of_workers.remove()
            self._of_workers = None

    async def shutdown(self) -> None:
        """Close all connections, stop the routers' threads, and write what the ledger still has to write."""
        if self._sharing is not None and self._of_workers is not None:
            self._sharing.cancel()
            try:
                await asyncio.to_thread(self._of_workers.write, self.metrics.read())
            except OSError as error:  # the ledger is still to be written
                _logger.error("the last metrics of this worker cannot be shared (%s)", error.strerror)
        await self._pool.aclose()
        self.routes.close()
        await self.sessions.aclose()
        await self.stored_responses.aclose()
        if self._started:
            await self.access.aclose()
        if self._calls is not None:
            await self._calls.aclose()
        if self.ledger is not None:
            await asyncio.to_thread(self.ledger.close)
        if self._tracing is not None:
            await asyncio.to_thread(self._tracing.close)
        self._started = False

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                try:
                    await self.startup()
                except Exception as error:
                    await send({"type": "lifespan.startup.failed", "message": str(error)})
                    raise
                await send({"type": "lifespan.startup.complete"})
            elif message["type"] == "lifespan.shutdown":
                await self.shutdown()
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        if root := scope.get("root_path", ""):
            path = path.removeprefix(root)
        method: str = scope["method"]
        handlers, guard = self._handlers, self._generation.guard
        if self._came_to_metrics_port(scope):
            handlers, guard = self._at_metrics_port, self._metrics_guard
        known = handlers.get(path)
        if known is None and path.startswith(f"{MODELS_PATH}/") and handlers is self._handlers:
            known = ("GET", self._models.show_one)
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
            if method == "POST" and not self.access.asks_for_keys:
                guard.check_page(scope)
            self._under_way += 1
            try:
                await handler(scope, receive, send)
            finally:
                self._under_way -= 1
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

    async def _serve_model(self, protocol: ClientProtocol, scope: Scope, receive: Receive, send: Send) -> None:
        with self._generation.request() as pipeline:
            await pipeline.serve(protocol, scope, receive, send)

    async def _describe(self, scope: Scope, receive: Receive, send: Send) -> None:
        await _send_json(send, DESCRIPTION)

    async def _health(self, scope: Scope, receive: Receive, send: Send) -> None:
        ledger = None
        if self.ledger is not None:
            ledger = {
                "written": self.ledger.written,
                "queued": self.ledger.queued,
                "dropped": self.ledger.dropped,
                "refused": self.ledger.refused,
                "failing": self.ledger.failing,
            }
        answer = {"status": "ok", "version": __version__, "counters": asdict(self.counters), "ledger": ledger}
        await _send_json(send, answer)

    async def _readiness(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.draining:
            raise RequestError(503, "The gateway is about to stop.", type="server_error", code="draining")
        await _send_json(send, {"status": "ready"})


def _error_body(error: RequestError, path: str, scope: Scope) -> bytes:
    """An error in the form of the path's protocol, or, where several share the path, of the client's."""
    if protocol := _PROTOCOL_OF.get(path):
        return protocol.error_body(error)
    return anthropic_body(error) if speaks_anthropic(scope) else openai_body(error)


async def _send_json(send: Send, value: Any) -> None:
    await send_whole(send, 200, (JSON_TYPE,), orjson.dumps(value))
