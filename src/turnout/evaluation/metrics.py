"""The paper's metrics as functions of arrays (section 2.2): PGR, APGR, CPT, and what they mean in dollars.

All take win rates, strong's scores and weak's scores, each of shape (n,), and read the exact curve of
`turnout.evaluation.curve`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from turnout.errors import InvalidValueError
from turnout.evaluation.curve import Floats, RoutingCurve, check_gap, routing_curve
from turnout.types import FloatArray


def pgr(quality: float, strong_quality: float, weak_quality: float) -> float:
    """Performance gap recovered: 0 at weak's quality, 1 at strong's; beyond both if routing does better or worse.

    >>> pgr(quality=8.75, strong_quality=9.0, weak_quality=8.0)
    0.75
    """
    return (quality - weak_quality) / check_gap(strong_quality, weak_quality)


def apgr(win_rates: Floats, strong_scores: Floats, weak_scores: Floats) -> float:
    """Average performance gap recovered: the exact area under PGR over the strong fraction. Random routing has 0.5.

    The paper approximates it by ten points (`apgr_ten_point_grid`). It is not capped at 1: sending each model the
    queries that it alone gets right beats the strong model.

    >>> apgr([0.9, 0.6, 0.4, 0.1], strong_scores=[1, 1, 1, 1], weak_scores=[0, 0, 1, 1])
    0.75
    """
    return area(routing_curve(win_rates, strong_scores, weak_scores))


def area(curve: RoutingCurve) -> float:
    """The area under a curve's PGR over the strong fraction: its APGR."""
    return float(np.trapezoid(curve.pgr(), curve.strong_fraction))


def apgr_ten_point_grid(win_rates: Floats, strong_scores: Floats, weak_scores: Floats) -> float:
    """The paper's approximation of APGR: the mean PGR at strong fractions 0.1, 0.2, … 1. For comparison only.

    It counts the right end of each tenth, so that random routing has 0.55 where the area is 0.5.
    """
    curve = routing_curve(win_rates, strong_scores, weak_scores)
    return float(np.interp(np.arange(1, 11) / 10, curve.strong_fraction, curve.pgr()).mean())


@dataclass(frozen=True)
class CallPerformanceThreshold:
    """CPT(x): how many calls to the strong model buy a share x of the gap."""

    pgr: float
    """x, in [0, 1]."""
    strong_fraction: float
    """Where the curve first reaches x: in expectation, with tied queries split at random; in [0, 1]."""
    reachable_strong_fraction: float
    """The smallest fraction that a threshold gives and that reaches x, in [0, 1]."""
    threshold: float
    """The threshold that gives it."""


def cpt(win_rates: Floats, strong_scores: Floats, weak_scores: Floats, share: float) -> CallPerformanceThreshold:
    """CPT(share): the smallest strong fraction that recovers this share of the gap, say 0.5 for the paper's CPT(50 %).

    >>> point = cpt([0.9, 0.6, 0.4, 0.1], [1, 1, 1, 1], [0, 0, 1, 1], share=0.8)
    >>> point.strong_fraction, point.reachable_strong_fraction
    (0.4, 0.5)

    Raises:
        InvalidValueError: the share is outside [0, 1].
    """
    return crossing(routing_curve(win_rates, strong_scores, weak_scores), share)


def crossing(curve: RoutingCurve, share: float) -> CallPerformanceThreshold:
    """CPT(share) of a curve. There always is one, since all-strong recovers the whole gap."""
    if not 0 <= share <= 1:
        hint = f" For {share:g} % write {share / 100:g}." if 1 < share <= 100 else ""
        raise InvalidValueError(f"The share of the gap must be in [0, 1], got {share:g}.{hint}")
    recovered = curve.pgr()
    first = int(np.flatnonzero(recovered >= share)[0])
    reachable = float(curve.strong_fraction[first])
    if first == 0:
        crossed = reachable
    else:
        below, above = recovered[first - 1], recovered[first]
        start = float(curve.strong_fraction[first - 1])
        crossed = start + (reachable - start) * float((share - below) / (above - below))
    return CallPerformanceThreshold(share, crossed, reachable, float(curve.threshold[first]))


