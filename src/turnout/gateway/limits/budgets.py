"""Holds each key to its limits: the worst case is set aside before a call, and what it came to is settled after it.

Both happen in memory, out of the slice of the limit that this worker holds (see `turnout.gateway.limits.leases`).
Only when the slice does not cover a request is the ledger asked for more.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from turnout.errors import LedgerError, TurnoutError
from turnout.gateway.ledger.calls import LedgerCalls
from turnout.gateway.limits.leases import VALID_S, Claim, Kind, Window, forget_past_windows, lease, window_of

REPORT_EVERY_S = 1.0

_SLICE = 0.02
"""The share of a limit that a worker keeps in hand: what the others may find missing near the limit."""
_IDLE_S = 5.0
"""A key that is not used for so long at this worker has its slice given back."""
_REFUSED_S = 1.0
"""How long a limit that was reached is taken for reached without asking again."""
_FORGET_EVERY_S = 600.0
_AT_ONCE = 20
_ROUNDING = 1e-9
_logger = logging.getLogger(__name__)


class LimitReached(TurnoutError):
    """A key's limit does not cover a request."""

    def __init__(self, kind: Kind, limit: float, resets: int, *, alone: bool) -> None:
        self.kind = kind
        self.limit = limit
        self.resets = resets
        """When the limit is counted anew, in seconds since 1970."""
        self.alone = alone
        """Whether the request by itself is above the limit, so that waiting does not help."""
        super().__init__(f"{kind} of {limit:g} is reached.")


@dataclass(frozen=True, slots=True)
class Demand:
    """What a request needs of one limit, at most."""

    kind: Kind
    limit: float
    amount: float


@dataclass(slots=True, eq=False)
class _Slice:
    key_id: str
    kind: Kind
    limit: float
    window: Window
    worker: str
    """Under which name the ledger knows it."""
    used: float = 0.0
    """Spent, or set aside."""
    held: float = 0.0
    valid_until: float = float("-inf")
    """When, by the monotonic clock, the slice may no longer be spent unless it has been reported anew."""
    refused_until: float = float("-inf")
    refused_amount: float = 0.0
    touched: float = 0.0
    reported: tuple[float, float] = (0.0, 0.0)
    """The `used` and `held` that the ledger knows."""
    open: int = 0
    """Calls under way that have something set aside here."""
    asking: asyncio.Future[None] | None = None

    def claim(self, spare: float) -> Claim:
        return Claim(self.key_id, self.kind, self.window, self.limit, self.used, spare)


@dataclass(slots=True, eq=False)
class Hold:
    """What is set aside for one call."""

    taken: list[tuple[_Slice, float]] = field(default_factory=list)
    settled: bool = False

    def settle(self, *, tokens: float | None = None, usd: float | None = None) -> None:
        """Replace the worst case by what it came to; None leaves the worst case. A request stays a request."""
        if self.settled:
            return
        self.settled = True
        for part, amount in self.taken:
            part.open -= 1
            came_to = {"tokens_per_minute": tokens, "usd_per_day": usd, "usd_per_month": usd}.get(part.kind)
            if came_to is not None:
                part.used += came_to - amount

    def undo(self) -> None:
        """Give back everything, the request included."""
        if not self.settled:
            self.settled = True
            for part, amount in self.taken:
                part.open -= 1
                part.used -= amount


