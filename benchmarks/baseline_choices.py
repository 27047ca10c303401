"""What the settings of `knn` and `linear` that `fit` does not choose rest on, and how the light routers compare.

Measured on the development sources of docs/adr/0001-selection-protocol.md alone: MMLU, GSM8K and MT Bench take no part.
Within each source some labels train and all other queries test, for several draws of the labels; the figure is the
mean APGR over sources, with its standard deviation over draws.

Run: OMP_NUM_THREADS=1 python benchmarks/baseline_choices.py --data DIR
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from similarity_forms import DevelopmentSource, development_sources

from turnout.atomic_write import write_atomically
from turnout.data.split import sample_rows
from turnout.encoders.cache import CachedEncoder
from turnout.encoders.static import StaticEncoder
from turnout.evaluation.metrics import apgr
from turnout.routers import nearest_neighbors
from turnout.routers.base import Router
from turnout.routers.cluster import Cluster
from turnout.routers.conditional_bt import ConditionalBradleyTerry
from turnout.routers.item_response import ItemResponse
from turnout.routers.linear import Linear
from turnout.routers.matrix_factorization import MatrixFactorization
from turnout.routers.nearest_neighbors import USUAL_K, USUAL_SHARPNESS, NearestNeighbors
from turnout.types import FloatArray

ROOT = Path(__file__).parents[1]
ENCODER = CachedEncoder(StaticEncoder(), capacity=20_000)


def least_error() -> Router:
    """`knn` with whatever settings have the least error, proven or not."""
    nearest_neighbors._PROOF = -1e9
    return NearestNeighbors(ENCODER)


def proven() -> Router:
    """`knn` as it is."""
    nearest_neighbors._PROOF = 3.0
    return NearestNeighbors(ENCODER)


class LinearWithForm(Linear):
    """`linear` with form features of another typical length than 1."""

    length = 1.0

    def _form(self, queries: Sequence[str]) -> FloatArray:
        return self.length * super()._form(queries)


class HalfForm(LinearWithForm):
    """Of half the length."""

    length = 0.5


class QuarterForm(LinearWithForm):
    """Of a quarter of it."""

    length = 0.25


CANDIDATES: dict[str, Callable[[], Router]] = {
    "knn": proven,
    "knn, never choosing k and sharpness": lambda: NearestNeighbors(ENCODER, k=USUAL_K, sharpness=USUAL_SHARPNESS),
    "knn, the least error outright": least_error,
    "knn, k=30": lambda: NearestNeighbors(ENCODER, k=30, sharpness=USUAL_SHARPNESS),
    "knn, k=300": lambda: NearestNeighbors(ENCODER, k=300, sharpness=USUAL_SHARPNESS),
    "knn, guard=mean": lambda: NearestNeighbors(ENCODER, guard="mean"),
    "linear, form of length 0.5": lambda: HalfForm(ENCODER),
    "linear": lambda: Linear(ENCODER),
    "linear, form of length 0.25": lambda: QuarterForm(ENCODER),
    "linear, without form": lambda: Linear(ENCODER, features=("vectors", "words")),
    "linear, vectors alone": lambda: Linear(ENCODER, features=("vectors",)),
    "linear, words alone": lambda: Linear(ENCODER, features=("words",)),
    "cluster": lambda: Cluster(ENCODER),
    "conditional-bt": lambda: ConditionalBradleyTerry(ENCODER),
    "irt": lambda: ItemResponse(ENCODER),
    "mf": lambda: MatrixFactorization(ENCODER),
}


def measured(source: DevelopmentSource, make: Callable[[], Router], n_labels: int, seed: int) -> float:
    """APGR on a source's other queries of a router that was trained on some."""
    n_distinct = min(n_labels, len(set(source.queries)) // 2)
    train, test = sample_rows(source.queries, n_distinct, seed=seed)
    router = make().fit(source.battles.take(train))
    win_rates = router.predict_win_rate([source.queries[row] for row in test])
    share = source.share[test]
    return apgr(win_rates, share, 1 - share)


def main() -> None:
    """Print a line for each candidate, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR")
    parser.add_argument("--labels", type=int, nargs="+", default=[200, 800])
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/results/baseline_choices.json")
    options = parser.parse_args()
    sources = development_sources(options.data)
    rows = {}
    for n_labels in options.labels:
        for name, make in CANDIDATES.items():
            table = np.array(
                [
                    [measured(source, make, n_labels, seed) for source in sources.values()]
                    for seed in range(options.draws)
                ]
            )
            means = table.mean(axis=1)
            rows[f"{n_labels} labels: {name}"] = {
                "mean_apgr": round(float(means.mean()), 4),
                "sd_over_draws": round(float(means.std(ddof=1)), 4),
                "by_source": dict(zip(sources, table.mean(axis=0).round(4).tolist(), strict=True)),
            }
            print(f"{n_labels:4} {name:40} {means.mean():.4f} ± {means.std(ddof=1):.4f}", flush=True)
    results = {
        "command": "OMP_NUM_THREADS=1 python benchmarks/baseline_choices.py --data DIR",
        "queries": {name: len(source.queries) for name, source in sources.items()},
        "draws": options.draws,
        "candidates": rows,
    }
    with write_atomically(options.out) as file:
        file.write((json.dumps(results, indent=2) + "\n").encode())


if __name__ == "__main__":
    main()
