"""Lets in those who hold a key, and holds each to its limits. While no key was ever made, everyone is let in."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime

from turnout.errors import LedgerError
from turnout.gateway.asgi import Scope, header
from turnout.gateway.choosing.chooser import Choice
from turnout.gateway.choosing.needs import Needs
from turnout.gateway.errors import RequestError
from turnout.gateway.ledger.calls import LedgerCalls
from turnout.gateway.limits.budgets import REPORT_EVERY_S, Budgets, Demand, Hold, LimitReached
from turnout.gateway.limits.caller import ANYONE, Caller
from turnout.gateway.limits.keys import ClientKey, KeyRing, Limits
from turnout.gateway.limits.worst_case import WorstCase, worst_case
from turnout.gateway.protocols.base import ModelRequest
from turnout.gateway.steps.account import Account

WEAK_ONLY = "budget used up: weak only"
"""The reason of a decision that the key's budget turned around."""

_READ_EVERY_S = 0.5
_FREE = frozenset({"upstream_unreachable", "upstream_unavailable"})
"""Failures for which no provider asks for money, if they come before the first byte."""
_logger = logging.getLogger(__name__)


class KeyedAccess:
    """Access by the keys in the ledger, read again twice a second."""

    def __init__(self, calls: LedgerCalls, *, require_keys: bool) -> None:
        self._calls = calls
        self._require_keys = require_keys
        self._ring = KeyRing()
        self._budgets = Budgets(calls)
        self._tasks: list[asyncio.Task[None]] = []
        self._refusing = False
        """Whether requests are refused because the ledger cannot be asked; said once, and not for each of them."""

    @property
    def asks_for_keys(self) -> bool:
        """Whether a request without a key is refused. Revoking the last key does not open the gateway again."""
        return self._require_keys or self._ring.ever_held_one

    async def start(self) -> None:
        """Read the keys, and keep reading them."""
        await self._calls.run(self._ring.read)
        self._tasks = [asyncio.create_task(self._keep_reading()), asyncio.create_task(self._keep_reporting())]

    async def aclose(self) -> None:
        """Give back what is held of the keys' limits and not used."""
        for task in self._tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        await self._budgets.aclose()

    def authenticate(self, scope: Scope) -> Caller:
        """The holder of the key in `Authorization: Bearer` or `x-api-key`."""
        presented = _presented(scope)
        for text in presented:
            if (key := self._ring.find(text)) is not None:
                return Caller(key.id, key)
        if self.asks_for_keys:
            raise _no_key(given=bool(presented))
        return ANYONE

    def admit(self, caller: Caller, request: ModelRequest) -> None:
        """Refuse names that are not the key's, and at once whoever is known to have asked too often."""
        key = caller.key
        if key is None:
            return
        if not key.allows(request.model):
            raise _not_allowed(key, request.model)
        if (limit := key.limits.requests_per_minute) is not None:
            try:
                self._budgets.check(key.id, Demand("requests_per_minute", limit, 1))
            except LimitReached as reached:
                raise _limit_reached(reached) from None

    async def reserve(self, account: Account) -> None:
        """Set the worst case aside; where dollars run out, perhaps that of the weak model instead."""
        key = account.caller.key
        if key is None or key.limits.is_none:
            return
        try:
            account.hold = await self._reserve(key, account)
            self._refusing = False
        except LimitReached as reached:
            raise _limit_reached(reached) from None
        except LedgerError as error:
            if not self._refusing:
                _logger.error("%s Requests of keys with limits are refused until it is back.", error)
            self._refusing = True
            raise RequestError(
                503,
                "The gateway cannot tell at present whether this key's limits allow the request. Try again soon.",
                type="server_error",
                code="limits_unavailable",
            ) from None

    def settle(self, account: Account) -> None:
        """What the provider counted; nothing where it surely did not work; the worst case where no one knows."""
        if account.hold is None:
            return
        tokens, usd = _came_to(account)
        for hold in account.hold:
            hold.settle(tokens=tokens, usd=usd)

    async def _reserve(self, key: ClientKey, account: Account) -> list[Hold]:
        limits, choice = key.limits, account.choice
        worst = worst_case(account.request, choice.model.config)
        counted = await self._budgets.take(key.id, _counted(limits, worst))
        try:
            try:
                return [counted, await self._budgets.take(key.id, _dollars(limits, worst))]
            except LimitReached:
                if limits.at_limit != "weak" or not _weak_can(account):
                    raise
            account.choice = choice = _weak_only(choice)
            demands = _dollars(limits, worst_case(account.request, choice.model.config))
            try:
                return [counted, await self._budgets.take(key.id, demands)]
            except LimitReached:
                return [counted, self._budgets.charge(key.id, demands)]
        except BaseException:
            counted.undo()
            raise

    async def _keep_reading(self) -> None:
        failed_before = False
        while True:
            await asyncio.sleep(_READ_EVERY_S)
            try:
                await self._calls.run(self._ring.read)
                failed_before = False
            except LedgerError as error:
                if not failed_before:
                    _logger.error("%s Keys made or revoked since are not known here; trying again.", error)
                failed_before = True

    async def _keep_reporting(self) -> None:
        while True:
            await asyncio.sleep(REPORT_EVERY_S)
            await self._budgets.report()


