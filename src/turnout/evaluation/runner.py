"""Measure routers over a table of outcomes: every metric with its interval, beside random routing and the oracle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import pairwise

import numpy as np

from turnout.errors import InvalidValueError
from turnout.evaluation.bootstrap import (
    DEFAULT_REPLICATES,
    Interval,
    Metric,
    Replicates,
    bootstrap,
    over_seeds,
    paired_difference,
)
from turnout.evaluation.curve import check_gap, routing_curve
from turnout.evaluation.metrics import (
    CallPerformanceThreshold,
    Savings,
    apgr_ten_point_grid,
    area,
    crossing,
    oracle_win_rates,
    random_apgr_interval,
    savings,
    tied_share,
)
from turnout.evaluation.pair_table import PairTable
from turnout.evaluation.replay import Replay
from turnout.types import FloatArray

CPT_SHARES = (0.5, 0.8)
"""The shares of the gap for which the paper gives CPT."""
QUALITY_AT = 0.5
"""The strong fraction at which quality is reported."""
_GRID = np.linspace(0, 1, 101)


@dataclass(frozen=True)
class Estimate:
    """A metric on the test queries (the mean over training seeds), and its 95 % interval."""

    value: float
    interval: Interval
    by_seed: tuple[float, ...]
    """One entry a training seed."""

    @property
    def spread(self) -> float:
        """The standard deviation over training seeds; 0 where there is one."""
        return float(np.std(self.by_seed, ddof=1)) if len(self.by_seed) > 1 else 0.0


@dataclass(frozen=True, eq=False)
class CurveBand:
    """A routing curve on an even grid of strong fractions, with the interval of each of its points."""

    strong_fraction: FloatArray
    """Shape (101,)."""
    pgr: FloatArray
    """Shape (101,)."""
    low: FloatArray
    """Shape (101,): the interval's lower end."""
    high: FloatArray
    """Shape (101,)."""


@dataclass(frozen=True, eq=False)
class RouterResult:
    """What one router reaches on one table."""

    router: str
    n_queries: int
    """How many queries it was tested on; with several seeds, the first seed's."""
    apgr: Estimate
    apgr_ten_point_grid: float
    """The paper's approximation, for comparison only."""
    cpt: Mapping[float, Estimate]
    """Share of the gap → strong fraction at the first crossing."""
    cpt_reachable: Mapping[float, float]
    """Share of the gap → smallest strong fraction that a threshold gives and that reaches it (mean over seeds)."""
    quality: Estimate
    """At a strong fraction of one half."""
    tied_share: float
    """The share of queries whose win rate another query has too."""
    drawn_to_mean_share: float | None
    """The share of queries that the router took for unlike its training data; None where it does not say."""
    no_win_rate: int
    """Queries to which the router gave no win rate (NaN), and which went to strong."""
    savings: Mapping[float, Savings]
    """Share of the gap → dollars a query there; empty where prices are not known."""
    curve: CurveBand
    replicates: tuple[Replicates, ...]
    """The bootstrap's, one entry a training seed: for paired comparisons."""

    @property
    def is_constant(self) -> bool:
        """Whether all win rates are the same, so that only all-weak and all-strong can be reached."""
        return self.tied_share == 1 and self.cpt_reachable[CPT_SHARES[0]] == 1

    @property
    def below_random(self) -> bool:
        """Whether the interval of APGR lies wholly below random routing's 0.5."""
        return self.apgr.interval.high < 0.5


@dataclass(frozen=True)
class Comparison:
    """APGR of one router minus that of another, over the same draws of queries."""

    first: str
    second: str
    difference: float
    interval: Interval


@dataclass(frozen=True, eq=False)
class Evaluation:
    """All routers' results on one table."""

    table: PairTable
    results: tuple[RouterResult, ...]
    random: RouterResult
    """Random routing, exactly: a constant win rate, whose curve is the straight line."""
    oracle: RouterResult
    """The best order there is: by what strong truly gains."""
    single_random_apgr: tuple[float, float]
    """Where the APGR of 95 in 100 single random routers lies."""
    comparisons: tuple[Comparison, ...]
    """Each router with the one named before it."""
    n_replicates: int
    bootstrap_seed: int


def check_has_gap(table: PairTable) -> None:
    """Raise what `evaluate` raises for a table on which strong is not better, before anything is trained for it.

    Raises:
        InvalidValueError: strong is not better than weak.
    """
    check_gap(float(table.strong_scores.mean()), float(table.weak_scores.mean()), where=f"on {table.title}")


