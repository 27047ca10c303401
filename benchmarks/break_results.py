"""Attempts to break the routing results: labels shuffled, other seeds, near copies, and rules that learn nothing.

    OMP_NUM_THREADS=1 python benchmarks/break_results.py --data DIR > benchmarks/results/break_results.json

What it found stands in docs/adr. DIR holds the paper's released outcomes. APGR is computed here anew, so that a fault
in `turnout.evaluation` would show. About five minutes on one thread.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from turnout.data.battles import Battles
from turnout.data.contamination import find_contaminated
from turnout.data.split import sample_rows
from turnout.encoders.cache import CachedEncoder
from turnout.encoders.static import StaticEncoder
from turnout.evaluation.benchmarks.base import load_benchmark
from turnout.evaluation.pair_table import PairTable
from turnout.routers.base import Router
from turnout.routers.blend import Blend
from turnout.routers.linear import Linear
from turnout.routers.matrix_factorization import MatrixFactorization
from turnout.routers.nearest_neighbors import NearestNeighbors
from turnout.types import JSON, FloatArray, IntArray

ENCODER = CachedEncoder(StaticEncoder(), capacity=20_000)
ROUTERS: dict[str, Callable[[int], Router]] = {
    "blend": lambda seed: Blend(ENCODER, seed=seed),
    "linear": lambda seed: Linear(ENCODER),
    "knn": lambda seed: NearestNeighbors(ENCODER),
    "mf": lambda seed: MatrixFactorization(ENCODER, seed=seed),
}
BENCHMARKS = ("mmlu", "gsm8k", "mt-bench")
SHUFFLES = {200: 20, 1_500: 12}
N_SCORED = 3_000  # test questions on which routers of shuffled labels are measured
N_SEEDS = 10


def main() -> None:
    """Make every attempt and print what came of it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    data: Path = parser.parse_args().data
    tables = {name: PairTable.of_benchmark(load_benchmark(name), data) for name in BENCHMARKS}
    result: dict[str, JSON] = {"command": "break_results.py --data DIR", "encoder": ENCODER.identity}
    result["by_length_alone"] = {name: by_length(table) for name, table in tables.items()}
    result["ten_seeds"] = [ten_seeds(tables[name], n) for name, n in (("gsm8k", 500), ("mmlu", 200))]
    result["shuffled_labels"] = [shuffled(tables["mmlu"], name, n_labels) for n_labels in SHUFFLES for name in ROUTERS]
    result["without_near_copies"] = without_near_copies(tables["mmlu"], 1_500)
    print(json.dumps(result, indent=2))


def area(table: PairTable, rows: IntArray, win_rates: FloatArray) -> float:
    """APGR from its definition: groups of equal win rates go to strong together, their gain spread evenly."""
    groups: dict[float, list[float]] = defaultdict(list)
    for row, win_rate in zip(rows.tolist(), win_rates.tolist(), strict=True):
        groups[win_rate].append(float(table.strong_scores[row] - table.weak_scores[row]))
    gained = total = 0.0
    for win_rate in sorted(groups, reverse=True):
        gain = sum(groups[win_rate])
        total += len(groups[win_rate]) * (gained + gain / 2)
        gained += gain
    return total / gained / len(rows)


def by_length(table: PairTable) -> float:
    """APGR of a rule that learns nothing: the longer a question, the sooner it goes to strong."""
    lengths = np.array([len(query) for query in table.outcomes.queries], dtype=np.float64)
    return round(area(table, np.arange(len(table)), lengths), 4)


def fitted(table: PairTable, name: str, rows: IntArray, seed: int, *, shuffle: bool = False) -> Router:
    """A router trained on these rows, with their labels or with these in random order."""
    labels = table.outcomes.take(rows).battles(table.pair, scale=table.scale)
    # Another stream than the one that drew the rows.
    order = np.random.default_rng([1, seed]).permutation(len(rows)) if shuffle else np.arange(len(rows))
    battles = Battles.from_columns(
        labels.queries, table.pair.strong, table.pair.weak, labels.share_a[order], source=labels.source, pair=table.pair
    )
    return ROUTERS[name](seed).fit(battles)


def scored(table: PairTable, router: Router, rows: IntArray) -> float:
    """The router's APGR on these rows."""
    return area(table, rows, router.predict_win_rate([table.outcomes.queries[row] for row in rows]))


def ten_seeds(table: PairTable, n_labels: int) -> dict[str, JSON]:
    """`blend` with the final table's five seeds and five more: what the draw of the labels alone does."""
    found = []
    for seed in range(N_SEEDS):
        train, test = sample_rows(table.outcomes.queries, n_labels, seed=seed)
        found.append(scored(table, fitted(table, "blend", train, seed), test))
    note(f"ten seeds, {table.name}")
    return {
        "benchmark": table.name,
        "labels": n_labels,
        "apgr_by_seed": np.round(found, 4).tolist(),
        "mean": round(float(np.mean(found)), 4),
        "standard_deviation": round(float(np.std(found, ddof=1)), 4),
    }


def shuffled(table: PairTable, name: str, n_labels: int) -> dict[str, JSON]:
    """A router trained on shuffled labels may not be better than chance on average, beyond two standard errors."""
    found = []
    scored_rows = np.random.default_rng(0).permutation(len(table))[:N_SCORED]
    for seed in range(SHUFFLES[n_labels]):
        train, test = sample_rows(table.outcomes.queries, n_labels, seed=seed)
        router = fitted(table, name, train, seed, shuffle=True)
        found.append(scored(table, router, np.intersect1d(test, scored_rows)))
    note(f"shuffled, {name}, {n_labels}")
    return {
        "router": name,
        "labels": n_labels,
        "apgr_by_seed": np.round(found, 4).tolist(),
        "mean": round(float(np.mean(found)), 4),
        "standard_error": round(standard_error(found), 4),
    }


def without_near_copies(table: PairTable, n_labels: int) -> dict[str, JSON]:
    """`blend`, seed 0, on all test rows and on those that are no near copy of a training row."""
    train, test = sample_rows(table.outcomes.queries, n_labels, seed=0)
    queries = table.outcomes.queries
    found = find_contaminated([queries[row] for row in test], [queries[row] for row in train])
    router = fitted(table, "blend", train, 0)
    kept = np.delete(test, [match.row for match in found])
    return {
        "benchmark": table.name,
        "labels": n_labels,
        "near_copies": len(found),
        "apgr": round(scored(table, router, test), 4),
        "apgr_without": round(scored(table, router, kept), 4),
    }


def standard_error(values: Sequence[float]) -> float:
    """Of the mean."""
    return float(np.std(values, ddof=1) / np.sqrt(len(values)))


def note(what: str) -> None:
    """Say on stderr what is done."""
    print(what, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
