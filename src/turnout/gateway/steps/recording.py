"""The seam for what is kept of a request once it is over."""

from __future__ import annotations

from typing import Protocol

from turnout.gateway.choosing.sessions import Session, Sessions
from turnout.gateway.choosing.stickiness import beyond_weak_usd, in_tool_loop
from turnout.gateway.choosing.stored_responses import StoredResponse, StoredResponses, conversation_id, key_of
from turnout.gateway.counters import Counters
from turnout.gateway.ledger.writing import Entry, Ledger
from turnout.gateway.steps.account import CLIENT_LEFT, Account


class Recorder(Protocol):
    """Is told of every request for which a model was chosen, when it has ended."""

    def record(self, account: Account) -> None:
        """Take note. On the event loop, so it must not block; must not raise."""
        ...


class SideCounter:
    """Counts how many went to either side."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters

    def record(self, account: Account) -> None:
        """Count it, if there was a decision to take."""
        decision = account.choice.decision
        if decision is None:
            return
        if decision.side == "strong":
            self._counters.strong += 1
        else:
            self._counters.weak += 1


class LedgerRecorder:
    """Queues an entry of the ledger."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def record(self, account: Account) -> None:
        """Queue the entry."""
        choice, usage, decision = account.choice, account.usage, account.choice.decision
        query, query_sha256 = self._ledger.kept_of(choice.query)
        self._ledger.record(
            Entry(
                id=choice.id,
                time=account.arrived,
                key_id=account.caller.id,
                route=choice.asked_for,
                model=account.model.name,
                strong=choice.strong.name if choice.strong else None,
                weak=choice.weak.name if choice.weak else None,
                side=decision.side if decision else None,
                win_rate=decision.win_rate if decision and decision.win_rate == decision.win_rate else None,
                threshold=decision.threshold if decision else None,
                reason=account.reason(),
                query=query,
                query_sha256=query_sha256,
                stream=account.request.stream,
                status=account.status,
                error=account.error,
                latency_s=account.latency_s(),
                upstream_first_byte_s=account.upstream_first_byte_s(),
                upstream_latency_s=account.upstream_latency_s(),
                input_tokens=usage.input_tokens if usage else None,
                output_tokens=usage.output_tokens if usage else None,
                cost_usd=account.cost_usd(),
                cost_usd_if_strong=account.cost_usd_if_strong(),
            )
        )


class ResponseRecorder:
    """Notes who holds a response, and the conversation that it belongs to, for what follows up on it; a recorder."""

    def __init__(self, stored: StoredResponses) -> None:
        self._stored = stored

    def record(self, account: Account) -> None:
        """Note it, unless the client wants it kept nowhere. One that left has seen the id, and may come back."""
        body = account.request.body
        if account.response_id is None or account.status not in (200, CLIENT_LEFT) or body.get("store") is False:
            return
        place = StoredResponse(account.model.name, self._stored.clock(), account.address)
        for id in (account.response_id, conversation_id(body), *account.item_ids):
            if id is not None:
                self._stored.keep(key_of(id, account.caller), place)


class SessionRecorder:
    """Notes who has a conversation once a request has ended; a recorder."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    def record(self, account: Account) -> None:
        """Note what the next request will not show."""
        choice, usage = account.choice, account.usage
        if choice.session is None or account.called is None or account.status != 200 or account.error is not None:
            return
        assert choice.strong is not None
        if account.model is not choice.strong:
            self._sessions.forget(choice.session.id)
            return
        cached = usage.cache_read_tokens + usage.cache_write_tokens if usage else 0
        before = self._sessions.known_here(choice.session.id)
        if cached or choice.by_exception or account.fell_back is not None or before is not None:
            now = self._sessions.clock()
            output = usage.output_tokens if usage else 0
            if before is None:
                pace_s = account.latency_s()
            else:
                pace_s = max(0.0, now - before.time) if in_tool_loop(account.request.body) else before.pace_s
            kept = Session(choice.strong.name, now, cached, output, pace_s, _stay_usd(account))
            self._sessions.keep(choice.session.id, kept)


def _stay_usd(account: Account) -> float:
    """What staying with strong has cost, this answer included; nothing where the win rate wanted strong."""
    choice = account.choice
    if choice.stays is None:
        return 0.0
    assert choice.strong is not None
    assert choice.weak is not None
    beyond = None
    if account.usage is not None:
        beyond = beyond_weak_usd(account.usage, choice.strong.config.price, choice.weak.config.price)
    return choice.stays.stay_usd + (beyond or 0.0)