def _presented(scope: Scope) -> list[str]:
    """What may be keys: some clients send one of another kind beside ours."""
    found = []
    bearer = header(scope, b"authorization")
    if bearer is not None:
        scheme, _, value = bearer.decode("latin-1").partition(" ")
        if scheme.lower() == "bearer":
            found.append(value.strip())
    plain = header(scope, b"x-api-key")
    if plain is not None:
        found.append(plain.decode("latin-1").strip())
    return found


def _counted(limits: Limits, worst: WorstCase) -> list[Demand]:
    demands = []
    if limits.requests_per_minute is not None:
        demands.append(Demand("requests_per_minute", limits.requests_per_minute, 1))
    if limits.tokens_per_minute is not None:
        demands.append(Demand("tokens_per_minute", limits.tokens_per_minute, worst.tokens))
    return demands


def _dollars(limits: Limits, worst: WorstCase) -> list[Demand]:
    demands = []
    if limits.usd_per_day is not None:
        demands.append(Demand("usd_per_day", limits.usd_per_day, worst.usd))
    if limits.usd_per_month is not None:
        demands.append(Demand("usd_per_month", limits.usd_per_month, worst.usd))
    return demands


def _weak_can(account: Account) -> bool:
    weak = account.choice.weak
    if weak is None or weak is account.choice.model:
        return weak is not None
    if account.choice.held_by and weak.name not in account.choice.held_by:
        return False
    return Needs(account.request, account.choice.query).unmet_by(weak.config) is None


def _weak_only(choice: Choice) -> Choice:
    assert choice.weak is not None
    if choice.model is choice.weak:
        return choice
    decision = choice.decision
    if decision is not None:
        decision = replace(decision, model=choice.weak.name, side="weak", reason=WEAK_ONLY)
    return replace(choice, model=choice.weak, reason=WEAK_ONLY, decision=decision)


def _came_to(account: Account) -> tuple[float | None, float | None]:
    """(tokens, dollars); None where it is not known."""
    usage = account.usage
    if usage is not None and not account.is_cut:
        return usage.input_tokens + usage.output_tokens, account.cost_usd() or 0.0
    error = account.error or ""
    never_began = account.first_byte is None and error in _FREE
    if account.called is None or never_began or error.startswith("upstream_status_"):
        return 0.0, 0.0
    return None, None


def _no_key(*, given: bool) -> RequestError:
    # What was given may be almost right, or a key of something else: it is never repeated.
    what = "The key is not one of this gateway's, or was revoked." if given else "This gateway asks for a key."
    return RequestError(
        401,
        f"{what} Send one as 'Authorization: Bearer KEY' or 'x-api-key: KEY'.",
        code="invalid_api_key",
        headers=((b"www-authenticate", b"Bearer"),),
    )


def _not_allowed(key: ClientKey, name: str) -> RequestError:
    allowed = ", ".join(sorted(key.routes or ()))
    return RequestError(
        403,
        f"This key may not ask for '{name[:200]}'. It may ask for: {allowed}.",
        code="model_not_allowed",
        param="model",
    )


_WORDS = {
    "requests_per_minute": ("requests a minute", "{:,.0f}"),
    "tokens_per_minute": ("tokens a minute", "{:,.0f}"),
    "usd_per_day": ("a day", "${:,.2f}"),
    "usd_per_month": ("a month", "${:,.2f}"),
}


def _limit_reached(reached: LimitReached) -> RequestError:
    words, form = _WORDS[reached.kind]
    limit = f"{form.format(reached.limit)} {words}"
    is_budget = reached.kind in ("usd_per_day", "usd_per_month")
    code = "insufficient_quota" if is_budget else "rate_limit_exceeded"
    resets = datetime.fromtimestamp(reached.resets, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    wait_s = max(1, math.ceil(reached.resets - time.time()))
    if reached.alone:
        return RequestError(
            429,
            f"This request may come to more than the key's limit of {limit} by itself. Ask for less, with max_tokens "
            "for example.",
            type=code,
            code=code,
            headers=((b"x-should-retry", b"false"),),
        )
    return RequestError(
        429,
        f"The key's limit of {limit} does not cover this request any more. It resets at {resets}.",
        type=code,
        code=code,
        headers=(
            (b"retry-after", str(wait_s).encode()),
            # OpenAI's clients would try again at once or soon, which is of no use until a budget resets.
            (b"x-should-retry", b"false" if is_budget else b"true"),
        ),
    )