def evaluate(
    table: PairTable,
    replays: Mapping[str, Sequence[Replay]],
    *,
    n_replicates: int = DEFAULT_REPLICATES,
    seed: int = 0,
) -> Evaluation:
    """Every router's results on a table.

    Args:
        table: the outcomes to measure on.
        replays: router → its replays, one for each training seed, over the same rows for all routers.
        n_replicates: how many bootstrap draws.
        seed: of the bootstrap.

    Raises:
        InvalidValueError: strong is not better than weak, or routers were tested on different rows.
    """
    check_has_gap(table)
    tested = next(iter(replays.values()))
    for name, others in replays.items():
        if len(others) != len(tested) or not all(
            np.array_equal(one.rows, other.rows) for one, other in zip(tested, others, strict=True)
        ):
            raise InvalidValueError(f"The router '{name}' was tested on other rows than '{next(iter(replays))}'.")
    constant = [Replay(np.zeros(len(replay.rows)), replay.rows, replay.seed) for replay in tested]
    best = [Replay(oracle_win_rates(*replay.scores(table)), replay.rows, replay.seed) for replay in tested]
    results = tuple(measure(table, name, runs, n_replicates=n_replicates, seed=seed) for name, runs in replays.items())
    return Evaluation(
        table=table,
        results=results,
        random=measure(table, "random", constant, n_replicates=n_replicates, seed=seed),
        oracle=measure(table, "oracle", best, n_replicates=n_replicates, seed=seed),
        single_random_apgr=random_apgr_interval(*tested[0].scores(table)),
        comparisons=tuple(compare(second, first) for first, second in pairwise(results)),
        n_replicates=n_replicates,
        bootstrap_seed=seed,
    )


def measure(
    table: PairTable,
    router: str,
    replays: Sequence[Replay],
    *,
    n_replicates: int = DEFAULT_REPLICATES,
    seed: int = 0,
) -> RouterResult:
    """One router's results: metrics are averaged over its replays, within each bootstrap draw."""
    if not replays:
        raise InvalidValueError(f"There is no replay of the router '{router}' to measure.")
    columns = [(replay.win_rates, *replay.scores(table)) for replay in replays]
    curves = [routing_curve(*column) for column in columns]
    draws = [
        bootstrap(
            *column,
            rows=replay.rows,
            n_queries=len(table),
            shares=CPT_SHARES,
            strong_fractions=_GRID.tolist(),
            n_replicates=n_replicates,
            seed=seed,
        )
        for column, replay in zip(columns, replays, strict=True)
    ]
    crossings = {share: [crossing(curve, share) for curve in curves] for share in CPT_SHARES}
    half = int(np.searchsorted(_GRID, QUALITY_AT))
    return RouterResult(
        router=router,
        n_queries=len(replays[0].rows),
        apgr=_estimate([area(curve) for curve in curves], draws, lambda draw: draw.apgr),
        apgr_ten_point_grid=float(np.mean([apgr_ten_point_grid(*column) for column in columns])),
        cpt={
            share: _estimate([point.strong_fraction for point in points], draws, _cpt(share))
            for share, points in crossings.items()
        },
        cpt_reachable={
            share: float(np.mean([point.reachable_strong_fraction for point in points]))
            for share, points in crossings.items()
        },
        quality=_estimate(
            [curve.quality_at(QUALITY_AT) for curve in curves], draws, lambda draw: draw.quality[:, half]
        ),
        tied_share=float(np.mean([tied_share(replay.win_rates) for replay in replays])),
        drawn_to_mean_share=_drawn_to_mean_share(replays),
        no_win_rate=int(sum(np.count_nonzero(np.isnan(replay.win_rates)) for replay in replays)),
        savings=_savings(table, replays, crossings),
        curve=_band(
            [np.interp(_GRID, curve.strong_fraction, curve.pgr()) for curve in curves],
            over_seeds(lambda draw: draw.pgr, draws),
        ),
        replicates=tuple(draws),
    )


def compare(first: RouterResult, second: RouterResult) -> Comparison:
    """The difference of two routers' APGR, first − second, with its paired interval.

    Both must have been measured on the same rows with the same bootstrap seed. What moves both routers, a draw with
    many hard queries say, cancels: the interval is shorter than the two routers' own suggest.
    """
    return Comparison(
        first.router,
        second.router,
        first.apgr.value - second.apgr.value,
        paired_difference(lambda draw: draw.apgr, first.replicates, second.replicates),
    )


def _drawn_to_mean_share(replays: Sequence[Replay]) -> float | None:
    shares = [float(replay.drawn_to_mean.mean()) for replay in replays if replay.drawn_to_mean is not None]
    return float(np.mean(shares)) if shares else None


def _cpt(share: float) -> Metric:
    return lambda draw: draw.cpt[share]


def _estimate(by_seed: Sequence[float], draws: Sequence[Replicates], metric: Metric) -> Estimate:
    return Estimate(float(np.mean(by_seed)), Interval.of(over_seeds(metric, draws)), tuple(by_seed))


def _band(pgr_by_seed: Sequence[FloatArray], replicates: FloatArray) -> CurveBand:
    low, high = np.nanpercentile(replicates, [2.5, 97.5], axis=0)
    return CurveBand(_GRID, np.mean(pgr_by_seed, axis=0), low, high)


def _savings(
    table: PairTable, replays: Sequence[Replay], crossings: Mapping[float, Sequence[CallPerformanceThreshold]]
) -> dict[float, Savings]:
    """Dollars where each share of the gap is recovered, averaged over seeds; none without prices."""
    costs = table.costs
    if costs is None:
        return {}
    return {
        share: _mean_savings(
            [
                savings(
                    replay.win_rates,
                    *replay.scores(table),
                    costs.strong_usd[replay.rows],
                    costs.weak_usd[replay.rows],
                    strong_fraction=point.strong_fraction,
                )
                for replay, point in zip(replays, points, strict=True)
            ]
        )
        for share, points in crossings.items()
    }


def _mean_savings(by_seed: Sequence[Savings]) -> Savings:
    return Savings(**{f.name: float(np.mean([getattr(one, f.name) for one in by_seed])) for f in fields(Savings)})
