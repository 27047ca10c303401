"""From a request to a model: rules out who cannot take it, asks the router, and applies the policy.

Whatever goes wrong with a router sends to strong.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace

from turnout.gateway.asgi import Header, Scope
from turnout.gateway.choosing.needs import TOO_LONG, Needs
from turnout.gateway.choosing.routes import ServedRoute
from turnout.gateway.choosing.session_name import SessionName
from turnout.gateway.choosing.sessions import Session, Sessions
from turnout.gateway.choosing.stickiness import TOOL_LOOP, has_begun, in_tool_loop, reason_to_stay
from turnout.gateway.choosing.stored_responses import StoredResponse, StoredResponses, followed, share_a_store
from turnout.gateway.counters import Counters
from turnout.gateway.errors import RequestError
from turnout.gateway.limits.caller import ANYONE, Caller
from turnout.gateway.protocols.base import LARGE_BYTES, ModelRequest
from turnout.gateway.upstreams.model import UpstreamModel
from turnout.policy import Decision, Side, new_decision_id
from turnout.query import NO_TEXT, query_by, query_of, texts_to_score, weighted_mean

ROUTER_FAILED = "router failed"
HOLDS_EARLIER = "holds the earlier response"
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
    fallbacks: tuple[str, ...] = ()
    """Models to try where the chosen one and its own fallbacks fail."""
    session: SessionName | None = None
    """The conversation, where it may stay with a model."""
    stays: Session | None = None
    """What was remembered of the conversation, where it stays with strong against its win rate."""
    by_exception: bool = False
    """Whether something else than the win rate decided, which the conversation's next request may not show."""
    held_by: frozenset[str] = frozenset()
    """The only models that hold what the request follows up on; empty where any will do."""
    address: str | None = None
    """Which of the model's addresses does."""

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

    def __init__(
        self,
        counters: Counters,
        sessions: Sessions | None = None,
        stored: StoredResponses | None = None,
        models: Mapping[str, UpstreamModel] | None = None,
    ) -> None:
        """
        Args:
            counters: of what happens on the way.
            sessions: who has which conversation.
            stored: who has which response.
            models: all there are, since a route's fallback may have one.
        """
        self._counters = counters
        self._sessions = sessions
        self._stored = stored
        self._models = models or {}

    async def choose(
        self, target: ServedRoute | UpstreamModel, request: ModelRequest, scope: Scope, caller: Caller = ANYONE
    ) -> Choice:
        """The model for a request, or a RequestError where none can take it.

        A model that is asked for by its own name gets what it is asked: its provider will say what it thinks of that.
        """
        earlier, follows_up = None, request.protocol.follows_up and followed(request.body) is not None
        if self._stored is not None and request.protocol.follows_up:
            earlier = await self._stored.find_followed(request.body, caller)
        if isinstance(target, UpstreamModel):
            query = query_of(request.turns())
            at = earlier.address if earlier is not None and earlier.model == target.name else None
            return Choice(new_decision_id(), target, request.model, ASKED_BY_NAME, query, address=at)
        query = query_by(target.config.query, request.turns(), strip=target.config.strip_boilerplate)
        session = None
        if self._sessions is not None and target.config.sticky:
            session = SessionName(request, scope, caller)
        held_by = frozenset[str]() if earlier is None else self._held_by(target, earlier)
        if earlier is not None and held_by:
            free = {target.strong.name, target.weak.name} <= held_by and query and not in_tool_loop(request.body)
            if not free:
                return self._with_holder(target, request, query, session, earlier, held_by)
        needs = Needs(request, query)
        is_large = len(request.raw) >= LARGE_BYTES
        without = await asyncio.to_thread(_unmet, target, needs) if is_large else _unmet(target, needs)
        decision = self._only_one_can(target, needs, without)
        by_exception, stays = decision is not None, None
        if decision is None:
            decision = await self._decide(target, query, request)
            by_exception = decision.reason == ROUTER_FAILED
            found = None
            if session is not None and decision.side == "weak" and (earlier or has_begun(request)):
                found = await self._stays(target, request, session)
            if found is not None:
                by_exception, (reason, stays) = True, found
                decision = replace(decision, model=target.strong.name, side="strong", reason=reason)
        if follows_up and not held_by:
            unknown = "unknown here" if earlier is None else f"with '{earlier.model}', which is not of this route"
            decision = replace(decision, reason=f"{decision.reason}; the earlier response is {unknown}")
        model = target.strong if decision.side == "strong" else target.weak
        return Choice(
            decision.id,
            model,
            request.model,
            decision.reason,
            query,
            decision,
            target.strong,
            target.weak,
            target.config.fallbacks,
            session,
            stays,
            by_exception,
            held_by,
        )

    def _held_by(self, target: ServedRoute, earlier: StoredResponse) -> frozenset[str]:
        """The models of a route that hold a response: the one that gave it, and those with the same store."""
        pair = (target.strong, target.weak)
        fallbacks = {*target.config.fallbacks, *(name for model in pair for name in model.config.fallbacks)}
        holder = self._models.get(earlier.model)
        if holder is None or earlier.model not in {*fallbacks, *(model.name for model in pair)}:
            return frozenset()
        sharing = (model.name for model in pair if share_a_store(model.config, holder.config))
        return frozenset((holder.name, *sharing))

    def _with_holder(
        self,
        target: ServedRoute,
        request: ModelRequest,
        query: str,
        session: SessionName | None,
        earlier: StoredResponse,
        held_by: frozenset[str],
    ) -> Choice:
        """The model that gave the earlier response, or the one of the pair that can get at it."""
        able = [model for model in (target.strong, target.weak) if model.name in held_by]
        model = next((model for model in able if model.name == earlier.model), None)
        if model is None:
            model = able[0] if able else self._models[earlier.model]
        decision = None
        if able:
            side: Side = "strong" if model is target.strong else "weak"
            policy = target.policy
            decision = Decision(model.name, side, _NAN, policy.threshold, HOLDS_EARLIER, policy.route)
        return Choice(
            decision.id if decision else new_decision_id(),
            model,
            request.model,
            HOLDS_EARLIER,
            query,
            decision,
            target.strong,
            target.weak,
            target.config.fallbacks,
            session,
            by_exception=True,
            held_by=held_by,
            address=earlier.address if model.name == earlier.model else None,
        )

    def _only_one_can(self, target: ServedRoute, needs: Needs, without: Mapping[Side, str | None]) -> Decision | None:
        """The decision for the one that can take the request; None if both can, a RequestError if neither."""
        strong, weak = target.strong.config, target.weak.config
        if without["strong"] is None and without["weak"] is None:
            return None
        side: Side
        if without["strong"] is not None and without["weak"] is not None:
            # Only the estimate may be what is against them: then the one with more room gets its chance.
            sides: dict[Side, int] = {}
            if without["strong"] is TOO_LONG and needs.may_fit(strong):
                sides["strong"] = strong.context_window or 0
            if without["weak"] is TOO_LONG and needs.may_fit(weak):
                sides["weak"] = weak.context_window or 0
            if not sides:
                raise _nobody_can(target, without, needs)
            side = max(sides, key=lambda found: sides[found])
            reason = "may fit into the larger context window" if len(sides) == 2 else "may just fit"
        else:
            side = "strong" if without["weak"] is not None else "weak"
            other = target.weak if side == "strong" else target.strong
            reason = f"'{other.name}' {without['weak' if side == 'strong' else 'strong']}"
        self._counters.only_one_could += 1
        chosen = target.strong if side == "strong" else target.weak
        return Decision(chosen.name, side, _NAN, target.policy.threshold, reason, target.policy.route)

    async def _stays(self, target: ServedRoute, request: ModelRequest, name: SessionName) -> tuple[str, Session] | None:
        """Why the conversation stays with strong and what is remembered of it, if it is there and has a reason."""
        assert self._sessions is not None
        session = await self._sessions.find(name.id)
        if session is None or session.model != target.strong.name:
            return None
        strong, weak = target.strong.config, target.weak.config
        reason = reason_to_stay(request, session, strong, weak, now=self._sessions.clock())
        if reason is None:
            return None
        if reason is TOOL_LOOP:
            self._counters.stayed_in_tool_loop += 1
        else:
            self._counters.stayed_for_cache += 1
        return reason, session

    async def _decide(self, target: ServedRoute, query: str, request: ModelRequest) -> Decision:
        win_rate, reason = _NAN, NO_TEXT
        if query:
            try:
                win_rate, reason = await _win_rate(target, query, request), ""
            except Exception as error:
                self._counters.router_failures += 1
                reason = ROUTER_FAILED
                # The query may stand in the error's text, so only its kind is told.
                _logger.error(
                    "the router of '%s' failed (%s); the request goes to strong", request.model, type(error).__name__
                )
        decision = target.policy.decide([win_rate])[0]
        return replace(decision, reason=reason) if reason else decision


