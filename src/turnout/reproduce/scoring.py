"""Train the recipes and replay them over the tables, once for all tables of the report."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from turnout.data.battles import Battles
from turnout.data.contamination import find_contaminated
from turnout.encoders.cache import CachedEncoder
from turnout.evaluation.candidates import router_maker
from turnout.evaluation.footprint import without_cache
from turnout.evaluation.golden import GoldenSplit, golden_replays, golden_splits, named_for
from turnout.evaluation.pair_table import PairTable
from turnout.evaluation.replay import Replay
from turnout.reproduce.parts import Parts
from turnout.reproduce.recipes import Recipe
from turnout.reproduce.training_sets import battles_sha256
from turnout.routers.base import Router
from turnout.training import takes_argument
from turnout.types import FloatArray, ModelPair

Tell = Callable[[str], None]
"""Told what is being done, for whoever waits."""

_AT_ONCE = 2_048
_SINGLE, _BATCHES, BATCH_SIZE = 200, 10, 256
_SAY_AGAIN_S = 30.0
_TIMING_S = 20.0  # slow routers are timed on fewer queries


@dataclass(frozen=True, eq=False)
class Scored:
    """One recipe, trained once."""

    recipe: Recipe
    win_rates: Mapping[ModelPair | None, Mapping[str, float]]
    """Pair asked about → query → win rate; None is the pair it was trained for."""
    train_s: float
    single_s: FloatArray
    """Seconds of each query that was timed alone, from its text to its win rate."""
    batch_s: FloatArray
    """Seconds of each batch of `BATCH_SIZE` that was timed."""

    def replay(self, table: PairTable, pair: ModelPair | None = None) -> Replay:
        """Its win rates on all rows of a table, for the pair it was trained for unless another was asked about."""
        return Replay.of_all([self.win_rates[pair][query] for query in table.outcomes.queries])


@dataclass(frozen=True, eq=False)
class Scorer:
    """Trains and replays, with one encoder for all and each result kept."""

    encoder: CachedEncoder
    parts: Parts
    tell: Tell

    def score(
        self,
        recipe: Recipe,
        battles: Battles,
        trained_on: str,
        queries: Sequence[str],
        pairs: Sequence[ModelPair] = (),
    ) -> Scored:
        """The recipe trained on these battles, and its win rates on these queries.

        Args:
            recipe: the router.
            battles: their pair is settled.
            trained_on: the battles' name, for whoever waits.
            queries: distinct texts.
            pairs: for a router that knows models, to be asked about besides the pair it was trained for.
        """
        asked = [None, *pairs]
        made_from = {
            **self._made_from(recipe),
            "battles": battles_sha256(battles),
            "queries": list(queries),
            "pairs": [str(pair) for pair in pairs],
        }

        def make() -> dict[str, FloatArray]:
            self.tell(f"{recipe.label} learns from {trained_on}: {len(battles):,} battles")
            start = time.perf_counter()
            router = self._fit(self._make(recipe)(0), battles)
            train_s = time.perf_counter() - start
            self.tell(f"{recipe.label} of {trained_on}: win rates of {len(queries):,} queries")
            return {
                "win_rates": np.array([_in_batches(router, queries, pair) for pair in asked]),
                "train_s": np.array(train_s),
                **timed(router, queries),
            }

        part = self.parts.get(made_from, make)
        rates = {
            pair: dict(zip(queries, row.tolist(), strict=True))
            for pair, row in zip(asked, part["win_rates"], strict=True)
        }
        return Scored(recipe, rates, float(part["train_s"]), part["single_s"], part["batch_s"])

    def score_gold(
        self, recipe: Recipe, battles: Battles, table: PairTable, splits: Sequence[GoldenSplit]
    ) -> list[Replay]:
        """The recipe trained on each split's golden labels and these battles, on the split's test rows."""
        extra = named_for(table.pair, battles)
        replays = []
        for split in splits:
            made_from = {
                **self._made_from(recipe),
                "battles": battles_sha256(battles),
                "table": table.sha256,
                "train": split.train.tolist(),
                "test": split.test.tolist(),
            }

            def make(split: GoldenSplit = split) -> dict[str, FloatArray]:
                self.tell(f"{recipe.label} learns golden labels, seed {split.seed}")
                (replay,) = golden_replays(self._make(recipe), table, [split], extra=extra)
                return {"win_rates": replay.win_rates}

            replays.append(Replay(self.parts.get(made_from, make)["win_rates"], split.test, split.seed))
        return replays

    def _fit(self, router: Router, battles: Battles) -> Router:
        """The router, fitted; says how far it is twice a minute, if the router does."""
        if not takes_argument(router, "progress"):
            return router.fit(battles)
        last = time.perf_counter()

        def progress(seen: Any) -> None:
            nonlocal last
            if time.perf_counter() - last > _SAY_AGAIN_S:
                last = time.perf_counter()
                self.tell(f"  step {seen.step:,} of at most {seen.n_steps:,}")

        fit: Callable[..., Router] = router.fit
        return fit(battles, progress=progress)

    def _make(self, recipe: Recipe) -> Callable[[int], Router]:
        return router_maker(recipe.router, recipe.settings, self.encoder)

    def _made_from(self, recipe: Recipe) -> dict[str, object]:
        return {"router": recipe.router, "settings": dict(recipe.settings), "encoder": self.encoder.identity}


def clean_golden_splits(table: PairTable, n_labels: int, n_seeds: int) -> tuple[list[GoldenSplit], list[int]]:
    """(splits, test rows left out of each): no test question is a near copy of one that its seed trains on.

    The encoder has no say between two parts of one benchmark, whose questions are all similar.
    """
    queries = table.outcomes.queries
    splits, left_out = [], []
    for split in golden_splits(table, n_labels, n_seeds):
        matches = find_contaminated([queries[row] for row in split.test], [queries[row] for row in split.train])
        kept = np.delete(split.test, [match.row for match in matches])
        splits.append(replace(split, test=kept))
        left_out.append(len(matches))
    return splits, left_out


def timed(router: Router, queries: Sequence[str]) -> dict[str, FloatArray]:
    """Seconds of single queries and of batches, none from a cache; less of both where they take long."""
    bare = without_cache(router)
    bare.predict_win_rate(queries[:1])  # what is made when first needed is made now
    singles = [[query] for query in queries[:_SINGLE]]
    starts = range(0, min(len(queries), _BATCHES * BATCH_SIZE) - BATCH_SIZE + 1, BATCH_SIZE)
    batches = [queries[start : start + BATCH_SIZE] for start in starts] or [list(queries)]
    return {"single_s": _seconds(bare, singles), "batch_s": _seconds(bare, batches) * BATCH_SIZE / len(batches[0])}


def _seconds(router: Router, calls: Sequence[Sequence[str]]) -> FloatArray:
    seconds: list[float] = []
    for queries in calls:
        start = time.perf_counter()
        router.predict_win_rate(queries)
        seconds.append(time.perf_counter() - start)
        if sum(seconds) > _TIMING_S:
            break
    return np.array(seconds)


def _in_batches(router: Router, queries: Sequence[str], pair: ModelPair | None) -> FloatArray:
    asked = {} if pair is None else {"pair": pair}
    parts = [
        router.predict_win_rate(queries[start : start + _AT_ONCE], **asked)
        for start in range(0, len(queries), _AT_ONCE)
    ]
    return np.concatenate(parts)


def distinct_queries(tables: Sequence[PairTable]) -> list[str]:
    """All tables' queries, each once."""
    return list(dict.fromkeys(query for table in tables for query in table.outcomes.queries))
