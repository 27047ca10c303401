"""What counting one request costs: our counters and histograms beside prometheus_client's.

    python benchmarks/gateway/metrics_cost.py [--requests 200000]

Both do what the gateway does for a request: six counters and four histograms with labels. They take turns, so that
whatever else the machine does hits both alike.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import prometheus_client

from turnout.gateway.metrics import Registry

BOUNDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5)


def ours() -> Callable[[], None]:
    """The registry of turnout.gateway.metrics."""
    registry = Registry()
    counters = [registry.counter(f"c{n}_total", "C.", ("route", "model")) for n in range(6)]
    histograms = [registry.histogram(f"h{n}", "H.", BOUNDS, ("model",)) for n in range(4)]

    def count() -> None:
        for counter in counters:
            counter.add(("auto", "small"), 3)
        for histogram in histograms:
            histogram.observe(("small",), 0.004)

    return count


def theirs() -> Callable[[], None]:
    """prometheus_client."""
    registry = prometheus_client.CollectorRegistry()
    counters = [prometheus_client.Counter(f"c{n}", "C.", ("route", "model"), registry=registry) for n in range(6)]
    histograms = [
        prometheus_client.Histogram(f"h{n}", "H.", ("model",), buckets=BOUNDS, registry=registry) for n in range(4)
    ]

    def count() -> None:
        for counter in counters:
            counter.labels("auto", "small").inc(3)
        for histogram in histograms:
            histogram.labels("small").observe(0.004)

    return count


def main() -> None:
    """Let both take turns, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=200_000)
    options = parser.parse_args()
    took: dict[str, list[float]] = {"ours": [], "prometheus_client": []}
    counts = {"ours": ours(), "prometheus_client": theirs()}
    per_turn = max(1, options.requests // 10)
    for _ in range(10):
        for name, count in counts.items():
            start = time.process_time()
            for _ in range(per_turn):
                count()
            took[name].append(1e6 * (time.process_time() - start) / per_turn)
    for name, times in took.items():
        print(f"{name:20}{statistics.median(times):8.2f} µs a request (best {min(times):.2f})")


if __name__ == "__main__":
    main()