class Budgets:
    """The slices that this worker holds. Used on one event loop."""

    def __init__(
        self,
        calls: LedgerCalls,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._calls = calls
        self._clock = clock
        self._monotonic = monotonic
        self._worker = secrets.token_hex(8)
        self._slices: dict[tuple[str, Kind], _Slice] = {}
        self._past: list[_Slice] = []
        self._forgot = float("-inf")
        self._failed_before = False

    async def take(self, key_id: str, demands: Sequence[Demand]) -> Hold:
        """Set aside what a request needs at most, all or nothing.

        Raises:
            LimitReached: one of the limits does not cover it.
            LedgerError: the ledger is needed for more, and cannot be asked.
        """
        hold = Hold()
        try:
            for demand in demands:
                part = self._slice(key_id, demand)
                if not self._covers(part, demand.amount):
                    await self._more(part, demand.amount)
                part.used += demand.amount
                part.open += 1
                hold.taken.append((part, demand.amount))
        except BaseException:
            hold.undo()
            raise
        return hold

    def charge(self, key_id: str, demands: Sequence[Demand]) -> Hold:
        """Count what a request needs, whether or not there is room: the limits may be overrun by it."""
        hold = Hold()
        for demand in demands:
            part = self._slice(key_id, demand)
            part.used += demand.amount
            part.open += 1
            hold.taken.append((part, demand.amount))
        return hold

    def check(self, key_id: str, demand: Demand) -> None:
        """Raise LimitReached if the limit is known to be reached; asks no one and takes nothing."""
        part = self._slice(key_id, demand)
        if not self._covers(part, demand.amount):
            self._check_refused(part, demand.amount)

    async def report(self) -> None:
        """Tell the ledger what is used, and give back what is not needed. To be called every `REPORT_EVERY_S`."""
        now = self._monotonic()
        for slot, part in list(self._slices.items()):
            if not part.window.holds(self._clock()):
                self._past.append(self._slices.pop(slot))
        parts = [(part, self._spare(part, now)) for part in (*self._slices.values(), *self._past)]
        changed = [(part, spare) for part, spare in parts if self._must_report(part, spare, now)]
        if not await self._report(changed):
            return
        # A call that is still under way settles in the window in which it began.
        self._past = [part for part in self._past if part.open or part.used != part.reported[0]]

    async def aclose(self) -> None:
        """Give back everything that is not used."""
        parts = [part for part in (*self._slices.values(), *self._past) if part.reported != (part.used, part.used)]
        await self._report([(part, 0.0) for part in parts])
        self._slices, self._past = {}, []

    def _slice(self, key_id: str, demand: Demand) -> _Slice:
        part = self._slices.get((key_id, demand.kind))
        now = self._clock()
        if part is not None and part.window.holds(now):
            return part
        if part is not None:
            self._past.append(part)
            if now < part.window.start:
                # The clock was set back, perhaps to a window that this worker has reported on before. Under another
                # name what it used then still counts.
                self._worker = secrets.token_hex(8)
        part = _Slice(key_id, demand.kind, demand.limit, window_of(demand.kind, now), self._worker)
        self._slices[key_id, demand.kind] = part
        return part

    def _covers(self, part: _Slice, amount: float) -> bool:
        now = self._monotonic()
        part.touched = now
        return now < part.valid_until and part.held - part.used + _ROUNDING >= amount

    async def _more(self, part: _Slice, amount: float) -> None:
        """Have the slice cover the amount, or raise."""
        while not self._covers(part, amount):
            self._check_refused(part, amount)
            if part.asking is not None:
                await asyncio.shield(part.asking)
                continue
            await self._ask(part, max(amount, part.limit * _SLICE))
            if not self._covers(part, amount):
                part.refused_until = self._monotonic() + _REFUSED_S
                part.refused_amount = amount

    async def _ask(self, part: _Slice, spare: float) -> None:
        part.asking = asking = asyncio.get_running_loop().create_future()
        try:
            await self._lease([(part, spare)])
        except BaseException as error:
            asking.set_exception(error if isinstance(error, LedgerError) else LedgerError("The worker is stopping."))
            asking.exception()  # seen, even if no one else waits
            raise
        else:
            asking.set_result(None)
        finally:
            part.asking = None

    def _check_refused(self, part: _Slice, amount: float) -> None:
        alone = amount > part.limit + _ROUNDING
        if alone or (self._monotonic() < part.refused_until and amount >= part.refused_amount):
            raise LimitReached(part.kind, part.limit, part.window.end, alone=alone)

    def _spare(self, part: _Slice, now: float) -> float:
        if not part.window.holds(self._clock()) or now - part.touched > _IDLE_S or now >= part.valid_until:
            return 0.0
        return max(0.0, min(part.held - part.used, part.limit * _SLICE))

    def _must_report(self, part: _Slice, spare: float, now: float) -> bool:
        if part.asking is not None:
            return False
        used, held = part.reported
        if part.used != used or abs(part.used + spare - held) > part.limit * _ROUNDING:
            return True
        return spare > 0 and now > part.valid_until - VALID_S / 2

    async def _report(self, parts: Sequence[tuple[_Slice, float]]) -> bool:
        for part, spare in parts:
            # What is given back must not be spent while the ledger is being told.
            part.held = min(part.held, part.used + spare)
        try:
            # A few at a time: others' writes wait meanwhile.
            for start in range(0, len(parts), _AT_ONCE):
                await self._lease(parts[start : start + _AT_ONCE])
            if self._monotonic() - self._forgot > _FORGET_EVERY_S:
                await self._calls.run(partial(forget_past_windows, now=self._clock()))
                self._forgot = self._monotonic()
        except LedgerError as error:
            if not self._failed_before:
                _logger.error("%s The keys' limits cannot be reported; trying again.", error)
            self._failed_before = True
            return False
        self._failed_before = False
        return True

    async def _lease(self, parts: Sequence[tuple[_Slice, float]]) -> None:
        for worker in {part.worker for part, _ in parts}:
            own = [(part, spare) for part, spare in parts if part.worker == worker]
            began = self._monotonic()
            claims = [part.claim(spare) for part, spare in own]
            held = await self._calls.run(partial(lease, worker=worker, claims=claims, now=self._clock()))
            for (part, _), claim, now_held in zip(own, claims, held, strict=True):
                part.held = now_held
                part.valid_until = began + VALID_S
                part.reported = (claim.used, now_held)
