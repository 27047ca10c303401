"""GET /metrics, for whoever may see what the gateway does: models, dollars and errors are not for everyone."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Callable

from turnout.gateway.asgi import Receive, Scope, Send, header, send_whole
from turnout.gateway.errors import RequestError
from turnout.gateway.metrics import CONTENT_TYPE, Registry, render
from turnout.gateway.observing.metrics_of_workers import MetricsOfWorkers


class MetricsEndpoint:
    """Answers Prometheus."""

    def __init__(
        self,
        metrics: Registry,
        of_workers: MetricsOfWorkers | None,
        *,
        token: str | None,
        is_open: Callable[[Scope], bool],
    ) -> None:
        """
        Args:
            metrics: of this process.
            of_workers: those of its fellows.
            token: what whoever asks has to bear; None asks for none.
            is_open: whether a request without a token may be answered: it came where only the operator comes.
        """
        self._metrics = metrics
        self._of_workers = of_workers
        self._token = None if token is None else token.encode()
        self._is_open = is_open

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        self._authenticate(scope)
        readings = self._metrics.read()
        if self._of_workers is not None:
            readings = await asyncio.to_thread(self._of_workers.read, readings)
        await send_whole(send, 200, ((b"content-type", CONTENT_TYPE),), render(readings))

    def _authenticate(self, scope: Scope) -> None:
        if self._token is None:
            if self._is_open(scope):
                return
            raise RequestError(
                403,
                "Metrics are not shown here: the gateway can be reached from other machines. Its operator may give "
                "them an address of their own (metrics_listen under [observe]) or a token (metrics_token_env).",
                type="permission_error",
                code="metrics_closed",
            )
        scheme, _, presented = (header(scope, b"authorization") or b"").partition(b" ")
        if scheme.lower() != b"bearer" or not hmac.compare_digest(presented.strip(), self._token):
            raise RequestError(
                401,
                "Metrics are for those who bear the operator's token (metrics_token_env under [observe]).",
                type="authentication_error",
                code="invalid_api_key",
                headers=((b"www-authenticate", b"Bearer"),),
            )
