"""The circuit breaker of one address: closed, open, half-open.

Closed, calls go through, and their ends are remembered. Once `failures` of the last twice as many calls have failed, it
opens: no call goes through for `open_s`. Then it is half-open: a single call probes. If that one works the breaker
closes and forgets; if not it opens for twice as long as before, at most 32 times `open_s`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal

State = Literal["closed", "open", "half-open"]

_MOST_DOUBLINGS = 5


class Breaker:
    """Tells whether a call may be made, and is told how it ended. Takes a fraction of a microsecond.

    >>> breaker = Breaker(failures=1, open_s=10)
    >>> ticket = breaker.begin()
    >>> breaker.failed(ticket)
    >>> breaker.allows(), breaker.state
    (False, 'open')
    """

    def __init__(self, *, failures: int, open_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._failures = failures
        """0 switches it off."""
        self._open_s = open_s
        self._clock = clock
        self._last_calls = (1 << 2 * failures) - 1
        self._failed = 0  # a bit a call, the latest in the lowest place; 1 is a failure
        self._opened_until: float | None = None
        self._probing = False
        self._doublings = 0
        # Calls that began under an earlier state have nothing to say about this one.
        self._period = 0
        self.times_opened = 0

    @property
    def state(self) -> State:
        """What it is at the moment."""
        if self._opened_until is None:
            return "closed"
        return "half-open" if self._probing or self._clock() >= self._opened_until else "open"

    def allows(self) -> bool:
        """Whether a call may begin now."""
        until = self._opened_until
        return until is None or (not self._probing and self._clock() >= until)

    def opens_again_in_s(self) -> float:
        """How long until a call may probe; 0 if one may, or is under way."""
        return 0.0 if self._opened_until is None else max(0.0, self._opened_until - self._clock())

    def begin(self) -> int:
        """A ticket for a call that begins, which `allows` has allowed."""
        if self._opened_until is not None:
            self._probing = True
            self._period += 1
        return self._period

    def succeeded(self, ticket: int) -> None:
        """The call was answered."""
        if ticket != self._period:
            return
        if self._probing:
            self._close()
        else:
            self._failed = self._failed << 1 & self._last_calls

    def failed(self, ticket: int) -> None:
        """The call was not answered as it should be."""
        if ticket != self._period or not self._failures:
            return
        if self._probing:
            self._doublings = min(self._doublings + 1, _MOST_DOUBLINGS)
            self._open()
            return
        self._failed = (self._failed << 1 | 1) & self._last_calls
        if self._failed.bit_count() >= self._failures:
            self._open()

    def dropped(self, ticket: int) -> None:
        """The call was broken off by our own side, which says nothing about the address. Another may probe."""
        if ticket == self._period and self._probing:
            self._probing = False
            self._period += 1

    def _open(self) -> None:
        self._opened_until = self._clock() + self._open_s * 2**self._doublings
        self._probing = False
        self._period += 1
        self.times_opened += 1

    def _close(self) -> None:
        self._opened_until = None
        self._probing = False
        self._failed = self._doublings = 0
        self._period += 1
