"""A budget in US dollars that is never exceeded: the worst case is set aside before a call, and settled after it."""

from __future__ import annotations

import asyncio
import math

from turnout.errors import BudgetExceededError, InvalidValueError

_ROUNDING_USD = 1e-9


class Budget:
    """What may be spent, what is spent, and what calls under way may still cost. All in US dollars.

    >>> budget = Budget(1.0, spent_usd=0.25)
    >>> asyncio.run(budget.reserve(0.5))
    >>> budget.settle(0.5, 0.125)
    >>> budget.spent_usd
    0.375
    """

    def __init__(self, limit_usd: float | None = None, *, spent_usd: float = 0.0) -> None:
        """Set up.

        Args:
            limit_usd: the most that may be spent, with what is spent already; None sets no limit.
            spent_usd: what earlier runs have spent.
        """
        if limit_usd is not None and not (math.isfinite(limit_usd) and limit_usd > 0):
            raise InvalidValueError(f"The budget must be a number of dollars above 0, got {limit_usd}.")
        self.limit_usd = limit_usd
        self.spent_usd = spent_usd
        self._reserved: list[float] = []
        self._settled = asyncio.Event()

    async def reserve(self, usd: float) -> None:
        """Set a call's worst case aside; waits while calls under way may still turn out cheaper.

        Raises:
            BudgetExceededError: it does not fit, and nothing is under way that could make room.
        """
        while not self._fits(usd):
            if not self._reserved:
                raise BudgetExceededError(
                    f"The budget of ${self.limit_usd:g} does not allow another call: ${self.spent_usd:.4f} is spent, "
                    f"and the next call may cost ${usd:.4f}. What was done is kept; with a larger budget the same "
                    "command goes on from there."
                )
            await self._settled.wait()
        self._reserved.append(usd)

    def settle(self, reserved_usd: float, spent_usd: float) -> None:
        """Put what a call did cost in the place of what was set aside for it."""
        self._reserved.remove(reserved_usd)
        self.spent_usd += spent_usd
        self._settled.set()
        self._settled = asyncio.Event()

    def _fits(self, usd: float) -> bool:
        if self.limit_usd is None:
            return True
        return self.spent_usd + math.fsum(self._reserved) + usd <= self.limit_usd + _ROUNDING_USD