async def _win_rate(target: ServedRoute, query: str, request: ModelRequest) -> float:
    scorer, pair = target.router.scorer, target.policy.pair
    if target.config.query != "weighted":
        return await scorer.win_rate(query, pair)
    turns = texts_to_score("weighted", request.turns(), strip=target.config.strip_boilerplate)
    return weighted_mean(await asyncio.gather(*(scorer.win_rate(turn, pair) for turn in turns)))


def _unmet(target: ServedRoute, needs: Needs) -> dict[Side, str | None]:
    """Why either side cannot take the request. Where its protocol is another, the body is made for it."""
    return {"strong": needs.unmet_by(target.strong.config), "weak": needs.unmet_by(target.weak.config)}


def _nobody_can(target: ServedRoute, without: Mapping[Side, str | None], needs: Needs) -> RequestError:
    told = f"'{target.strong.name}' {without['strong']}, and '{target.weak.name}' {without['weak']}"
    if without["strong"] is TOO_LONG and without["weak"] is TOO_LONG:
        return RequestError(
            400,
            f"The request is too long for either model of this route: {told} for about {needs.tokens} tokens, those of "
            "the answer included. Shorten the conversation, or allow a shorter answer.",
            code="context_length_exceeded",
            param="messages",
        )
    return RequestError(
        400,
        f"Neither model of this route can take the request: {told}. Ask for another model, or leave out what it "
        "cannot take.",
        code="no_model_can",
    )
