"""A wish (at most this share of queries to strong) → a threshold. It never exceeds the wish.

A threshold belongs to one fitted router: it is read off the win rates which that router gives to real queries.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from turnout.errors import ArtifactError, EmptyDataError, InvalidValueError
from turnout.types import JSON, FloatArray

MAX_KEPT = 2_001
"""How many quantiles of the win rates a calibration keeps."""


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
    check_strong_fraction(strong_fraction)
    rates = np.sort(np.asarray(win_rates, dtype=np.float64))[::-1]
    if not len(rates):
        raise EmptyDataError("There is no query to calibrate on.")
    if np.isnan(rates).any():
        raise InvalidValueError(f"{np.isnan(rates).sum()} of {len(rates)} win rates are not numbers.")
    n = len(rates)
    # Reachable counts of strong: 0, n, and every place where the win rate falls.
    reachable = np.concatenate([[0], np.flatnonzero(np.diff(rates)) + 1, [n]])
    # A wish of 0.3 on 10 queries means 3, though 0.3 * 10 is a little less in floating point.
    count = int(reachable[reachable <= strong_fraction * n + 1e-9][-1])
    return OperatingPoint(_threshold_after(rates, count), strong_fraction, count / n, n)


def _threshold_after(descending: FloatArray, count: int) -> float:
    """A threshold that `count` of these win rates reach: midway to the next lower one, or beyond the ends."""
    if count == 0:
        return float(np.nextafter(descending[0], np.inf))
    if count == len(descending):
        return float(descending[-1])
    lowest_strong, highest_weak = float(descending[count - 1]), float(descending[count])
    midway = highest_weak + (lowest_strong - highest_weak) / 2
    # Between neighbouring floating-point numbers there is no midway that is above the lower one.
    return midway if midway > highest_weak else lowest_strong


def check_strong_fraction(strong_fraction: float) -> None:
    """Raise InvalidValueError unless the fraction is in [0, 1]; 50 is taken for the slip that it is."""
    if not 0 <= strong_fraction <= 1:
        hint = f" For {strong_fraction:g} % write {strong_fraction / 100:g}." if 1 < strong_fraction <= 100 else ""
        raise InvalidValueError(f"strong_fraction must be in [0, 1], got {strong_fraction:g}.{hint}")


@dataclass(frozen=True)
class Calibration:
    """What win rates a fitted router gives on real queries: enough to set any operating point later."""

    win_rates: FloatArray
    """The win rates seen, ascending: all of them, or 2,001 evenly spaced order statistics where there are more."""
    n_queries: int
    """How many queries were seen."""
    data: str
    """Which queries these were."""

    @classmethod
    def from_win_rates(cls, win_rates: FloatArray | Sequence[float], *, data: str) -> Calibration:
        """A calibration from a router's estimates on queries like those it will see.

        Raises:
            EmptyDataError: there is no win rate.
            InvalidValueError: a win rate is not a number.
        """
        rates = np.sort(np.asarray(win_rates, dtype=np.float64))
        if not len(rates):
            raise EmptyDataError("There is no query to calibrate on.")
        if np.isnan(rates).any():
            raise InvalidValueError(f"{np.isnan(rates).sum()} of {len(rates)} win rates are not numbers.")
        n_kept = min(len(rates), MAX_KEPT)
        kept = rates[np.rint(np.linspace(0, len(rates) - 1, n_kept)).astype(int)]
        return cls(kept, len(rates), data)

    @property
    def lowest(self) -> float:
        """The lowest win rate seen."""
        return float(self.win_rates[0])

    @property
    def highest(self) -> float:
        """The highest win rate seen."""
        return float(self.win_rates[-1])

    def operating_point(self, strong_fraction: float) -> OperatingPoint:
        """The threshold for a wish in [0, 1]; see `calibrate`."""
        point = calibrate(self.win_rates, strong_fraction)
        return OperatingPoint(point.threshold, strong_fraction, point.strong_fraction, self.n_queries)

    def covers(self, threshold: float) -> bool:
        """Whether the threshold lies within the win rates seen; outside it, all queries go one way."""
        return self.lowest <= threshold <= self.highest

    def to_json(self) -> dict[str, JSON]:
        """As an object for calibration.json."""
        return {"data": self.data, "n_queries": self.n_queries, "win_rates": self.win_rates.tolist()}

    @classmethod
    def from_json(cls, value: Mapping[str, JSON]) -> Calibration:
        """The calibration that `to_json` described.

        Raises:
            ArtifactError: the object is not one.
        """
        try:
            rates = np.array(value["win_rates"], dtype=np.float64)
            calibration = cls(rates, int(value["n_queries"]), str(value["data"]))
        except (KeyError, TypeError, ValueError) as error:
            raise ArtifactError(
                f"calibration.json is damaged ({error!r}). Calibrate anew: turnout calibrate"
            ) from error
        if rates.ndim != 1 or not len(rates) or np.isnan(rates).any() or (np.diff(rates) < 0).any():
            raise ArtifactError("calibration.json is damaged: win_rates must ascend. Calibrate anew: turnout calibrate")
        return calibration
