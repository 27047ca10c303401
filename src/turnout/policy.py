"""Win rates → decisions: the one place where a win rate meets a threshold.

Evaluation and serving both call it, so what was measured is what runs.
"""

from __future__ import annotations

import math
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from turnout.errors import InvalidValueError
from turnout.types import BoolArray, FloatArray, ModelPair

Side = Literal["strong", "weak"]
Reason = Literal["at or above the threshold", "below the threshold", "no win rate"]


def sends_to_strong(win_rates: FloatArray | Sequence[float], threshold: float) -> BoolArray:
    """True where the query goes to the strong model, shape (n,).

    The rule of the paper (section 2): strong if win rate ≥ threshold. A win rate that is not a number goes to
    strong, since a router that cannot tell must not cost quality.

    >>> sends_to_strong([0.2, 0.5, float("nan")], threshold=0.5).tolist()
    [False, True, True]
    """
    return ~(np.asarray(win_rates, dtype=np.float64) < threshold)


def new_decision_id() -> str:
    """An id that no other decision has, such as 'dec-0644c1f2a8e6d15b9c2448ab'.

    It begins with the time in microseconds, so that ids grow: an index of growing keys is written at its end, and one
    of random keys all over. Forty random bits keep those of the same moment apart.
    """
    return f"dec-{time.time_ns() // 1_000:014x}{secrets.token_hex(5)}"


@dataclass(frozen=True, slots=True)
class Decision:
    """What was chosen for one query, and why."""

    model: str
    """The chosen model's name."""
    side: Side
    win_rate: float
    """The router's estimate, in [0, 1]; NaN if it gave none."""
    threshold: float
    reason: str
    """Such as 'below the threshold'; others are given by who overrides the rule (the gateway's fallbacks)."""
    route: str | None = None
    """The model name that the client asked for, where there is one."""
    id: str = field(default_factory=new_decision_id)
    """What feedback refers to."""


@dataclass(frozen=True, slots=True)
class Policy:
    """The rule for one route: which pair, and from which win rate on the strong model is worth its price."""

    pair: ModelPair
    threshold: float
    """Any number: 0 or less sends everything to strong; above 1 sends everything to weak."""
    route: str | None = None

    def __post_init__(self) -> None:
        if np.isnan(self.threshold):
            raise InvalidValueError("threshold must be a number, got NaN.")

    def decide(self, win_rates: FloatArray | Sequence[float]) -> list[Decision]:
        """One decision for each win rate, in order.

        >>> policy = Policy(ModelPair("gpt-4", "mixtral"), threshold=0.5)
        >>> [decision.model for decision in policy.decide([0.7, 0.3])]
        ['gpt-4', 'mixtral']
        """
        rates = np.asarray(win_rates, dtype=np.float64)
        return [
            self._decision(rate, strong)
            for rate, strong in zip(rates.tolist(), sends_to_strong(rates, self.threshold).tolist(), strict=True)
        ]

    def _decision(self, win_rate: float, strong: bool) -> Decision:
        reason: Reason = "at or above the threshold" if strong else "below the threshold"
        return Decision(
            model=self.pair.strong if strong else self.pair.weak,
            side="strong" if strong else "weak",
            win_rate=win_rate,
            threshold=self.threshold,
            reason="no win rate" if math.isnan(win_rate) else reason,
            route=self.route,
        )
