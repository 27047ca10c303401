"""Table 5: how near each benchmark is to each training set."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from turnout.data.contamination import nearest_cosine
from turnout.evaluation.bootstrap import Interval
from turnout.evaluation.golden import GoldenSplit
from turnout.evaluation.pair_table import PairTable
from turnout.reproduce.differences import compared
from turnout.reproduce.paper import ARENA, ARENA_GOLD, SIMILARITY
from turnout.reproduce.table import Figure, Measure, Row, Table
from turnout.reproduce.work import Work
from turnout.types import FloatArray

SIMILARITY_MEASURE = Measure("similarity", "mean highest cosine", digits=4)


def nearness_table(work: Work, splits: Sequence[GoldenSplit]) -> Table:
    """Table 5; with golden labels the mean over seeds.

    Args:
        work: for the tests, the training sets and the encoder.
        splits: of MMLU's golden labels.
    """
    encoder = work.scorer.encoder
    rows = [
        _row(work, benchmark, trained_on, splits) for benchmark, cells in SIMILARITY.items() for trained_on in cells
    ]
    sizes = " and ".join(f"{len(battles):,} battles ({name})" for name, battles in work.sets.lifted.items())
    return Table(
        5,
        "similarity of benchmarks to training data",
        f"the queries of {sizes}; for {ARENA_GOLD} each seed's questions besides, and its test questions.",
        ("benchmark", "trained on"),
        (SIMILARITY_MEASURE,),
        tuple(rows),
        (f"Encoder: `{encoder.name}`; the paper's is text-embedding-3-small.", _orders(rows)),
    )


def _row(work: Work, benchmark: str, trained_on: str, splits: Sequence[GoldenSplit]) -> Row:
    """A cell of the paper's table, as a line: the mean over test queries of the highest cosine to a training query."""
    encoder, table = work.scorer.encoder, work.tests[benchmark]
    random = np.random.default_rng(work.plan.bootstrap_seed)
    means, draws = [], []
    for tested, learned in _sides(work, table, trained_on, splits):
        nearest, _ = nearest_cosine(encoder, tested, list(dict.fromkeys(learned)))
        means.append(float(nearest.mean()))
        draws.append(_means(nearest, random, work.plan.n_replicates))
    interval = Interval.of(np.mean(draws, axis=0))
    figure = Figure(SIMILARITY[benchmark][trained_on], float(np.mean(means)), interval.low, interval.high)
    differs = "" if encoder.name == "openai" else "cosines of two encoders do not compare, only their order does"
    return Row((table.title, trained_on), {"similarity": figure}, compared(figure, SIMILARITY_MEASURE, differs))


def _sides(
    work: Work, table: PairTable, trained_on: str, splits: Sequence[GoldenSplit]
) -> Iterator[tuple[Sequence[str], Sequence[str]]]:
    """(test queries, training queries), once or for each seed."""
    queries = table.outcomes.queries
    if trained_on in work.sets.lifted:
        yield queries, work.sets.lifted[trained_on].queries
        return
    for split in splits:
        golden = [queries[row] for row in split.train]
        yield [queries[row] for row in split.test], [*work.sets.lifted[ARENA].queries, *golden]


def _orders(rows: Sequence[Row]) -> str:
    """How many pairs of lines are in the paper's order, and which are not."""
    known = [
        (row.labels, figure.paper, figure.ours)
        for row in rows
        if (figure := row.figures["similarity"]).paper is not None and figure.ours is not None
    ]
    pairs = [(one, other) for place, one in enumerate(known) for other in known[place + 1 :]]
    turned = [(one, other) for one, other in pairs if (one[1] - other[1]) * (one[2] - other[2]) < 0]
    said = f"Of {len(pairs)} pairs of lines {len(pairs) - len(turned)} are in the paper's order"
    if not turned:
        return f"{said}."
    listed = "; ".join(f"{' '.join(one[0])} and {' '.join(other[0])}" for one, other in turned)
    return f"{said}; the other way round: {listed}."


def _means(values: FloatArray, random: np.random.Generator, n_replicates: int) -> FloatArray:
    """The mean of each of n draws with replacement, shape (n_replicates,)."""
    return np.array([values[random.integers(0, len(values), len(values))].mean() for _ in range(n_replicates)])
