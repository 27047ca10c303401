"""95 % intervals by the bootstrap over test queries, vectorised: no query is ranked twice.

A replicate draws n queries with replacement. Drawing a query twice is giving it weight 2, and weights do not change
the order of win rates, so each replicate is two cumulative sums over an order that is computed once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from turnout.errors import InvalidValueError
from turnout.evaluation.curve import Floats, Ranking
from turnout.types import FloatArray

DEFAULT_REPLICATES = 1_000
_CHUNK_VALUES = 4_000_000
"""How many numbers a chunk of replicates may hold at once: bounds memory to about 100 MB."""


@dataclass(frozen=True)
class Interval:
    """A 95 % interval: the 2.5th and the 97.5th percentile of the bootstrap's replicates."""

    low: float
    high: float

    @classmethod
    def of(cls, replicates: FloatArray) -> Interval:
        """The interval of replicates, shape (r,); those that are NaN (no gap in that draw) do not count."""
        low, high = np.nanpercentile(replicates, [2.5, 97.5])
        return cls(float(low), float(high))

    def excludes_zero(self) -> bool:
        """Whether a difference with this interval counts."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class Replicates:
    """The metrics of r bootstrap draws of the same queries."""

    apgr: FloatArray
    """Shape (r,)."""
    cpt: dict[float, FloatArray]
    """Share of the gap → shape (r,)."""
    quality: dict[float, FloatArray]
    """Strong fraction → shape (r,)."""


def bootstrap(
    win_rates: Floats,
    strong_scores: Floats,
    weak_scores: Floats,
    *,
    shares: Sequence[float] = (0.5, 0.8),
    strong_fractions: Sequence[float] = (0.5,),
    n_replicates: int = DEFAULT_REPLICATES,
    seed: int = 0,
) -> Replicates:
    """The metrics of `n_replicates` draws of n queries with replacement.

    Calls with the same n, seed and n_replicates draw the same queries, so that two routers' replicates can be
    subtracted one by one (`paired_difference`).

    Args:
        win_rates: shape (n,).
        strong_scores: shape (n,).
        weak_scores: shape (n,).
        shares: for which shares of the gap CPT is computed.
        strong_fractions: for which fractions quality is computed.
        n_replicates: how many draws.
        seed: equal seeds give equal draws.
    """
    if n_replicates < 1:
        raise InvalidValueError(f"n_replicates must be at least 1, got {n_replicates}.")
    ranking = Ranking.of(win_rates, strong_scores, weak_scores)
    n = len(ranking.order)
    random = np.random.default_rng(seed)
    parts: list[Replicates] = []
    for start in range(0, n_replicates, chunk := max(1, _CHUNK_VALUES // n)):
        draws = random.multinomial(n, np.full(n, 1 / n), size=min(chunk, n_replicates - start))
        parts.append(_measure(ranking, draws[:, ranking.order].astype(np.float64), shares, strong_fractions))
    return Replicates(
        apgr=np.concatenate([part.apgr for part in parts]),
        cpt={share: np.concatenate([part.cpt[share] for part in parts]) for share in shares},
        quality={f: np.concatenate([part.quality[f] for part in parts]) for f in strong_fractions},
    )


def _measure(
    ranking: Ranking, weights: FloatArray, shares: Sequence[float], strong_fractions: Sequence[float]
) -> Replicates:
    """The metrics under each row of weights, shape (r, n), which are in the ranking's order."""
    n = weights.shape[1]
    ends = ranking.ends - 1
    fraction = _from_zero(np.cumsum(weights, axis=1)[:, ends]) / n
    gained = _from_zero(np.cumsum(weights * ranking.gain, axis=1)[:, ends]) / n
    gap = gained[:, -1:]
    with np.errstate(divide="ignore", invalid="ignore"):
        recovered = np.where(gap > 0, gained / gap, np.nan)
    recovered[gap[:, 0] > 0, -1] = 1.0
    weak = weights @ ranking.weak / n
    return Replicates(
        apgr=np.trapezoid(recovered, fraction, axis=1),
        cpt={share: _first_crossing(fraction, recovered, share) for share in shares},
        quality={f: weak + _interpolate(fraction, gained, f) for f in strong_fractions},
    )


def _from_zero(values: FloatArray) -> FloatArray:
    return np.concatenate([np.zeros((len(values), 1)), values], axis=1)


def _first_crossing(fraction: FloatArray, recovered: FloatArray, share: float) -> FloatArray:
    rows = np.arange(len(fraction))
    first = np.argmax(recovered >= share, axis=1)
    before = np.maximum(first - 1, 0)
    low, high = recovered[rows, before], recovered[rows, first]
    start, end = fraction[rows, before], fraction[rows, first]
    with np.errstate(divide="ignore", invalid="ignore"):
        crossed = np.where(first == 0, start, start + (end - start) * (share - low) / (high - low))
    return np.where(np.isnan(recovered[:, -1]), np.nan, crossed)


def _interpolate(fraction: FloatArray, values: FloatArray, at: float) -> FloatArray:
    return np.array([np.interp(at, x, y) for x, y in zip(fraction, values, strict=True)])


def paired_difference(
    metric: Callable[[Replicates], FloatArray], first: Sequence[Replicates], second: Sequence[Replicates]
) -> Interval:
    """The interval of a difference between two routers over the same draws; seeds are averaged within each draw.

    Args:
        metric: which metric, such as `lambda replicates: replicates.apgr`.
        first: one entry a seed.
        second: one entry a seed, drawn with the same queries and bootstrap seeds.
    """
    return Interval.of(over_seeds(metric, first) - over_seeds(metric, second))


def over_seeds(metric: Callable[[Replicates], FloatArray], seeds: Sequence[Replicates]) -> FloatArray:
    """A metric's replicates, shape (r,), averaged over training seeds (seeds nested in draws)."""
    mean: FloatArray = np.mean([metric(replicates) for replicates in seeds], axis=0)
    return mean
