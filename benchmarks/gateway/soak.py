"""Hours in minutes: load while providers fail and recover, the configuration reloads and workers are killed.

    python benchmarks/gateway/soak.py --minutes 15 --half-top --out benchmarks/results/gateway_soak.json
    python benchmarks/gateway/soak.py --minutes 2 --rate 500

A provider (faulty_provider.py) plays a fault for a few seconds every so often: refuse, 500, 429, hang, cut in
mid-stream. Clients (even_load.py) send requests at an even rate, one in five streamed, and try again twice where
nothing had come yet, as the official clients do. Now and then the gateway is told to read its configuration again, and
one of its workers is killed with SIGKILL. With --half-top the highest rate that this machine sustains without any of
that is looked for first, with clients, provider and gateway on it, and the soak runs at half of it.

It counts requests that were lost, follows the memory of each worker, and holds what the clients saw (decision and cost)
against the ledger, for each request that ended a second or more before a kill, or a tenth of one after it; what the
ledger lacks of the others is counted and printed too. Fails if a request was lost before its answer had begun, or if
ledger and clients disagree; what was found is printed and written in any case.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import json
import math
import os
import random
import re
import signal
import sqlite3
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvloop
from even_load import Clients, Seen, top_rate
from faulty_provider import FAULTS, Switch, faulty_provider
from rig import free_port, memory_mb, processor_s, running
from turnout_gateway import PRICES, configuration, serve

from turnout.atomic_write import write_atomically

LEDGER = '[ledger]\npath = "ledger.sqlite3"\nquery_text = "off"\n'
UPSTREAM = "[upstream]\nfirst_byte_s = 3.0\nbetween_chunks_s = 3.0\nbreaker_open_s = 2.0\n"
SEEN_LATE_S = 0.1
"""So long after a kill a client may see what the killed worker had sent."""
THRESHOLDS = (0.59, 0.61)
"""Written in turn at each reload."""
DELAY = re.compile(r'turnout_ledger_delay_seconds_bucket\{le="([^"]+)"\} (\d+)')


@dataclass
class Story:
    """What was done to the gateway, and when."""

    kills: list[float] = field(default_factory=list)
    reloads: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    memory_mb: list[tuple[float, float]] = field(default_factory=list)
    """For each minute the resident memory of the smallest and of the largest worker."""


def children(pid: int) -> list[int]:
    """The workers that a gateway has running."""
    with contextlib.suppress(OSError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


async def disturb(
    gateway: int, write_config: Callable[[float], None], switch: Switch, story: Story, *, seconds: float
) -> None:
    """Faults for 5 of every 20 seconds, a reload every 30, a kill every 45; none in the last 10."""
    start = time.monotonic()
    tick = 0
    while (left := seconds - (time.monotonic() - start)) > 0:
        if tick % 5 == 0:
            note_memory(story, gateway, minute=tick // 60)
        if tick % 20 == 10 and left > 15:
            number = tick // 20
            switch.play(FAULTS[number % len(FAULTS)], number % 2)
            story.faults[FAULTS[number % len(FAULTS)]] += 1
        if tick % 20 == 15:
            switch.stop()
        if tick % 30 == 25 and left > 10:
            write_config(THRESHOLDS[story.reloads % 2])
            os.kill(gateway, signal.SIGHUP)
            story.reloads += 1
        if tick % 45 == 40 and left > 10 and (workers := children(gateway)):
            story.kills.append(time.time())
            os.kill(random.choice(workers), signal.SIGKILL)
        tick += 1
        await asyncio.sleep(max(0.0, start + tick - time.monotonic()))
    switch.stop()


def note_memory(story: Story, gateway: int, *, minute: int) -> None:
    """Take down what the workers hold now."""
    sizes = [size for pid in children(gateway) if (size := memory_mb(pid)) > 0]
    if not sizes:
        return
    while len(story.memory_mb) <= minute:
        story.memory_mb.append((math.inf, 0.0))
    smallest, largest = story.memory_mb[minute]
    story.memory_mb[minute] = (round(min(smallest, *sizes), 1), round(max(largest, *sizes), 1))


def nearest(ended: float, kills: list[float]) -> float:
    """How many seconds before the kill that concerns it an answer ended: below zero after it, infinite without one.

    What ended within a second before a kill may have been in the killed worker's memory. So may an answer that a client
    saw a moment after it: the worker had sent it, and it waited in the socket for a client with much to read.
    """
    return min((kill - ended for kill in kills if kill - ended > -SEEN_LATE_S), default=math.inf)


def balance(ledger: Path, seen: Seen, kills: list[float]) -> dict[str, Any]:
    """What the clients saw beside what the ledger holds."""
    with contextlib.closing(sqlite3.connect(ledger)) as connection:
        rows = dict(connection.execute("SELECT id, cost_usd FROM decisions WHERE status = 200"))
        (all_rows,) = connection.execute("SELECT count(*) FROM decisions").fetchone()
    safe_clients_usd = safe_ledger_usd = unsafe_usd = 0.0
    missing_safe = missing_unsafe = differing = 0
    earliest_s, latest_s = 0.0, 0.0
    for id, ended, usd in zip(seen.ids, seen.ended, seen.usd, strict=True):
        known_usd = 0.0 if math.isnan(usd) else usd
        before_s = nearest(ended, kills)
        is_safe = not -SEEN_LATE_S < before_s < 1.0
        if id not in rows:
            missing_safe += is_safe
            missing_unsafe += not is_safe
            unsafe_usd += 0.0 if is_safe else known_usd
            earliest_s, latest_s = max(earliest_s, before_s), max(latest_s, -before_s)
        elif not math.isnan(usd):
            differing += abs(usd - (rows[id] or 0.0)) > 1e-9
        if is_safe:
            safe_clients_usd += known_usd
            safe_ledger_usd += rows.get(id) or 0.0
    return {
        "answers_seen": len(seen.ids),
        "ledger_rows": all_rows,
        "clients_usd": round(safe_clients_usd, 6),
        "ledger_usd": round(safe_ledger_usd, 6),
        "missing_that_ended_a_second_before_a_kill": missing_safe,
        "missing_within_a_second_of_a_kill": missing_unsafe,
        "usd_missing_within_a_second_of_a_kill": round(unsafe_usd, 6),
        "earliest_missing_ended_s_before_a_kill": round(earliest_s, 3),
        "latest_missing_was_seen_s_after_a_kill": round(latest_s, 3),
        "rows_whose_cost_differs": differing,
    }


def delays(port: int) -> dict[str, int]:
    """How many entries the gateway had written within so many seconds of their request's end, by its own account."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        counts = {bound: int(count) for bound, count in DELAY.findall(answer.read().decode())}
    return {bound: count for bound, count in counts.items() if bound == "+Inf" or count < counts["+Inf"]}


