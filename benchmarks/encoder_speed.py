"""Median time of one text, for 16, 64 and 256 tokens, on one thread.

Run: OMP_NUM_THREADS=1 python benchmarks/encoder_speed.py static minilm
"""

from __future__ import annotations

import argparse
import json
import random
import time

import numpy as np

from turnout import registry
from turnout.encoders.static import StaticEncoder

LENGTHS = (16, 64, 256)


def texts_of(n_tokens: int, n_texts: int, seed: int) -> list[str]:
    """Texts of that many words, drawn from the 8,000 most frequent ones that the static encoder knows."""
    words = [word for word in StaticEncoder()._vocabulary.words if word.isalpha()][:8_000]
    rng = random.Random(seed)
    return [" ".join(rng.choices(words, k=n_tokens)) for _ in range(n_texts)]


def measure(name: str, n_texts: int, seed: int) -> dict[str, object]:
    """Microseconds a text, singly, each text once and none of them seen before."""
    encoder = registry.load("encoder", name)()
    encoder.encode(texts_of(64, 5, seed + 1))
    figures: dict[str, object] = {"encoder": name, "identity": encoder.identity}
    for n_tokens in LENGTHS:
        times = []
        for text in texts_of(n_tokens, n_texts, seed):
            start = time.perf_counter()
            encoder.encode([text])
            times.append(time.perf_counter() - start)
        p50, p99 = np.quantile(times, [0.5, 0.99]) * 1e6
        figures[f"{n_tokens} tokens"] = {"p50_us": round(float(p50), 1), "p99_us": round(float(p99), 1)}
    return figures


def main() -> None:
    """Print a JSON line for each encoder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("encoders", nargs="*", default=["static"], help="registered names")
    parser.add_argument("--texts", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    for name in arguments.encoders:
        print(json.dumps(measure(name, arguments.texts if name != "minilm" else 100, arguments.seed)))


if __name__ == "__main__":
    main()
