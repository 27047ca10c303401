"""A rate limit that holds in any 60 seconds, for requests or for tokens."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from turnout.errors import InvalidValueError

_LOOK_AGAIN_S = 0.25


@dataclass(slots=True, eq=False)
class Taken:
    """An amount that counts until it is a window old."""

    amount: float
    time: float
    counts: bool = True


class RateLimit:
    """At most `most` in any window of time. Those who wait are served in the order in which they came."""

    def __init__(self, most: float, *, window_s: float = 60.0, now: Callable[[], float] = time.monotonic) -> None:
        if not most > 0:
            raise InvalidValueError(f"A rate limit must be above 0, got {most}.")
        self.most = most
        self.window_s = window_s
        self._now = now
        self._taken: deque[Taken] = deque()
        self._sum = 0.0
        self._turn = asyncio.Lock()

    async def take(self, amount: float = 1.0) -> Taken:
        """Wait until the amount fits, and take it. What is larger than the limit goes when nothing else counts."""
        async with self._turn:
            while (wait_s := self._wait_s(amount)) > 0:
                # Not longer than this at once: an amount that is corrected may make room before.
                await asyncio.sleep(min(wait_s, _LOOK_AGAIN_S))
            taken = Taken(amount, self._now())
            self._taken.append(taken)
            self._sum += amount
            return taken

    def correct(self, taken: Taken, amount: float) -> None:
        """Put the true amount in the place of an estimate."""
        if taken.counts:
            self._sum += amount - taken.amount
            taken.amount = amount

    def _wait_s(self, amount: float) -> float:
        """Seconds until the amount may fit; 0 if it does."""
        now = self._now()
        while self._taken and self._taken[0].time + self.window_s <= now:
            old = self._taken.popleft()
            old.counts = False
            self._sum -= old.amount
        if not self._taken or self._sum + amount <= self.most:
            return 0.0
        return self._taken[0].time + self.window_s - now