def soak(result: dict[str, Any], router: str, *, seconds: float, rate: float | None, workers: int) -> None:
    """Run it all, and put what comes of it into `result`, step by step. Without a rate it is half of the top rate."""
    with (
        faulty_provider() as (ports, switch, provider),
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
    ):
        port = free_port()
        config = Path(folder) / "turnout.toml"

        def write_config(threshold: float) -> None:
            text = configuration(
                router,
                port=port,
                providers={name: f"http://127.0.0.1:{at}/v1" for name, at in zip(PRICES, ports, strict=True)},
                operating_point=f'threshold = {threshold}\nfallbacks = ["weak", "strong"]',
                server=f"workers = {workers}",
                sections=LEDGER + UPSTREAM,
            )
            with write_atomically(config) as file:
                file.write(text.encode())

        write_config(THRESHOLDS[1])
        seen, story = Seen(), Story()

        async def run(gateway: int) -> None:
            await asyncio.sleep(2.0)
            clients = Clients(f"http://127.0.0.1:{port}/v1/chat/completions")
            half = rate
            if half is None:
                top, result["rates_tried"] = await top_rate(clients)
                result["top_rate"] = round(top)
                half = top / 2
                print(f"the top rate is {top:.0f} requests a second", file=sys.stderr)
            result["rate"] = round(half)
            before, start = {pid: processor_s(pid) for pid in (gateway, provider)}, time.monotonic()
            own = time.process_time()
            try:
                await asyncio.gather(
                    clients.send_evenly(rate=half, seconds=seconds, seen=seen),
                    disturb(gateway, write_config, switch, story, seconds=seconds),
                )
            finally:
                took_s = time.monotonic() - start
                clients.close()
                result["seconds"] = round(took_s, 1)
                result["cores_used"] = {
                    "clients": round((time.process_time() - own) / took_s, 2),
                    "provider": round((processor_s(provider) - before[provider]) / took_s, 2),
                }
                tell(result, seen, story)
            result["entries_written_within_s"] = await asyncio.to_thread(delays, port)

        with (
            open(os.devnull, "wb") as nowhere,
            running(serve(config, "--quiet"), port, stderr=nowhere) as gateway,
            asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
        ):
            runner.run(run(gateway.pid))
        result["account"] = balance(Path(folder) / "ledger.sqlite3", seen, story.kills)


