"""From a folder of data to the report: what is read, trained and measured, in order."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from turnout.encoders.cache import CachedEncoder
from turnout.errors import InvalidValueError
from turnout.evaluation.benchmarks.base import load_benchmark
from turnout.evaluation.golden import GoldenSplit
from turnout.evaluation.pair_table import PairTable
from turnout.evaluation.replay import Replay
from turnout.evaluation.runner import Evaluation
from turnout.reproduce.benchmark_tables import BENCHMARK, benchmark_table
from turnout.reproduce.dollars import dollar_table
from turnout.reproduce.nearness import nearness_table
from turnout.reproduce.overhead import overhead_table
from turnout.reproduce.paper import ARENA, ARENA_GOLD, ARENA_JUDGE
from turnout.reproduce.parts import Parts
from turnout.reproduce.plan import Plan
from turnout.reproduce.recipes import Recipe, recipes_for
from turnout.reproduce.sample import sampled, sampled_tests
from turnout.reproduce.scoring import Scored, Scorer, Tell, clean_golden_splits, distinct_queries
from turnout.reproduce.sources import release_in
from turnout.reproduce.table import Table
from turnout.reproduce.training_sets import TrainingSets, training_sets
from turnout.reproduce.transfer import (
    NAMED,
    TRANSFERS,
    Transfer,
    load_transfers,
    named_evaluations,
    sampled_transfers,
    transfer_table,
)
from turnout.reproduce.work import Tested, Work, replays_of
from turnout.types import Encoder

_PRICED = ("mbpp", "winogrande")
"""Benchmarks that record the dollars of each answer: table 6 has them besides the paper's."""


@dataclass(frozen=True, eq=False)
class Reproduction:
    """All that the report says."""

    plan: Plan
    recipes: Sequence[Recipe]
    tables: tuple[Table, ...]
    sets: TrainingSets
    pictures: Mapping[str, Evaluation]
    """Benchmark → the evaluation whose curves are drawn: the larger training set's."""
    golden: str
    """What stands in for D_gold, with counts; empty where the paper's own labels are there."""
    encoder: str
    """Its identity."""
    machine: str
    took_s: float
    """Seconds, with what the parts that were used again had taken."""
    n_parts_reused: int
    """Win rates that an earlier run had worked out."""


def reproduce(plan: Plan, encoder: Encoder, *, tell: Tell = lambda said: None) -> Reproduction:
    """Read, train and measure everything.

    Args:
        plan: what is to be done. Win rates are kept in `plan.out / "parts"`, and used again by a later run.
        encoder: for all routers that need one.
        tell: told what is being done.

    Raises:
        DataError: the folder does not hold the released outcomes, votes and judgements.
        UnknownNameError: no router has one of the names.
        InvalidValueError: a number of the plan is out of its range, or a sample is too small.
    """
    start = time.perf_counter()
    if not plan.machine_usd_per_hour > 0:
        raise InvalidValueError(f"The machine's price must be above 0 US dollars, got {plan.machine_usd_per_hour:g}.")
    if plan.n_sampled is not None and plan.n_sampled < 1:
        raise InvalidValueError(f"A sample must have at least 1 query, got {plan.n_sampled}.")
    recipes = recipes_for(plan.routers, plan.settings)
    tell("reading the benchmarks")
    release = release_in(plan.folders)
    tests = {name: PairTable.of_benchmark(load_benchmark(name), release) for name in BENCHMARK.values()}
    elsewhere, missing = load_transfers(TRANSFERS, plan.data_dir)
    named, missing_named = load_transfers(NAMED, plan.data_dir)
    priced, missing_priced = load_transfers([Transfer(one, load_benchmark(one).pair) for one in _PRICED], plan.data_dir)
    tested = distinct_queries([*tests.values(), *elsewhere.values(), *named.values(), *priced.values()])
    tell("reading votes and judgements, and leaving out what is tested")
    asked_about = {name for one in NAMED if one.named for name in (one.named.strong, one.named.weak)}
    sets = training_sets(plan.folders, tested, encoder, asked_about=asked_about)
    tests |= {name: sampled(tests[name], plan.n_sampled) for name in ("mt-bench", "gsm8k")}
    elsewhere, no_gap = sampled_transfers(elsewhere, plan.n_sampled)
    named, no_gap_named = sampled_transfers(named, plan.n_sampled)
    priced, no_gap_priced = sampled_transfers(priced, plan.n_sampled)
    n_texts = len(tested) + sum(len(set(one.battles.queries)) for one in sets.found)
    scorer = Scorer(CachedEncoder(encoder, capacity=n_texts), Parts(plan.out / "parts"), tell)
    work = Work(plan, recipes, tests, sets, scorer)

    splits, golden = _golden_labels(work)
    small = [tests["mt-bench"], tests["gsm8k"]]
    if plan.n_sampled is not None:
        _check_sample([*small, *_tested_parts(tests["mmlu"], splits)])
    arena = work.score(ARENA, distinct_queries([*small, *_tested_parts(tests["mmlu"], splits)]))
    judged = work.score(ARENA_JUDGE, distinct_queries([*small, *elsewhere.values(), *priced.values()]))
    benchmarks: dict[str, list[Tested]] = {}
    for name, table in tests.items():
        if name == "mmlu":
            runs = {ARENA: _on_splits(arena, table, splits), ARENA_GOLD: _golden(work, table, splits)}
        else:
            runs = {ARENA: replays_of(arena, table), ARENA_JUDGE: replays_of(judged, table)}
        tell(f"measuring on {table.title}")
        benchmarks[name] = [Tested(trained_on, work.evaluate(table, one), one) for trained_on, one in runs.items()]
    tell("measuring transfer")
    transferred = {transfer: work.evaluate(table, replays_of(judged, table)) for transfer, table in elsewhere.items()}
    by_name, not_named = named_evaluations(work, named)
    tell("measuring similarity and counting dollars")
    with_dollars = {name: (tests[name], one) for name, one in benchmarks.items()}
    for transfer, table in priced.items():
        replays = replays_of(judged, table)
        with_dollars[transfer.benchmark] = (table, [Tested(ARENA_JUDGE, work.evaluate(table, replays), replays)])
    machine = _machine()
    tables = (
        *(benchmark_table(number, benchmarks[name], work) for number, name in BENCHMARK.items()),
        transfer_table(work, transferred, by_name, [*missing, *missing_named, *no_gap, *no_gap_named, *not_named]),
        nearness_table(work, splits),
        dollar_table(work, with_dollars, [*missing_priced, *no_gap_priced]),
        overhead_table(judged, plan, machine, len(sets.lifted[ARENA_JUDGE])),
    )
    return Reproduction(
        plan=plan,
        recipes=recipes,
        tables=tables,
        sets=sets,
        pictures={name: one[-1].evaluation for name, one in benchmarks.items()},
        golden=golden,
        encoder=encoder.identity,
        machine=machine,
        took_s=time.perf_counter() - start + scorer.parts.reused_s,
        n_parts_reused=scorer.parts.n_reused,
    )


