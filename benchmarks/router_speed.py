"""What the routers without a network cost: seconds to train, microseconds to decide, bytes on disk.

The battles are made up: their words are those of docs/, drawn at random, 64 tokens a query, and the strong model wins
some words' queries more often. What is learned does not matter here; how long it takes does. Deciding includes the
static encoder, which is also given alone. Processor time is counted, and of several turns the best, since others
may use the machine.

Run: OMP_NUM_THREADS=1 python benchmarks/router_speed.py --battles 60000
"""

from __future__ import annotations

import argparse
import json
import platform
import re
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from turnout import registry
from turnout.atomic_write import write_atomically
from turnout.data.battles import Battles
from turnout.encoders.static import StaticEncoder
from turnout.routers.base import Router
from turnout.types import ModelPair

ROOT = Path(__file__).parents[1]
ROUTERS = ("blend", "knn", "linear", "cluster", "conditional-bt", "irt", "mf", "sw")
N_TOKENS = 64


def queries_of(n: int, seed: int) -> list[str]:
    """Texts of 64 words as they stand in the documentation, in no order."""
    pages = " ".join(page.read_text(encoding="utf-8") for page in sorted((ROOT / "docs").rglob("*.md")))
    words = np.array(re.findall(r"[a-z]+", pages.lower()))
    random = np.random.default_rng(seed)
    return [" ".join(random.choice(words, N_TOKENS)) for _ in range(n)]


def battles_of(n: int) -> Battles:
    """Battles of one pair, of which strong wins more where the query is about models."""
    queries = queries_of(n, seed=0)
    chance = np.array([0.8 if "model" in query else 0.4 for query in queries])
    share = (np.random.default_rng(1).random(n) < chance).astype(float)
    return Battles.from_columns(queries, "strong", "weak", share, pair=ModelPair("strong", "weak"))


def best_of(turns: int, run: Callable[[], object]) -> float:
    """Seconds of processor time of the quickest turn."""
    times = []
    for _ in range(turns):
        start = time.process_time()
        run()
        times.append(time.process_time() - start)
    return min(times)


def measure(name: str, battles: Battles, asked: list[str]) -> dict[str, float]:
    """One router's row."""
    start = time.process_time()
    router: Router = registry.load("router", name)(StaticEncoder()).fit(battles)
    seconds = time.process_time() - start
    with tempfile.TemporaryDirectory() as folder:
        router.save(Path(folder) / "router")
        size = sum(file.stat().st_size for file in (Path(folder) / "router").iterdir())
    router.predict_win_rate(asked[:2])
    one_by_one = best_of(5, lambda: [router.predict_win_rate([query]) for query in asked])
    in_a_batch = best_of(5, lambda: router.predict_win_rate(asked))
    return {
        "train_cpu_s": round(seconds, 2),
        "decide_one_cpu_us": round(one_by_one / len(asked) * 1e6, 1),
        "decide_in_batch_cpu_us": round(in_a_batch / len(asked) * 1e6, 1),
        "megabytes": round(size / 1e6, 2),
    }


def main() -> None:
    """Print a row for each router, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--battles", type=int, default=60_000)
    parser.add_argument("--routers", nargs="+", default=list(ROUTERS))
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/results/router_speed.json")
    options = parser.parse_args()
    battles, asked = battles_of(options.battles), queries_of(128, seed=2)
    encoder = StaticEncoder()
    alone = best_of(5, lambda: [encoder.encode([query]) for query in asked]) / len(asked) * 1e6
    print(f"the static encoder alone: {alone:.0f} µs")
    rows = {}
    for name in options.routers:
        rows[name] = measure(name, battles, asked)
        print(f"{name:15}", json.dumps(rows[name]), flush=True)
    results = {
        "command": f"OMP_NUM_THREADS=1 python benchmarks/router_speed.py --battles {options.battles}",
        "machine": platform.processor() or platform.machine(),
        "battles": options.battles,
        "tokens_a_query": N_TOKENS,
        "encoder_alone_cpu_us": round(alone, 1),
        "routers": rows,
    }
    with write_atomically(options.out) as file:
        file.write((json.dumps(results, indent=2) + "\n").encode())


if __name__ == "__main__":
    main()
