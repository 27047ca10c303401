"""From a request to a model: asks the router, applies the policy, and sends to strong whatever goes wrong."""

from __future__ import annotations

import logging
import secrets
from dataclasses import dataclass, replace

from turnout.gateway.asgi import Header, Scope
from turnout.gateway.counters import Counters
from turnout.gateway.protocols.base import ModelRequest
from turnout.gateway.query import query_of
from turnout.gateway.routes import ServedRoute, UpstreamModel
from turnout.policy import Decision

ROUTER_FAILED = "router failed"
NO_TEXT = "no text to route by"
ASKED_BY_NAME = "asked for by name"

_NAN = float("nan")
_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Choice:
    """The model that gets a request, and the decision behind it where there was one to take."""

    id: str
    model: UpstreamModel
    asked_for: str
    """The model name that the client sent."""
    reason: str
    query: str
    decision: Decision | None = None
    strong: UpstreamModel | None = None
    """The route's strong model, for what it would have cost."""
    weak: UpstreamModel | None = None
    """The route's weak model."""

    def headers(self, answering: UpstreamModel) -> list[Header]:
        """The answer's headers that say who answers, what was decided, and why."""
        headers = [
            (b"x-turnout-decision-id", self.id.encode()),
            (b"x-turnout-route", self.asked_for.encode()),
            (b"x-turnout-model", answering.name.encode()),
            (b"x-turnout-reason", self.reason.encode()),
        ]
        if self.decision is not None:
            if self.decision.win_rate == self.decision.win_rate:  # not NaN
                headers.append((b"x-turnout-win-rate", b"%.6f" % self.decision.win_rate))
            headers.append((b"x-turnout-threshold", b"%.6g" % self.decision.threshold))
        return headers


class Chooser:
    """Asks the route's router and its policy. A router that fails or is too slow costs a request only money."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters

    async def choose(self, target: ServedRoute | UpstreamModel, request: ModelRequest, scope: Scope) -> Choice:
        """The model for a request, or a RequestError where none can take it."""
        query = query_of(request.turns())
        if isinstance(target, UpstreamModel):
            return Choice(f"dec-{secrets.token_hex(12)}", target, request.model, ASKED_BY_NAME, query)
        win_rate, reason = _NAN, NO_TEXT
        if query:
            try:
                win_rate, reason = await target.router.scorer.win_rate(query, target.policy.pair), ""
            except Exception as error:
                self._counters.router_failures += 1
                reason = ROUTER_FAILED
                # The query may stand in the error's text, so only its kind is told.
                _logger.error(
                    "the router of '%s' failed (%s); the request goes to strong", request.model, type(error).__name__
                )
        decision = target.policy.decide([win_rate])[0]
        if reason:
            decision = replace(decision, reason=reason)
        model = target.strong if decision.side == "strong" else target.weak
        return Choice(decision.id, model, request.model, decision.reason, query, decision, target.strong, target.weak)