def _check_sample(tables: Sequence[PairTable]) -> None:
    """Raise InvalidValueError, now and not when everything is trained, if a sample has nothing to measure."""
    for table in tables:
        if not table.has_gap:
            raise InvalidValueError(
                f"In a sample of {len(table):,} rows of {table.title} the strong model is not better than the weak "
                "one, so that there is nothing to measure. Take a larger --sample."
            )


def _on_splits(scored: Sequence[Scored], table: PairTable, splits: Sequence[GoldenSplit]) -> dict[str, list[Replay]]:
    """Routers that learned no golden label, on the questions that those are tested on which did."""
    replays: dict[str, list[Replay]] = {}
    for one in scored:
        win_rates = [one.replay(part).win_rates for part in _tested_parts(table, splits)]
        replays[one.recipe.label] = [
            Replay(rates, split.test, split.seed) for rates, split in zip(win_rates, splits, strict=True)
        ]
    return replays


def _tested_parts(table: PairTable, splits: Sequence[GoldenSplit]) -> list[PairTable]:
    """What each split is tested on."""
    return [table.take(split.test) for split in splits]


def _golden(work: Work, table: PairTable, splits: Sequence[GoldenSplit]) -> dict[str, list[Replay]]:
    if ARENA_GOLD in work.sets.lifted:
        scored = work.score(ARENA_GOLD, distinct_queries(_tested_parts(table, splits)))
        return _on_splits(scored, table, splits)
    arena = work.sets.lifted[ARENA]
    return {recipe.label: work.scorer.score_gold(recipe, arena, table, splits) for recipe in work.recipes}


def _golden_labels(work: Work) -> tuple[list[GoldenSplit], str]:
    """(which rows of MMLU train and test, what D_gold is): all rows test where the paper's own labels are there."""
    plan, table = work.plan, work.tests["mmlu"]
    if ARENA_GOLD in work.sets.lifted:
        everything = GoldenSplit(0, np.arange(0), np.arange(len(table)))
        return sampled_tests(table, [everything], plan.n_sampled), ""
    work.scorer.tell("dealing out golden labels")
    splits, near_copies = clean_golden_splits(table, plan.n_golden_labels, plan.n_seeds)
    times, tested = f" for each of {plan.n_seeds} seeds", "Each seed is tested on"
    if plan.n_seeds == 1:
        times, tested = "", "Tested are"
    others = "all others" if plan.n_sampled is None else "a sample of the others"
    return sampled_tests(table, splits, plan.n_sampled), (
        f"{plan.n_golden_labels:,} random distinct questions of MMLU{times}: the labels of its validation questions "
        f"(`turnout data pull mmlu-battles`) are not here. {tested} {others} but near copies of these "
        f"({_from_to(near_copies)} left out)."
    )


def _from_to(counts: Sequence[int]) -> str:
    """The range of some counts.

    >>> _from_to([193]), _from_to([168, 223, 1_000])
    ('193', '168 to 1,000')
    """
    low, high = min(counts), max(counts)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _machine() -> str:
    """What the figures of table 7 depend on, and nothing that tells whose machine it is."""
    threads = os.environ.get("OMP_NUM_THREADS", "not set")
    return (
        f"{platform.machine()}, {os.cpu_count()} cores, OMP_NUM_THREADS {threads}, Python {platform.python_version()}, "
        f"NumPy {np.__version__}"
    )
