"""GET /healthz and /readyz: whether the gateway lives, and whether it should be sent requests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict

from turnout._version import __version__
from turnout.gateway.asgi import Receive, Scope, Send, send_json
from turnout.gateway.counters import Counters
from turnout.gateway.errors import RequestError
from turnout.gateway.ledger.writing import Ledger


class Health:
    """Answers whoever watches over the gateway."""

    def __init__(self, counters: Counters, ledger: Ledger | None, *, is_draining: Callable[[], bool]) -> None:
        self._counters = counters
        self._ledger = ledger
        self._is_draining = is_draining

    async def show(self, scope: Scope, receive: Receive, send: Send) -> None:
        """That it lives, and what has happened since it started."""
        ledger = None
        if self._ledger is not None:
            ledger = {
                "written": self._ledger.written,
                "queued": self._ledger.queued,
                "dropped": self._ledger.dropped,
                "refused": self._ledger.refused,
                "failing": self._ledger.failing,
            }
        counters = asdict(self._counters)
        await send_json(send, {"status": "ok", "version": __version__, "counters": counters, "ledger": ledger})

    async def show_readiness(self, scope: Scope, receive: Receive, send: Send) -> None:
        """That it is ready; 503 once it is about to stop."""
        if self._is_draining():
            raise RequestError(503, "The gateway is about to stop.", type="server_error", code="draining")
        await send_json(send, {"status": "ready"})
