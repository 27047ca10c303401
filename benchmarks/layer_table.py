"""What `blend` reaches on golden labels with the third layer of MiniLM: a second look at the tests, run once.

Run: OMP_NUM_THREADS=1 python benchmarks/layer_table.py --data DIR

DIR holds `routellm_release/`. Needs `turnout encoders pull minilm`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from similarity_forms import rounded

from turnout.atomic_write import write_atomically
from turnout.data.split import sample_rows
from turnout.encoders.cache import CachedEncoder
from turnout.encoders.minilm import MiniLMEncoder
from turnout.encoders.static import StaticEncoder
from turnout.evaluation.benchmarks.base import load_benchmark
from turnout.evaluation.bootstrap import Interval, bootstrap, over_seeds
from turnout.evaluation.golden import golden_replays, golden_splits
from turnout.evaluation.metrics import apgr
from turnout.evaluation.pair_table import PairTable
from turnout.evaluation.replay import Replay
from turnout.executors import ProcessExecutor
from turnout.routers.blend import Blend
from turnout.types import JSON, Encoder, FloatArray, IntArray

ROOT = Path(__file__).parents[1]
SETTINGS = (("mmlu", 1_500, (5,)), ("mmlu", 200, (5, 10)), ("gsm8k", 500, (5,)))
"""Benchmark, golden labels, for how many seeds there are figures."""
DEVELOPED = {"mmlu": 1_500, "gsm8k": 500}
"""How many distinct questions of seed 0 development looked at."""


def main() -> None:
    """Compute every figure, print and write them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    parser.add_argument("--vectors", type=Path, metavar="FILE", help="keep vectors here for later runs (SQLite)")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/results/layer_table.json")
    options = parser.parse_args()
    jobs = [(options.data, options.vectors, *setting) for setting in SETTINGS]
    golden = [found for part in ProcessExecutor(options.workers).map(golden_figures, jobs) for found in part]
    result = {
        "command": "OMP_NUM_THREADS=1 python benchmarks/layer_table.py --data DIR",
        "figure": "APGR with 95 % bootstrap intervals over test questions; sd: over seeds, the draw of the labels",
        "golden": golden,
    }
    with write_atomically(options.out) as file:
        file.write((json.dumps(result, indent=1) + "\n").encode())
    print(json.dumps(result, indent=1))


def golden_figures(job: tuple[Path, Path | None, str, int, tuple[int, ...]]) -> list[dict[str, JSON]]:
    """Both routers on one benchmark with one number of labels: an entry for each number of seeds."""
    data, vectors, name, n_labels, numbers_of_seeds = job
    table = PairTable.of_benchmark(load_benchmark(name), data)
    capacity = 2 * len(table)
    encoders = {
        "blend, static": CachedEncoder(StaticEncoder(), capacity=capacity),
        "blend, layer 3 of minilm": CachedEncoder(MiniLMEncoder(layers=3), capacity=capacity, path=vectors),
    }
    return compared(table, encoders, n_labels, numbers_of_seeds)


def compared(
    table: PairTable, encoders: Mapping[str, Encoder], n_labels: int, numbers_of_seeds: Sequence[int]
) -> list[dict[str, JSON]]:
    """The routers on the same splits, on all test rows and on those that no development looked at."""
    splits = golden_splits(table, n_labels, max(numbers_of_seeds))
    developed, _ = sample_rows(table.outcomes.queries, DEVELOPED[table.name], seed=0)
    replays = {
        name: golden_replays(lambda seed, encoder=encoder: Blend(encoder, seed=seed), table, splits)
        for name, encoder in encoders.items()
    }
    untouched = {name: [without(replay, developed) for replay in found] for name, found in replays.items()}
    results: list[dict[str, JSON]] = [
        {
            "benchmark": table.name,
            "labels": n_labels,
            "seeds": n_seeds,
            **figures(table, {name: found[:n_seeds] for name, found in replays.items()}),
            "on_rows_in_no_development": figures(table, {name: found[:n_seeds] for name, found in untouched.items()}),
        }
        for n_seeds in numbers_of_seeds
    ]
    print(json.dumps(results), file=sys.stderr, flush=True)
    return results


def without(replay: Replay, rows: IntArray) -> Replay:
    """The replay on all other rows."""
    kept = ~np.isin(replay.rows, rows)
    return Replay(replay.win_rates[kept], replay.rows[kept], replay.seed)


def figures(table: PairTable, replays: Mapping[str, Sequence[Replay]]) -> dict[str, JSON]:
    """Each router's APGR, and by how much the last exceeds the first on the same draws of questions."""
    by_seed, draws = {}, {}
    for name, found in replays.items():
        scored = [(replay.win_rates, *replay.scores(table)) for replay in found]
        by_seed[name] = np.array([apgr(*one) for one in scored])
        draws[name] = over_seeds(
            lambda replicates: replicates.apgr,
            [
                bootstrap(*one, rows=replay.rows, n_queries=len(table))
                for one, replay in zip(scored, found, strict=True)
            ],
        )
    names = list(replays)
    first, last = names[0], names[-1]
    return {
        "routers": {name: spread(by_seed[name], draws[name]) for name in replays},
        "difference": spread(by_seed[last] - by_seed[first], draws[last] - draws[first]),
    }


def spread(by_seed: FloatArray, draws: FloatArray) -> dict[str, JSON]:
    """The mean over seeds with its interval over test questions, and how it varies with the draw of the labels."""
    return {
        "mean": [round(float(by_seed.mean()), 4), *rounded(Interval.of(draws))],
        "sd_over_seeds": round(float(by_seed.std(ddof=1)), 4),
        "by_seed": [round(value, 4) for value in by_seed.tolist()],
    }


if __name__ == "__main__":
    main()
