"""How many requests a second pass the gateway, plain and streamed, with a router, keys, limits, metrics and ledger on.

    python benchmarks/gateway/load.py --router FOLDER_OR_NAME [--seconds 8] [--connections 32] [--rounds 3] [--json]

Prints the mock provider's own figure beside the gateway's, the median of the rounds and the processor time a request,
and fails if a request failed or if the ledger does not hold exactly one entry for each request that was answered.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import statistics
import sys
import tempfile
from pathlib import Path

from rig import Figures, free_port, load, mock_provider, processor_s, running
from turnout_gateway import LEDGER, configuration, limited_key, serve


def measure(router: str, *, stream: bool, seconds: float, connections: int, rounds: int) -> dict[str, object]:
    """The figures of one way of answering."""
    with mock_provider() as provider_port, tempfile.TemporaryDirectory() as folder:
        provider = f"http://127.0.0.1:{provider_port}{'/stream' if stream else ''}/v1"
        port = free_port()
        config = Path(folder) / "turnout.toml"
        providers = {"strong": provider, "weak": provider}
        config.write_text(configuration(router, port=port, providers=providers, sections=LEDGER))
        key = limited_key(Path(folder) / "ledger.sqlite3")
        direct: list[Figures] = []
        through: list[Figures] = []
        processor: list[float] = []
        with running(serve(config, "--quiet"), port) as gateway:
            for _ in range(rounds):
                direct.append(_load(f"{provider}/chat/completions", stream, seconds, connections))
                before = processor_s(gateway.pid)
                through.append(_load(f"http://127.0.0.1:{port}/v1/chat/completions", stream, seconds, connections, key))
                processor.append((processor_s(gateway.pid) - before) / through[-1].requests)
        with sqlite3.connect(Path(folder) / "ledger.sqlite3") as ledger:
            (answered,) = ledger.execute("SELECT count(*) FROM decisions WHERE status = 200").fetchone()
    seen = sum(run.requests for run in through)
    # wrk drops what is under way when its time is over; the gateway has answered or given up on those.
    return {
        "stream": stream,
        "direct_per_second": statistics.median(run.per_second for run in direct),
        "per_second": statistics.median(run.per_second for run in through),
        "p50_ms": statistics.median(run.p50_ms for run in through),
        "p99_ms": statistics.median(run.p99_ms for run in through),
        "processor_us_per_request": 1e6 * statistics.median(processor),
        "failed": sum(run.failed for run in [*direct, *through]),
        "answered": seen,
        "rows_missing": max(0, seen - answered),
    }


def _load(url: str, stream: bool, seconds: float, connections: int, key: str = "none") -> Figures:
    return load(url, model="auto", stream=stream, seconds=seconds, connections=connections, key=key)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--router", required=True, help="a router folder, or a shipped router's name")
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    router = str(Path(options.router).resolve()) if Path(options.router).exists() else options.router
    results = [
        measure(
            router,
            stream=stream,
            seconds=options.seconds,
            connections=options.connections,
            rounds=options.rounds,
        )
        for stream in (False, True)
    ]
    if options.json:
        print(json.dumps(results, indent=2))
    else:
        heads = ("direct/s", "gateway/s", "p50 ms", "p99 ms", "µs CPU", "failed", "unlogged")
        print(" " * 9 + "".join(f"{head:>10}" for head in heads))
        for r in results:
            numbers = [f"{r['direct_per_second']:.0f}", f"{r['per_second']:.0f}", f"{r['p50_ms']:.1f}"]
            numbers += [f"{r['p99_ms']:.1f}", f"{r['processor_us_per_request']:.0f}"]
            numbers += [str(r["failed"]), str(r["rows_missing"])]
            print(f"{'streamed' if r['stream'] else 'plain':9}" + "".join(f"{number:>10}" for number in numbers))
    if any(r["failed"] or r["rows_missing"] for r in results):
        sys.exit("some requests failed or were not logged: the figures do not count")


if __name__ == "__main__":
    main()
