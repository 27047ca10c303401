"""95 % intervals by the bootstrap over test queries, vectorised: no query is ranked twice.

A replicate draws n queries with replacement. Drawing a query twice is giving it weight 2, and weights do not change
the order of win rates, so each replicate is two cumulative sums over an order that is computed once.

Where several training seeds leave different test queries of one benchmark, a replicate draws once from the whole
benchmark, each seed is measured on those of the drawn queries that it may be tested on, and the seeds' metrics are
averaged within the replicate. The seeds' test sets overlap, and what they share moves all of them at once: drawing for
each seed by itself would average that away, and give an interval that is too short.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from turnout.errors import InvalidValueError
from turnout.evaluation.curve import Floats, Ranking
from turnout.types import FloatArray, IntArray

DEFAULT_REPLICATES = 1_000
_CHUNK_VALUES = 1_000_000
"""How many weights a chunk of replicates may hold at once: bounds memory to about 100 MB."""


@dataclass(frozen=True)
class Interval:
    """A 95 % interval: the 2.5th and the 97.5th percentile of the bootstrap's replicates."""

    low: float
    high: float

    @classmethod
    def of(cls, replicates: FloatArray) -> Interval:
        """The interval of replicates, shape (r,); those that are NaN (no gap in that draw) do not count."""
        known = replicates[~np.isnan(replicates)]
        if not len(known):
            raise InvalidValueError(
                "In no bootstrap draw was the strong model better than the weak one: there are too few queries for "
                "an interval."
            )
        low, high = np.percentile(known, [2.5, 97.5])
        return cls(float(low), float(high))

    def excludes_zero(self) -> bool:
        """Whether a difference with this interval counts."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class Replicates:
    """The metrics of r bootstrap draws; NaN where strong is not better than weak in a draw."""

    apgr: FloatArray
    """Shape (r,)."""
    cpt: dict[float, FloatArray]
    """Share of the gap → shape (r,)."""
    quality: FloatArray
    """Shape (r, f): at each of the strong fractions that were asked for."""
    pgr: FloatArray
    """Shape (r, f)."""


def bootstrap(
    win_rates: Floats,
    strong_scores: Floats,
    weak_scores: Floats,
    *,
    rows: IntArray | None = None,
    n_queries: int | None = None,
    shares: Sequence[float] = (0.5, 0.8),
    strong_fractions: Sequence[float] = (0.5,),
    n_replicates: int = DEFAULT_REPLICATES,
    seed: int = 0,
) -> Replicates:
    """The metrics of `n_replicates` draws of queries with replacement.

    Calls with the same n_queries, n_replicates and seed draw the same queries, so that replicates of two routers can be
    subtracted one by one (`paired_difference`), and those of several training seeds averaged (`over_seeds`).

    Args:
        win_rates: shape (n,).
        strong_scores: shape (n,).
        weak_scores: shape (n,).
        rows: which of the benchmark's queries these are, shape (n,); by default they are all of them.
        n_queries: how many queries the benchmark has, where `rows` is given.
        shares: for which shares of the gap CPT is computed.
        strong_fractions: for which fractions quality and PGR are computed.
        n_replicates: how many draws.
        seed: equal seeds give equal draws.

    Raises:
        InvalidValueError: n_replicates is below 1, or the columns do not fit together.
    """
    if n_replicates < 1:
        raise InvalidValueError(f"n_replicates must be at least 1, got {n_replicates}.")
    ranking = Ranking.of(win_rates, strong_scores, weak_scores)
    drawn_from = len(ranking.order) if n_queries is None else n_queries
    ranked = ranking.order if rows is None else rows[ranking.order]
    parts = [
        _measure(ranking, weights, shares, strong_fractions)
        for weights in _drawn_weights(drawn_from, ranked, n_replicates, seed)
    ]
    return Replicates(
        apgr=np.concatenate([part.apgr for part in parts]),
        cpt={share: np.concatenate([part.cpt[share] for part in parts]) for share in shares},
        quality=np.concatenate([part.quality for part in parts]),
        pgr=np.concatenate([part.pgr for part in parts]),
    )


def _drawn_weights(n_queries: int, ranked: IntArray, n_replicates: int, seed: int) -> Iterator[FloatArray]:
    """How often each draw holds each query, in the ranking's order: chunks of shape (r, n).

    Each draw is a multinomial sample. They are drawn one by one, so that chunks do not change what is drawn.
    """
    random = np.random.default_rng(seed)
    chunk = max(1, _CHUNK_VALUES // len(ranked))
    for start in range(0, n_replicates, chunk):
        weights = np.empty((min(chunk, n_replicates - start), len(ranked)))
        for draw in weights:
            draw[:] = np.bincount(random.integers(0, n_queries, size=n_queries), minlength=n_queries)[ranked]
        yield weights


def _measure(
    ranking: Ranking, weights: FloatArray, shares: Sequence[float], strong_fractions: Sequence[float]
) -> Replicates:
    """The metrics under each row of weights, shape (r, n), which are in the ranking's order."""
    ends = ranking.ends - 1
    n_drawn = np.maximum(weights.sum(axis=1, keepdims=True), 1.0)
    fraction = _from_zero(np.cumsum(weights, axis=1)[:, ends]) / n_drawn
    gained = _from_zero(np.cumsum(weights * ranking.gain, axis=1)[:, ends])
    gap = gained[:, -1:]
    gap = np.where(gap > 1e-12 * n_drawn, gap, np.nan)  # as in check_gap
    recovered = gained / gap
    weak = weights @ ranking.weak
    gained_at = _interpolate(fraction, gained, strong_fractions)
    return Replicates(
        apgr=np.trapezoid(recovered, fraction, axis=1),
        cpt={share: _first_crossing(fraction, recovered, share) for share in shares},
        quality=(weak[:, None] + gained_at) / n_drawn,
        pgr=gained_at / gap,
    )