def random_apgr_interval(strong_scores: Floats, weak_scores: Floats) -> tuple[float, float]:
    """Where the APGR of 95 in 100 single random routers lies, around the 0.5 that they have in expectation.

    A random router is a random order of the n queries, and APGR is linear in ranks, so its standard deviation is known:
    (standard deviation of gains / mean gain) · √((n + 1) / 12) / n, with n − 1 under the gains' variance. A router
    inside this range may just have been lucky.

    >>> low, high = random_apgr_interval([1, 1, 1, 1], [0, 1, 0, 1])
    >>> round(low, 3), round(high, 3)
    (0.135, 0.865)
    """
    curve = routing_curve(np.zeros(len(strong_scores)), strong_scores, weak_scores)
    gap = check_gap(curve.strong_quality, curve.weak_quality)
    gain = np.asarray(strong_scores, dtype=np.float64) - np.asarray(weak_scores, dtype=np.float64)
    n = len(gain)
    deviation = 0.0 if n == 1 else float(gain.std(ddof=1)) / gap * np.sqrt((n + 1) / 12) / n
    return 0.5 - 1.96 * float(deviation), 0.5 + 1.96 * float(deviation)


def oracle_win_rates(strong_scores: Floats, weak_scores: Floats) -> FloatArray:
    """Win rates that order queries by what strong truly gains: no router can do better, shape (n,), in [0, 1]."""
    gain = np.asarray(strong_scores, dtype=np.float64) - np.asarray(weak_scores, dtype=np.float64)
    largest = float(np.abs(gain).max(initial=0.0))
    return 0.5 + gain / (2 * largest) if largest > 0 else np.full(gain.shape, 0.5)


def tied_share(win_rates: Floats) -> float:
    """The share of queries whose win rate another query has too, in [0, 1]: how coarse a router's scores are.

    >>> tied_share([0.1, 0.5, 0.5, 0.9])
    0.5
    """
    _, counts = np.unique(np.asarray(win_rates, dtype=np.float64), return_counts=True)
    return float(counts[counts > 1].sum() / max(counts.sum(), 1))


@dataclass(frozen=True)
class Savings:
    """What routing costs beside two other ways to spend. Costs are means over queries, in US dollars a query."""

    strong_fraction: float
    quality: float
    cost_usd: float
    """With this router."""
    random_strong_fraction: float
    """The fraction that random routing needs for the same quality; 1 if not even always-strong has it."""
    random_cost_usd: float
    """With random routing at the same quality: what the paper's table 6 compares with."""
    always_strong_cost_usd: float
    """With every query sent to strong, at strong's quality."""

    @property
    def against_random(self) -> float:
        """The share saved against random routing at the same quality; below 0 if random is cheaper."""
        return 1 - self.cost_usd / self.random_cost_usd

    @property
    def against_always_strong(self) -> float:
        """The share saved against sending everything to strong, whose quality may be higher."""
        return 1 - self.cost_usd / self.always_strong_cost_usd


def savings(
    win_rates: Floats,
    strong_scores: Floats,
    weak_scores: Floats,
    strong_cost_usd: Floats,
    weak_cost_usd: Floats,
    *,
    strong_fraction: float,
) -> Savings:
    """What a router costs at a strong fraction, from the dollars that each model took for each query.

    Args:
        win_rates: the router's estimates, shape (n,).
        strong_scores: shape (n,).
        weak_scores: shape (n,).
        strong_cost_usd: US dollars for each query, shape (n,).
        weak_cost_usd: US dollars for each query, shape (n,).
        strong_fraction: in [0, 1]; between reachable fractions, in expectation.
    """
    strong_cost, weak_cost = np.asarray(strong_cost_usd, float), np.asarray(weak_cost_usd, float)
    quality_curve = routing_curve(win_rates, strong_scores, weak_scores)
    cost_curve = routing_curve(win_rates, strong_cost, weak_cost)
    quality = quality_curve.quality_at(strong_fraction)
    gap = check_gap(quality_curve.strong_quality, quality_curve.weak_quality)
    random_fraction = float(np.clip((quality - quality_curve.weak_quality) / gap, 0, 1))
    return Savings(
        strong_fraction=strong_fraction,
        quality=quality,
        cost_usd=cost_curve.quality_at(strong_fraction),
        random_strong_fraction=random_fraction,
        random_cost_usd=float((1 - random_fraction) * weak_cost.mean() + random_fraction * strong_cost.mean()),
        always_strong_cost_usd=float(strong_cost.mean()),
    )
