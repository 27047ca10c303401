"""The golden-label protocol: train on a random part of a benchmark's questions, test on all others, for several seeds.

It stands in for the paper's golden labels (section 3.1 and table 2), which came from MMLU's validation questions.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np

from turnout.data.battles import Battles
from turnout.data.contamination import find_contaminated, kept_rows
from turnout.data.split import sample_rows
from turnout.data.tiers import LIFTED_PAIR
from turnout.errors import InvalidValueError
from turnout.evaluation.pair_table import PairTable
from turnout.evaluation.replay import Replay
from turnout.routers.base import Router
from turnout.types import IntArray, ModelPair


@dataclass(frozen=True, eq=False)
class GoldenSplit:
    """Which of a table's rows one seed trains on, and which it tests on; no query text is on both sides."""

    seed: int
    train: IntArray
    test: IntArray

    @classmethod
    def without_labels(cls, table: PairTable) -> GoldenSplit:
        """Test on all of the table, train on none of it."""
        return cls(0, np.empty(0, dtype=np.int64), np.arange(len(table)))


def golden_splits(
    table: PairTable, n_labels: int, n_seeds: int, *, development_seed: int | None = None
) -> list[GoldenSplit]:
    """A split for each of the seeds 0, 1, …: `n_labels` random distinct questions to train on, and the rest.

    Args:
        table: the benchmark.
        n_labels: how many distinct questions each seed trains on.
        n_seeds: how many seeds.
        development_seed: a seed whose training questions served to choose between recipes: no seed is tested on them.

    Raises:
        InvalidValueError: n_seeds is below 1, or there are not more than n_labels distinct questions.
    """
    if n_seeds < 1:
        raise InvalidValueError(f"n_seeds must be at least 1, got {n_seeds}.")
    queries = table.outcomes.queries
    splits = [GoldenSplit(seed, *sample_rows(queries, n_labels, seed=seed)) for seed in range(n_seeds)]
    if development_seed is None:
        return splits
    seen, _ = sample_rows(queries, n_labels, seed=development_seed)
    return [replace(split, test=np.setdiff1d(split.test, seen)) for split in splits]


def golden_replays(
    make_router: Callable[[int], Router],
    table: PairTable,
    splits: Iterable[GoldenSplit],
    *,
    extra: Battles | None = None,
    watch: Callable[[Router, float], None] = lambda router, seconds: None,
) -> list[Replay]:
    """One router trained for each split, and its win rates on the split's test rows.

    Args:
        make_router: seed → an unfitted router.
        table: the benchmark.
        splits: see `golden_splits`.
        extra: battles that every router is trained on besides its golden labels (see `without_test_queries`), or alone
            where the split has none. Between the table's pair, unless the router learns about many models, as `mf`
            does.
        watch: told each fitted router and how long it took to fit.

    Raises:
        EmptyDataError: there is nothing to learn from.
    """
    replays = []
    for split in splits:
        parts = [] if extra is None else [extra]
        if len(split.train):
            parts.insert(0, table.outcomes.take(split.train).battles(table.pair, scale=table.scale))
        battles = Battles.concat(parts).with_pair(table.pair)
        unfitted, start = make_router(split.seed), time.perf_counter()
        router = unfitted.fit(battles)
        watch(router, time.perf_counter() - start)
        replays.append(Replay.of(router, table, split.test, split.seed))
    return replays


def named_for(pair: ModelPair, battles: Battles) -> Battles:
    """Battles lifted to tiers (`turnout data tiers`) with the pair's names for strong and weak; others as they are."""
    if not set(battles.models) <= {LIFTED_PAIR.strong, LIFTED_PAIR.weak}:
        return battles
    name = {LIFTED_PAIR.strong: pair.strong, LIFTED_PAIR.weak: pair.weak}
    return replace(
        battles, model_a=[name[a] for a in battles.model_a], model_b=[name[b] for b in battles.model_b], pair=pair
    )


def without_test_queries(battles: Battles, table: PairTable) -> Battles:
    """The battles whose query is none of the benchmark's, nor a near copy of one (`find_contaminated`)."""
    return battles.take(kept_rows(len(battles), find_contaminated(battles.queries, table.outcomes.queries)))