def tell(result: dict[str, Any], seen: Seen, story: Story) -> None:
    """What the clients saw, and what was done meanwhile."""
    result |= {
        "sent": seen.sent,
        "answered": len(seen.ids),
        "lost": dict(seen.lost),
        "streams_cut_after_they_had_begun": seen.cut,
        "client_retries": seen.retries,
        "p50_ms": seen.percentile_ms(0.5),
        "p99_ms": seen.percentile_ms(0.99),
        "faults": dict(story.faults),
        "reloads": story.reloads,
        "workers_killed": len(story.kills),
        "worker_memory_mb_by_minute": [list(pair) for pair in story.memory_mb],
    }


def verdict(result: dict[str, Any]) -> str | None:
    """What is wrong, if anything is."""
    account = result["account"]
    if result["lost"]:
        return "requests were lost"
    if account["missing_that_ended_a_second_before_a_kill"] or account["rows_whose_cost_differs"]:
        return "the ledger and the clients disagree"
    return None


def command(options: argparse.Namespace) -> str:
    """How to do it again, without where the result was written."""
    rate = "--half-top" if options.half_top else f"--rate {options.rate:g}"
    router = "" if options.router == "default" else f" --router {Path(options.router).name}"
    return f"python benchmarks/gateway/soak.py --minutes {options.minutes:g} {rate} --workers {options.workers}{router}"


def main() -> None:
    """Soak, print, judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--router", default="default", help="a router folder, or a shipped router's name")
    parser.add_argument("--minutes", type=float, default=15)
    parser.add_argument("--rate", type=float, default=500, help="requests a second")
    parser.add_argument("--half-top", action="store_true", help="half of the top rate, which is looked for, instead")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, help="write the result here too")
    options = parser.parse_args()
    # The clients keep every answer's account, among which there are no circles to be looked for.
    gc.disable()
    result: dict[str, Any] = {
        "command": command(options),
        "date": time.strftime("%Y-%m-%d"),
        "machine": f"{os.cpu_count()} cores, shared by gateway, clients and provider",
        "workers": options.workers,
    }
    rate = None if options.half_top else options.rate
    problem: str | None = "it did not end"
    try:
        soak(result, options.router, seconds=60 * options.minutes, rate=rate, workers=options.workers)
        problem = verdict(result)
    finally:
        result["problem"] = problem
        # What has no lists or objects in it stands on one line.
        text = re.sub(r"[{\[][^{}\[\]]*[}\]]", lambda found: " ".join(found[0].split()), json.dumps(result, indent=1))
        print(text)
        if options.out is not None:
            with write_atomically(options.out) as file:
                file.write(text.encode() + b"\n")
    if problem is not None:
        sys.exit(problem)


if __name__ == "__main__":
    main()
