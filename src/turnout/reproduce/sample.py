"""A seeded part of each benchmark, for routers that take long over a query."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from turnout.data.split import same_text, sample_rows
from turnout.evaluation.golden import GoldenSplit
from turnout.evaluation.pair_table import PairTable
from turnout.types import IntArray

SEED = 0


def sampled(table: PairTable, n_distinct: int | None) -> PairTable:
    """The table's rows of `n_distinct` random distinct queries, named as a sample; all of a smaller table."""
    rows = _sampled_rows(table.outcomes.queries, n_distinct)
    if rows is None:
        return table
    return replace(table.take(rows), units=f"{table.units}, a seeded sample of {len(table):,},")


def sampled_tests(table: PairTable, splits: Sequence[GoldenSplit], n_distinct: int | None) -> list[GoldenSplit]:
    """The splits, each tested on `n_distinct` random distinct queries of its test rows; trained on what it was."""
    kept = []
    for split in splits:
        rows = _sampled_rows([table.outcomes.queries[row] for row in split.test], n_distinct)
        kept.append(split if rows is None else replace(split, test=split.test[rows]))
    return kept


def _sampled_rows(queries: Sequence[str], n_distinct: int | None) -> IntArray | None:
    """Which rows are in the sample; None where that is all of them."""
    if n_distinct is None or n_distinct >= len({same_text(query) for query in queries}):
        return None
    return sample_rows(queries, n_distinct, seed=SEED)[0]
