"""Which layer of MiniLM should `blend` read? Measured on development sources and in the golden rows of seed 0 alone.

Follows docs/adr/0001-selection-protocol.md: within each development source some labels train and all other queries
test, for several draws of the labels; of MMLU and GSM8K the golden rows of seed 0, by cross-validation. No other row of
a test takes part.

Run: OMP_NUM_THREADS=1 python benchmarks/layer_choices.py --data DIR --layers 3
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from similarity_forms import development_sources, rounded

from turnout.atomic_write import write_atomically
from turnout.data.split import sample_rows, split_rows
from turnout.encoders.cache import CachedEncoder
from turnout.encoders.minilm import MiniLMEncoder
from turnout.encoders.static import StaticEncoder
from turnout.evaluation.benchmarks.base import load_benchmark
from turnout.evaluation.bootstrap import Interval, over_seeds
from turnout.evaluation.pair_table import PairTable
from turnout.evaluation.replay import Replay
from turnout.evaluation.runner import RouterResult, measure
from turnout.executors import ProcessExecutor
from turnout.routers.blend import Blend
from turnout.types import Encoder, FloatArray, IntArray

ROOT = Path(__file__).parents[1]
BASE = "static"
GOLDEN = {"mmlu": 1_500, "gsm8k": 500}
N_FOLDS = 5
LABELS = (200, 500)
"""To train on within a development source, or half of its queries where that is fewer."""
N_DRAWS = {"mmlu": 10, "source": 2}
MOST = 1_000
"""Distinct queries of a development source that take part, drawn at random, so that encoding takes minutes."""


def encoder_named(name: str) -> Encoder:
    """The static encoder, or MiniLM of so many layers."""
    return StaticEncoder() if name == BASE else MiniLMEncoder(layers=int(name.split()[-1]))


@dataclass(frozen=True, eq=False)
class Task:
    """Trainings and tests within one table."""

    name: str
    table: PairTable
    splits: list[tuple[IntArray, IntArray]]
    """(training rows, test rows) of each training."""
    pooled: bool
    """Whether the test rows add up to the table, so that one curve is drawn of all win rates (cross-validation)."""


def golden_tasks(data: Path) -> list[Task]:
    """The golden rows of seed 0, which the protocol lets development look at."""
    tasks = []
    for name, n_labels in GOLDEN.items():
        table = PairTable.of_benchmark(load_benchmark(name), data)
        table = table.take(sample_rows(table.outcomes.queries, n_labels, seed=0)[0])
        queries = table.outcomes.queries
        folds = split_rows(queries, [1 / N_FOLDS] * N_FOLDS, seed=0)
        splits = [(np.setdiff1d(np.arange(len(table)), fold), fold) for fold in folds]
        tasks.append(Task(f"{name}, cross-validated", table, splits, pooled=True))
        if name in N_DRAWS:
            draws = [sample_rows(queries, LABELS[0], seed=seed) for seed in range(N_DRAWS[name])]
            tasks.append(Task(f"{name}, {LABELS[0]} labels", table, draws, pooled=False))
    return tasks


def source_tasks(data: Path) -> list[Task]:
    """Each development source, with few labels and with more."""
    tasks = []
    for name, source in development_sources(data).items():
        table = source.table(name)
        if len(set(source.queries)) > MOST:
            table = table.take(sample_rows(source.queries, MOST, seed=0)[0])
        queries = table.outcomes.queries
        for n_labels in LABELS:
            n_distinct = min(n_labels, len(set(queries)) // 2)
            draws = [sample_rows(queries, n_distinct, seed=seed) for seed in range(N_DRAWS["source"])]
            tasks.append(Task(f"{name}, {n_labels} labels", table, draws, pooled=False))
    return tasks


def replayed(job: tuple[list[Task], list[str]]) -> dict[str, dict[str, list[Replay]]]:
    """Task → encoder → win rates, for tasks on the same queries: these are encoded once."""
    tasks, encoders = job
    result: dict[str, dict[str, list[Replay]]] = {task.name: {} for task in tasks}
    for name in encoders:
        encoder = CachedEncoder(encoder_named(name), capacity=4 * MOST)
        for task in tasks:
            result[task.name][name] = task_replays(task, encoder)
        print(f"{tasks[0].name.split(',')[0]}: {name}", flush=True)
    return result


def task_replays(task: Task, encoder: Encoder) -> list[Replay]:
    """One entry a training, or one for all folds together."""
    battles = task.table.outcomes.battles(task.table.pair, scale=task.table.scale)
    rates: list[FloatArray] = []
    for train, test in task.splits:
        router = Blend(encoder).fit(battles.take(train))
        rates.append(router.predict_win_rate([task.table.outcomes.queries[row] for row in test]))
    tests = [test for _, test in task.splits]
    if not task.pooled:
        return [Replay(rate, test, seed) for seed, (rate, test) in enumerate(zip(rates, tests, strict=True))]
    together = np.empty(len(task.table))
    for rate, test in zip(rates, tests, strict=True):
        together[test] = rate
    return [Replay.of_all(together)]


def compared(results: Mapping[str, list[RouterResult]]) -> dict[str, dict[str, list[float]]]:
    """Encoder → APGR and its difference to the static encoder's, each a mean over tasks with its interval.

    Sources are drawn independently of one another: the same replicate's draws of all tasks make one of the mean.
    """
    draws = {
        name: np.nanmean([over_seeds(lambda found: found.apgr, one.replicates) for one in found], axis=0)
        for name, found in results.items()
    }
    values = {name: float(np.mean([one.apgr.value for one in found])) for name, found in results.items()}
    return {
        name: {
            "apgr": [round(values[name], 4), *rounded(Interval.of(draws[name]))],
            "difference": [round(values[name] - values[BASE], 4), *rounded(Interval.of(draws[name] - draws[BASE]))],
        }
        for name in results
    }


def groups(tasks: Iterable[Task]) -> list[list[Task]]:
    """Tasks on the same table together."""
    by_table: dict[str, list[Task]] = {}
    for task in tasks:
        by_table.setdefault(task.name.split(",")[0], []).append(task)
    return list(by_table.values())


def main() -> None:
    """Measure all encoders on all tasks, print and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR")
    parser.add_argument("--layers", type=int, nargs="+", default=[3, 6], metavar="N", help="of MiniLM")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/results/layer_choices.json")
    options = parser.parse_args()
    encoders = [BASE, *(f"minilm, layer {n}" for n in options.layers)]
    golden, sources = golden_tasks(options.data), source_tasks(options.data)
    found: dict[str, dict[str, list[Replay]]] = {}
    jobs = [(tasks, encoders) for tasks in groups([*golden, *sources])]
    for part in ProcessExecutor(options.workers).map(replayed, jobs):
        found.update(part)
    measured = {
        task.name: {name: measure(task.table, name, found[task.name][name], seed=number) for name in encoders}
        for number, task in enumerate([*golden, *sources])
    }
    means = {
        f"{n_labels} labels": compared(
            {name: [measured[task.name][name] for task in sources if f" {n_labels} " in task.name] for name in encoders}
        )
        for n_labels in LABELS
    }
    result = {
        "command": "OMP_NUM_THREADS=1 python benchmarks/layer_choices.py --data DIR --layers "
        + " ".join(map(str, options.layers)),
        "figure": "APGR and its difference to the static encoder's, with 95 % bootstrap intervals over queries",
        "golden_rows_of_seed_0": {
            task.name: compared({name: [one] for name, one in measured[task.name].items()}) for task in golden
        },
        "mean_over_development_sources": means,
        "development_sources": {
            task.name: compared({name: [one] for name, one in measured[task.name].items()}) for task in sources
        },
    }
    with write_atomically(options.out) as file:
        file.write((json.dumps(result, indent=1) + "\n").encode())
    print(json.dumps({**result["golden_rows_of_seed_0"], **means}, indent=1))


if __name__ == "__main__":
    main()
