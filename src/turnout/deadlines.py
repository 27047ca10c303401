"""Time limits of calls under way, watched with one timer for all of them."""

from __future__ import annotations

import asyncio
import time

from turnout.call_limits import TimeLimits
from turnout.errors import UpstreamTimeoutError

_TICK_S = 0.1


class Clock:
    """The time that one call has left, for the step it is at and for the whole.

    It holds no timer. `Deadlines` looks at all clocks a few times a second and cancels the task whose clock ran out:
    a timer of its own for each step of each call took a tenth of the time of a request.
    """

    def __init__(self, limits: TimeLimits, deadlines: Deadlines, within_s: float | None) -> None:
        self.limits = limits
        self.limit = "whole_s"
        """The name of the limit that counts at the moment."""
        self.ran_out = False
        self.task = asyncio.current_task()
        self._deadlines = deadlines
        self._whole_end = deadlines.now() + (limits.whole_s if within_s is None else within_s)
        self.end = self._whole_end

    def count(self, limit: str) -> None:
        """Give the next step its time, but never more than what the whole call has left."""
        end = self._deadlines.now() + getattr(self.limits, limit)
        if end < self._whole_end:
            self.limit, self.end = limit, end
        else:
            self.count_whole()

    def count_whole(self) -> None:
        """Stop counting the step: what follows is not the provider's time, but the whole limit holds."""
        self.limit, self.end = "whole_s", self._whole_end

    def left_s(self) -> float:
        """What the whole call has left."""
        return self._whole_end - self._deadlines.now()

    def error(self) -> UpstreamTimeoutError:
        """The error that names the limit."""
        seconds = getattr(self.limits, self.limit)
        return UpstreamTimeoutError(
            f"The provider was too slow: the time limit {self.limit} = {seconds:g} ran out.", limit=self.limit
        )


class Deadlines:
    """Watches the clocks of all calls under way with a single timer, which sleeps while there are none."""

    def __init__(self) -> None:
        self._clocks: set[Clock] = set()
        self._timer: asyncio.TimerHandle | None = None
        self.now = time.monotonic

    def watch(self, clock: Clock) -> None:
        """Cancel its task when its time is over."""
        self._clocks.add(clock)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_TICK_S, self._tick)

    def forget(self, clock: Clock) -> None:
        """Its call has ended."""
        self._clocks.discard(clock)

    def _tick(self) -> None:
        now = self.now()
        for clock in [clock for clock in self._clocks if clock.end <= now]:
            clock.ran_out = True
            self._clocks.discard(clock)
            if clock.task is not None:
                clock.task.cancel()
        running = asyncio.get_running_loop()
        self._timer = running.call_later(_TICK_S, self._tick) if self._clocks else None