def _from_zero(values: FloatArray) -> FloatArray:
    return np.concatenate([np.zeros((len(values), 1)), values], axis=1)


def _first_crossing(fraction: FloatArray, recovered: FloatArray, share: float) -> FloatArray:
    rows = np.arange(len(fraction))
    first = np.argmax(recovered >= share, axis=1)
    before = np.maximum(first - 1, 0)
    low, high = recovered[rows, before], recovered[rows, first]
    start, end = fraction[rows, before], fraction[rows, first]
    within = np.divide(share - low, high - low, out=np.zeros_like(low), where=high > low)
    return np.where(np.isnan(recovered[:, -1]), np.nan, start + (end - start) * within)


def _interpolate(fraction: FloatArray, values: FloatArray, at: Sequence[float]) -> FloatArray:
    return np.array([np.interp(at, x, y) for x, y in zip(fraction, values, strict=True)])


Metric = Callable[[Replicates], FloatArray]
"""Picks one metric's replicates, such as `lambda replicates: replicates.apgr`."""


def over_seeds(metric: Metric, seeds: Sequence[Replicates]) -> FloatArray:
    """A metric's replicates averaged over training seeds, within each draw."""
    mean: FloatArray = np.mean([metric(replicates) for replicates in seeds], axis=0)
    return mean


def paired_difference(metric: Metric, first: Sequence[Replicates], second: Sequence[Replicates]) -> Interval:
    """The interval of a metric's difference, first − second, between two routers over the same draws.

    Args:
        metric: which metric.
        first: one entry a training seed.
        second: one entry a training seed, over the same queries and with the same bootstrap seed.

    Raises:
        InvalidValueError: the two have different numbers of replicates.
    """
    ours, theirs = over_seeds(metric, first), over_seeds(metric, second)
    if ours.shape != theirs.shape:
        raise InvalidValueError(f"Replicates cannot be paired: {ours.shape} against {theirs.shape}.")
    return Interval.of(ours - theirs)
