"""Table 6: what the best router saves, against random routing at equal quality and against always-strong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from turnout.errors import InvalidValueError
from turnout.evaluation.bootstrap import Interval, over_seeds
from turnout.evaluation.metrics import cpt, savings
from turnout.evaluation.pair_table import PairTable
from turnout.evaluation.replay import Replay
from turnout.evaluation.runner import CPT_SHARES, RouterResult
from turnout.reproduce.differences import compared
from turnout.reproduce.paper import SAVINGS
from turnout.reproduce.table import Figure, Measure, Row, Table
from turnout.reproduce.work import Tested, Work
from turnout.types import JSON, IntArray

RATIO = Measure("ratio", "random's calls to strong over the router's", digits=2)
AGAINST_RANDOM = Measure("against_random", "US dollars saved against random at equal quality in %", 100, 1)
AGAINST_STRONG = Measure("against_always_strong", "US dollars saved against always-strong in %", 100, 1)


def dollar_table(
    work: Work, benchmarks: Mapping[str, tuple[PairTable, Sequence[Tested]]], missing: Sequence[str]
) -> Table:
    """Table 6.

    Args:
        work: for the bootstrap's settings.
        benchmarks: name → its outcomes, and the routers of each training set on it.
        missing: a sentence on each benchmark that is not there.
    """
    rows = [row for table, tested in benchmarks.values() for row in _rows(work, table, tested)]
    bases = [f"{table.title}: {_basis(table)}" for table, _ in benchmarks.values()]
    return Table(
        6,
        "cost saved by the best router",
        "the outcomes of tables 1 to 3, and RouterBench's, which records the dollars of each answer.",
        ("benchmark", "at", "router"),
        (RATIO, AGAINST_RANDOM, AGAINST_STRONG),
        tuple(rows),
        (
            "The paper's ratio is against random routing *at equal quality*: the share of calls to strong that random "
            "routing needs, divided by the router's. Against always-strong, whose quality is higher, more is saved "
            "and less is had. As in the paper, the best router is the one that is best on the very table, which "
            "flatters it.",
            "Dollars: " + "; ".join(bases) + ".",
            *missing,
        ),
    )


def _rows(work: Work, table: PairTable, tested: Sequence[Tested]) -> Iterator[Row]:
    """A line for each share of the gap, of the router with the highest APGR on this table."""
    contenders = [(one, result) for one in tested for result in one.evaluation.results]
    best, result = max(contenders, key=lambda contender: contender[1].apgr.value)
    paper = SAVINGS.get(table.name)
    chosen = f"ours is {result.router} of {best.trained_on}, the best of {len(contenders)} by APGR on this table"
    for share in CPT_SHARES:
        given = None if paper is None else {0.5: paper.at_cpt50, 0.8: paper.at_cpt80}[share]
        figures = {"ratio": _ratio(given, result, share)}
        facts: dict[str, JSON] = {"usd_basis": _basis(table)}
        if table.costs is not None:
            saved = result.savings[share]
            random, strong = _saved_intervals(work, table, best.replays[result.router], share)
            figures["against_random"] = Figure(None, saved.against_random, random.low, random.high)
            figures["against_always_strong"] = Figure(None, saved.against_always_strong, strong.low, strong.high)
            facts["usd_per_1000_queries"] = {
                "router": 1000 * saved.cost_usd,
                "random_at_equal_quality": 1000 * saved.random_cost_usd,
                "always_strong": 1000 * saved.always_strong_cost_usd,
            }
        labels = (table.title, f"{100 * share:.0f} % of the gap", f"{result.router}, {best.trained_on}")
        yield Row(labels, figures, compared(figures["ratio"], RATIO, chosen), facts)


def _basis(table: PairTable) -> str:
    return "no price is known" if table.costs is None else table.costs.basis


def _ratio(paper: float | None, result: RouterResult, share: float) -> Figure:
    """Random's strong fraction at this share of the gap, which is the share itself, divided by the router's."""
    interval = Interval.of(share / over_seeds(lambda draw: draw.cpt[share], result.replicates))
    return Figure(paper, share / result.cpt[share].value, interval.low, interval.high)


def _saved_intervals(
    work: Work, table: PairTable, replays: Sequence[Replay], share: float
) -> tuple[Interval, Interval]:
    """(against random, against always-strong): a draw's share of the gap is recovered anew, with its own dollars."""
    random = np.random.default_rng(work.plan.bootstrap_seed)
    n = len(table)
    drawn = [_saved_in_draw(table, replays, share, random.integers(0, n, n)) for _ in range(work.plan.n_replicates)]
    columns = np.array(drawn)
    return Interval.of(columns[:, 0]), Interval.of(columns[:, 1])


def _saved_in_draw(table: PairTable, replays: Sequence[Replay], share: float, rows: IntArray) -> tuple[float, float]:
    assert table.costs is not None
    against: list[tuple[float, float]] = []
    for replay in replays:
        place = np.full(len(table), -1)
        place[replay.rows] = np.arange(len(replay.rows))
        tested = place[rows][place[rows] >= 0]
        at = replay.rows[tested]
        columns = replay.win_rates[tested], table.strong_scores[at], table.weak_scores[at]
        try:
            point = cpt(*columns, share)
            saved = savings(
                *columns,
                table.costs.strong_usd[at],
                table.costs.weak_usd[at],
                strong_fraction=point.strong_fraction,
            )
        except InvalidValueError:  # strong is not better in this draw
            return float("nan"), float("nan")
        against.append((saved.against_random, saved.against_always_strong))
    mean = np.mean(against, axis=0)
    return float(mean[0]), float(mean[1])
