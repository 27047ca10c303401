"""The exact routing curve: quality against strong fraction, one point for every distinct threshold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from turnout.errors import EmptyDataError, InvalidValueError
from turnout.types import FloatArray, IntArray

Floats = FloatArray | Sequence[float]


@dataclass(frozen=True)
class RoutingCurve:
    """What a router reaches at every threshold, from all-weak to all-strong.

    Queries with equal win rates go the same way at any threshold. Between two reachable points the curve is a straight
    line: what sending a random part of the tied queries to strong gives in expectation.
    """

    strong_fraction: FloatArray
    """Shape (p,), ascending from 0 to 1: the reachable fractions."""
    gained: FloatArray
    """Shape (p,): the sum of scores above all-weak at each. Sums of right-or-wrong scores are exact, means are not."""
    threshold: FloatArray
    """Shape (p,), descending: the highest threshold that gives each point. All-weak has infinity; where win rates are
    NaN, they go to strong before any other."""
    weak_quality: float
    """Mean score with every query sent to weak."""
    n_queries: int

    @property
    def quality(self) -> FloatArray:
        """Mean score at each point, in the benchmark's own scale, shape (p,)."""
        return self.weak_quality + self.gained / self.n_queries

    @property
    def strong_quality(self) -> float:
        """Mean score with every query sent to strong."""
        return float(self.quality[-1])

    def quality_at(self, strong_fraction: float) -> float:
        """Mean score at any fraction in [0, 1]; between reachable points, in expectation."""
        return float(np.interp(strong_fraction, self.strong_fraction, self.quality))

    def at_threshold(self, threshold: float) -> tuple[float, float]:
        """(strong fraction, quality) of routing by this threshold with `turnout.policy`."""
        point = len(self.threshold) - 1 - int(np.searchsorted(self.threshold[::-1], threshold, side="left"))
        return float(self.strong_fraction[point]), float(self.quality[point])

    def pgr(self) -> FloatArray:
        """Performance gap recovered at each point, shape (p,): 0 at all-weak, 1 at all-strong (paper, section 2.2).

        Raises:
            InvalidValueError: strong is not better than weak, so that there is no gap to recover.
        """
        check_gap(self.strong_quality, self.weak_quality)
        recovered: FloatArray = self.gained / self.gained[-1]
        return recovered


def routing_curve(win_rates: Floats, strong_scores: Floats, weak_scores: Floats) -> RoutingCurve:
    """The curve of a router's win rates over the two models' scores.

    Args:
        win_rates: the router's estimates, shape (n,).
        strong_scores: the strong model's score on each query, shape (n,).
        weak_scores: the weak model's, shape (n,).

    Raises:
        EmptyDataError: there is no query.
        InvalidValueError: shapes differ, or a score is not a number.

    >>> curve = routing_curve([0.9, 0.6, 0.6, 0.1], strong_scores=[1, 1, 0, 1], weak_scores=[0, 0, 0, 1])
    >>> curve.strong_fraction.tolist(), curve.quality.tolist()
    ([0.0, 0.25, 0.75, 1.0], [0.25, 0.5, 0.75, 0.75])
    """
    ranking = Ranking.of(win_rates, strong_scores, weak_scores)
    n_strong = np.concatenate([[0], ranking.ends])
    gained = np.concatenate([[0.0], np.cumsum(ranking.gain)[ranking.ends - 1]])
    return RoutingCurve(
        strong_fraction=n_strong / len(ranking.gain),
        gained=gained,
        threshold=np.concatenate([[np.inf], ranking.thresholds]),
        weak_quality=float(np.mean(ranking.weak)),
        n_queries=len(ranking.gain),
    )


@dataclass(frozen=True)
class Ranking:
    """Queries in the order in which a falling threshold sends them to strong, in groups of equal win rates."""

    order: IntArray
    """Shape (n,): the queries' rows, highest win rate first."""
    ends: IntArray
    """Shape (g,): how many queries have gone to strong after each group."""
    thresholds: FloatArray
    """Shape (g,): each group's win rate."""
    gain: FloatArray
    """Shape (n,), in this order: strong's score − weak's."""
    weak: FloatArray
    """Shape (n,), in this order: weak's score."""

    @classmethod
    def of(cls, win_rates: Floats, strong_scores: Floats, weak_scores: Floats) -> Ranking:
        """The ranking of checked columns of equal length n ≥ 1."""
        rates, strong, weak = (np.asarray(c, dtype=np.float64) for c in (win_rates, strong_scores, weak_scores))
        if not rates.shape == strong.shape == weak.shape or rates.ndim != 1:
            raise InvalidValueError(
                f"win_rates, strong_scores and weak_scores must be of one length, got shapes {rates.shape}, "
                f"{strong.shape} and {weak.shape}."
            )
        if not len(rates):
            raise EmptyDataError("There is no query to measure on.")
        for name, scores in (("strong", strong), ("weak", weak)):
            if not np.isfinite(scores).all():
                raise InvalidValueError(
                    f"{np.count_nonzero(~np.isfinite(scores))} of {len(scores)} scores of the {name} model are not "
                    "numbers. Keep only queries that both models have a score for: outcomes.for_pair(pair)"
                )
        sortable = np.where(np.isnan(rates), np.inf, rates)  # no win rate: strong at every threshold
        order = np.argsort(-sortable, kind="stable")
        falling = sortable[order]
        ends = np.append(np.flatnonzero(falling[1:] < falling[:-1]) + 1, len(rates))
        return cls(order, ends, falling[ends - 1], (strong - weak)[order], weak[order])


def is_gap(strong_quality: float, weak_quality: float) -> bool:
    """Whether strong is better than weak, by more than rounding makes the means of equal scores differ.

    >>> is_gap(0.7, 0.6), is_gap(0.6, 0.6 - 1e-16), is_gap(0.5, 0.6)
    (True, False, False)
    """
    return strong_quality - weak_quality > 1e-12 * max(1.0, abs(strong_quality))


def check_gap(strong_quality: float, weak_quality: float, *, where: str = "here") -> float:
    """The gap that routing can recover; `where` names the data in the error.

    Raises:
        InvalidValueError: strong is not better than weak.
    """
    if not is_gap(strong_quality, weak_quality):
        raise InvalidValueError(
            f"The strong model is not better than the weak one {where}: {strong_quality:.4g} against "
            f"{weak_quality:.4g}. There is no gap to recover, so PGR, APGR and CPT are not defined. Are the two models "
            "swapped?"
        )
    return strong_quality - weak_quality
