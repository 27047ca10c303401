"""Queries a second of the router `sw` at 60,000 battles, singly and in batches, for vectors of 384 and 1,536 numbers.

The battles are drawn at random, between 64 models on as many distinct queries, and so are the vectors: what an encoder
takes comes on top, and is measured by encoder_speed.py. Beside it, for comparison: the same win rates by a regression
over all battles, which is what the paper's formula says and its released code does.

Run: OMP_NUM_THREADS=1 python benchmarks/similarity_speed.py
"""

from __future__ import annotations

import argparse
import json
import platform
import time
import zlib
from collections.abc import Sequence

import numpy as np

from turnout.data.battles import Battles
from turnout.encoders.base import unit_rows
from turnout.ranking import RIDGE
from turnout.routers.learning.similarity_weights import battle_weights
from turnout.routers.similarity import SimilarityRanking
from turnout.types import ModelPair, VectorArray

N_MODELS = 64


class RandomVectors:
    """Vectors that depend on the text alone and mean nothing; made in no time worth measuring."""

    name = "random-vectors"

    def __init__(self, dim: int) -> None:
        self.dim = dim
        self.identity = f"random-vectors/{dim}"
        drawn = np.random.default_rng(0).normal(size=(2**16 + dim,)).astype(np.float32)
        # Past queries resemble each other, as real ones do: without this, cosines would be near 0.
        self._drawn = drawn + 0.5

    def encode(self, texts: Sequence[str]) -> VectorArray:
        """Each text's vector is a stretch of one long random one."""
        starts = [zlib.crc32(text.encode()) % 2**16 for text in texts]
        return unit_rows(np.stack([self._drawn[start : start + self.dim] for start in starts]))


def battles_of(n: int, seed: int) -> Battles:
    """Votes between random models; the further apart two stand in the list, the likelier the first wins."""
    random = np.random.default_rng(seed)
    a = random.integers(0, N_MODELS, n)
    b = (a + random.integers(1, N_MODELS, n)) % N_MODELS
    share = (random.random(n) < 1 / (1 + np.exp((a - b) / 20))).astype(float)
    share[random.random(n) < 0.2] = 0.5
    models = [f"model-{number:02}" for number in range(N_MODELS)]
    return Battles.from_columns(
        [f"query {number}" for number in range(n)],
        [models[m] for m in a],
        [models[m] for m in b],
        share,
        pair=ModelPair(models[0], models[-1]),
    )


def regression_over_all_battles(router: SimilarityRanking, votes: Battles, vector: VectorArray) -> float:
    """One request as the paper states it: a weighted logistic regression with a row for each battle."""
    tier = {model: number for number, members in enumerate(router.tiers_) for model in members}
    rows = np.arange(len(votes))
    design = np.zeros((len(votes), len(router.tiers_)))
    design[rows, [tier[model] for model in votes.model_a]] += 1
    design[rows, [tier[model] for model in votes.model_b]] -= 1
    design = design[:, 1:]
    start = time.process_time()
    weights = battle_weights(router.vectors_ @ vector, router.similarity, router.gamma)
    ratings = np.zeros(design.shape[1])
    step = np.ones_like(ratings)
    while np.abs(step).max() > 1e-8:
        p = 1 / (1 + np.exp(-design @ ratings))
        gradient = design.T @ (weights * (votes.share_a - p)) - RIDGE * ratings
        hessian = design.T @ (design * (weights * p * (1 - p))[:, None]) + RIDGE * np.eye(len(ratings))
        step = np.linalg.solve(hessian, gradient)
        ratings += step
    return time.process_time() - start


def measure(dim: int, n_battles: int, n_tiers: int | None, n_queries: int, seed: int) -> dict[str, object]:
    """Queries for each second that a core worked, the best of three rounds: waiting for others does not count."""
    router = SimilarityRanking(RandomVectors(dim), n_tiers=n_tiers)
    votes = battles_of(n_battles, seed)
    start = time.process_time()
    router.fit(votes)
    fit_s = time.process_time() - start
    queries = [f"asked {number}" for number in range(n_queries)]
    router.predict_win_rate(queries[:5])
    single, batch = [], []
    for _ in range(3):
        start = time.process_time()
        for query in queries:
            router.predict_win_rate([query])
        single.append(n_queries / (time.process_time() - start))
        start = time.process_time()
        router.predict_win_rate(queries)
        batch.append(n_queries / (time.process_time() - start))
    asked = router.encoder.encode(queries[:3])
    plain_s = min(regression_over_all_battles(router, votes, vector) for vector in asked)
    return {
        "dim": dim,
        "n_battles": n_battles,
        "n_tiers": len(router.tiers_),
        "vectors_mb": round(router.vectors_.nbytes / 1e6),
        "fit_core_s": round(fit_s, 2),
        "queries_per_core_s_singly": round(max(single), 1),
        "queries_per_core_s_in_batches": round(max(batch), 1),
        "regression_over_all_battles_per_core_s": round(1 / plain_s, 1),
    }


def main() -> None:
    """Print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--battles", type=int, default=60_000)
    parser.add_argument("--queries", type=int, default=128)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rows = [
        measure(dim, arguments.battles, n_tiers, arguments.queries, arguments.seed)
        for dim in (384, 1536)
        for n_tiers in (10, 2, None)
    ]
    machine = f"{platform.machine()}, one thread, shared; numpy {np.__version__}"
    print(json.dumps({"machine": machine, "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
