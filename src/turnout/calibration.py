"""A wish (at most this share of queries to strong) → a threshold. It never exceeds the wish.

A threshold belongs to one fitted router: it is read off the win rates which that router gives to real queries.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from turnout.errors import ArtifactError, EmptyDataError, InvalidValueError
from turnout.types import JSON, FloatArray, IntArray

MAX_KEPT = 2_001
"""How many reachable points a calibration keeps: neighbours then lie about a twentieth of a per cent apart."""


@dataclass(frozen=True)
class OperatingPoint:
    """A threshold, and what it does on the queries that it was calibrated on."""

    threshold: float
    wished_strong_fraction: float
    """What was asked for, in [0, 1]."""
    strong_fraction: float
    """The largest reachable fraction that is not above the wish, in [0, 1]."""
    n_queries: int


def calibrate(win_rates: FloatArray | Sequence[float], strong_fraction: float) -> OperatingPoint:
    """The threshold that sends the largest reachable share of these queries to strong, not above the wish.

    Equal win rates go the same way, so not every fraction can be reached. The threshold is midway between the lowest
    win rate that goes to strong and the highest that goes to weak.

    Args:
        win_rates: a router's estimates on queries like those it will see, shape (n,).
        strong_fraction: the wish, in [0, 1].

    Raises:
        InvalidValueError: the wish is outside [0, 1], or a win rate is not a number.
        EmptyDataError: there is no win rate.

    >>> calibrate([0.1, 0.2, 0.3, 0.9], strong_fraction=0.5)
    OperatingPoint(threshold=0.25, wished_strong_fraction=0.5, strong_fraction=0.5, n_queries=4)
    >>> calibrate([0.1, 0.5, 0.5, 0.5], strong_fraction=0.5).strong_fraction
    0.0
    """
    return Calibration.from_win_rates(win_rates, data="", max_kept=None).operating_point(strong_fraction)


def check_strong_fraction(strong_fraction: float) -> None:
    """Raise InvalidValueError unless the fraction is in [0, 1]; 50 is taken for the slip that it is."""
    if not 0 <= strong_fraction <= 1:
        hint = f" For {strong_fraction:g} % write {strong_fraction / 100:g}." if 1 < strong_fraction <= 100 else ""
        raise InvalidValueError(f"strong_fraction must be in [0, 1], got {strong_fraction:g}.{hint}")


@dataclass(frozen=True, eq=False)
class Calibration:
    """Which strong fractions a fitted router can reach on real queries, and by which thresholds."""

    thresholds: FloatArray
    """Shape (p,), descending: from one that sends nothing to strong to one that sends everything. At most 2,001 of
    the reachable ones are kept, evenly spread; each lies midway between two win rates that were seen."""
    n_strong: IntArray
    """Shape (p,), ascending from 0 to n_queries: how many queries each threshold sends to strong, counted, not guessed.
    """
    n_queries: int
    """How many queries were seen."""
    data: str
    """Which queries these were."""

    @classmethod
    def from_win_rates(
        cls, win_rates: FloatArray | Sequence[float], *, data: str, max_kept: int | None = MAX_KEPT
    ) -> Calibration:
        """A calibration from a router's estimates on queries like those it will see.

        Args:
            win_rates: shape (n,).
            data: which queries these are.
            max_kept: how many reachable points to keep, at least 2; None keeps all.

        Raises:
            EmptyDataError: there is no win rate.
            InvalidValueError: a win rate is not a number.
        """
        rates = np.sort(np.asarray(win_rates, dtype=np.float64))[::-1]
        n = len(rates)
        if not n:
            raise EmptyDataError("There is no query to calibrate on.")
        if not np.isfinite(rates).all():
            raise InvalidValueError(
                f"{np.count_nonzero(~np.isfinite(rates))} of {n} win rates are not numbers: the router cannot be "
                "calibrated on these queries. Leave them out, or mend the router."
            )
        falls = np.flatnonzero(np.diff(rates)) + 1
        thresholds = np.concatenate(
            [[np.nextafter(rates[0], np.inf)], _midway(rates[falls - 1], rates[falls]), rates[-1:]]
        )
        n_strong = np.concatenate([[0], falls, [n]]).astype(np.int64)
        if max_kept is not None and len(n_strong) > max_kept:
            kept = np.unique(np.searchsorted(n_strong, np.linspace(0, n, max_kept)))
            thresholds, n_strong = thresholds[kept], n_strong[kept]
        return cls(thresholds, n_strong, n, data)

    @property
    def lowest(self) -> float:
        """The lowest win rate seen."""
        return float(self.thresholds[-1])

    @property
    def highest(self) -> float:
        """The highest win rate seen."""
        return float(np.nextafter(self.thresholds[0], -np.inf))

    @property
    def is_constant(self) -> bool:
        """Whether all queries had the same win rate, so that only 0 and 1 can be reached."""
        return self.lowest == self.highest

    def operating_point(self, strong_fraction: float) -> OperatingPoint:
        """The threshold of the largest kept fraction that is not above the wish, in [0, 1]; see `calibrate`.

        Raises:
            InvalidValueError: the wish is outside [0, 1].
        """
        check_strong_fraction(strong_fraction)
        # A wish of 0.3 on 10 queries means 3, though 0.3 * 10 is a little less in floating point.
        wished = strong_fraction * self.n_queries + 1e-9
        point = int(np.searchsorted(self.n_strong, wished, side="right")) - 1
        achieved = int(self.n_strong[point]) / self.n_queries
        return OperatingPoint(float(self.thresholds[point]), strong_fraction, achieved, self.n_queries)

    def covers(self, threshold: float) -> bool:
        """Whether the threshold lies within the win rates seen; outside it, all queries go one way."""
        return self.lowest <= threshold <= self.highest

    def to_json(self) -> dict[str, JSON]:
        """As an object for calibration.json."""
        return {
            "data": self.data,
            "n_queries": self.n_queries,
            "thresholds": self.thresholds.tolist(),
            "n_strong": self.n_strong.tolist(),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, JSON]) -> Calibration:
        """The calibration that `to_json` described.

        Raises:
            ArtifactError: the object is not one.
        """
        try:
            thresholds = np.array(value["thresholds"], dtype=np.float64)
            n_strong = np.array(value["n_strong"], dtype=np.int64)
            n_queries, data = int(value["n_queries"]), str(value["data"])
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise _damaged(repr(error)) from error
        if thresholds.ndim != 1 or thresholds.shape != n_strong.shape or len(thresholds) < 2:
            raise _damaged(f"thresholds and n_strong have shapes {thresholds.shape} and {n_strong.shape}")
        if not np.isfinite(thresholds).all() or (np.diff(thresholds) >= 0).any():
            raise _damaged("thresholds must descend")
        if n_strong[0] != 0 or n_strong[-1] != n_queries or (np.diff(n_strong) <= 0).any():
            raise _damaged(f"n_strong must ascend from 0 to {n_queries}")
        return cls(thresholds, n_strong, n_queries, data)


def _midway(lowest_strong: FloatArray, highest_weak: FloatArray) -> FloatArray:
    midway = highest_weak + (lowest_strong - highest_weak) / 2
    # Between neighbouring floating-point numbers there is no midway that is above the lower one.
    return np.where(midway > highest_weak, midway, lowest_strong)


def _damaged(problem: str) -> ArtifactError:
    return ArtifactError(f"calibration.json is damaged: {problem}. Calibrate anew: turnout calibrate")
