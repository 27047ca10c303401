"""Hours in minutes: load while providers fail and recover, the configuration reloads and workers are killed.

    python benchmarks/gateway/soak.py --minutes 15 --rate 500 --out benchmarks/results/gateway_soak.json

A provider of our own answers with token counts of its own choice, and plays a fault for a few seconds every so often:
refuse, 500, 429, hang, cut in mid-stream. A client sends requests at an even rate, one in five streamed, and tries
again twice where nothing had come yet, as the official clients do. Now and then the gateway is told to read its
configuration again, and one of its workers is killed with SIGKILL.

It counts requests that were lost, follows the memory of each worker, and holds what the clients saw (decision and cost)
against the ledger, for each request that ended a second or more before a kill; what the ledger lacks of the others is
counted and printed too. Fails if a request was lost before its answer had begun, or if ledger and clients disagree.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import multiprocessing
import os
import random
import signal
import sqlite3
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from rig import free_port, memory_mb, running
from turnout_gateway import PRICES, configuration, serve

LEDGER = '[ledger]\npath = "ledger.sqlite3"\nquery_text = "off"\n'
UPSTREAM = "[upstream]\nfirst_byte_s = 3.0\nbetween_chunks_s = 3.0\nbreaker_open_s = 2.0\n"
THRESHOLDS = (0.59, 0.61)
"""Written in turn at each reload."""
FAULTS = ("refuse", "500", "429", "hang", "cut")
CLIENT_TRIES = 3
RETRIED = frozenset({408, 409, 429, 500, 502, 503, 504})
"""What the official clients try again."""


# The provider: a process of its own, two ports, one of which misbehaves at a time.


def provide(ports: tuple[int, int], fault: Any) -> None:
    """Answer on both ports until killed. `fault.value` is 0, or 1 + the fault's number + 10 · the port's number."""
    asyncio.run(_provide(ports, fault))


async def _provide(ports: tuple[int, int], fault: Any) -> None:
    for number, port in enumerate(ports):
        app = web.Application()
        app.router.add_post("/v1/chat/completions", _Provider(number, fault))
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port, backlog=2048).start()
    await asyncio.Event().wait()


class _Provider:
    def __init__(self, number: int, fault: Any) -> None:
        self._number = number
        self._fault = fault
        self._random = random.Random(number)

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        code = self._fault.value
        playing = FAULTS[(code - 1) % 10] if code and (code - 1) // 10 == self._number else None
        if playing == "refuse":
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        if playing in ("500", "429"):
            return web.json_response({"error": {"message": "a fault that is played"}}, status=int(playing))
        if playing == "hang":
            await asyncio.sleep(6)
        usage = {"prompt_tokens": self._random.randint(10, 400), "completion_tokens": self._random.randint(5, 300)}
        usage["total_tokens"] = sum(usage.values())
        if not body.get("stream"):
            message = {"role": "assistant", "content": "A turnout lets a train change tracks."}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            head = {"id": "x", "object": "chat.completion", "created": 0, "model": body["model"]}
            return web.json_response({**head, "choices": [choice], "usage": usage})
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for word in ("A", " turnout"):
            await response.write(_event({"choices": [{"index": 0, "delta": {"content": word}, "finish_reason": None}]}))
        if playing == "cut":
            assert request.transport is not None
            request.transport.abort()
            return response
        await response.write(_event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}))
        await response.write(_event({"choices": [], "usage": usage}) + b"data: [DONE]\n\n")
        return response


def _event(chunk: dict[str, Any]) -> bytes:
    return (
        b"data: " + json.dumps({"id": "x", "object": "chat.completion.chunk", "model": "m", **chunk}).encode() + b"\n\n"
    )


# The clients.


@dataclass
class Seen:
    """What the clients saw."""

    ended: dict[str, tuple[float, float | None]] = field(default_factory=dict)
    """Decision id → (when its whole answer had come, what it cost in US dollars)."""
    cut: int = 0
    """Streams that broke after they had begun."""
    lost: Counter[str] = field(default_factory=Counter)
    """Requests that no try got an answer to, by the last thing that was seen."""
    retries: int = 0
    latencies: list[float] = field(default_factory=list)
    sent: int = 0


async def ask(session: aiohttp.ClientSession, url: str, number: int, seen: Seen) -> None:
    """One request, with the tries that an official client makes."""
    stream = number % 5 == 0
    body: dict[str, Any] = {"model": "auto", "messages": [{"role": "user", "content": f"{number}: what is a turnout?"}]}
    if stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    seen.sent += 1
    last = ""
    for attempt in range(CLIENT_TRIES):
        if attempt:
            seen.retries += 1
            await asyncio.sleep(0.5 * 2 ** (attempt - 1) * (0.75 + random.random() / 4))
        begun = False
        start = time.perf_counter()
        try:
            async with session.post(url, json=body) as answer:
                if answer.status != 200:
                    last = f"status {answer.status}"
                    await answer.read()
                    if answer.status in RETRIED:
                        continue
                    break
                begun = stream
                raw = await answer.read()
                usage = _usage(raw) if stream else json.loads(raw)["usage"]
                if stream and not raw.endswith(b"data: [DONE]\n\n"):
                    seen.cut += 1
                    return
                cost = None if usage is None else _cost_usd(answer.headers["x-turnout-model"], usage)
                seen.ended[answer.headers["x-turnout-decision-id"]] = (time.time(), cost)
                seen.latencies.append(time.perf_counter() - start)
                return
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            if begun:
                seen.cut += 1
                return
            last = type(error).__name__
    seen.lost[last] += 1


def _usage(raw: bytes) -> dict[str, int] | None:
    for line in reversed(raw.splitlines()):
        if line.startswith(b"data: {") and b'"usage"' in line:
            found: dict[str, int] | None = json.loads(line[6:]).get("usage")
            return found
    return None


def _cost_usd(model: str, usage: dict[str, int]) -> float:
    read, written = PRICES[model]
    return (read * usage["prompt_tokens"] + written * usage["completion_tokens"]) / 1e6


async def send_evenly(url: str, *, rate: float, seconds: float, seen: Seen) -> None:
    """Requests at an even rate, whatever the answers do; at most 2,000 under way."""
    connector = aiohttp.TCPConnector(limit=0)
    timeout = aiohttp.ClientTimeout(total=60)
    under_way: set[asyncio.Task[None]] = set()
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        start, number = time.perf_counter(), 0
        while (elapsed := time.perf_counter() - start) < seconds:
            while number < elapsed * rate and len(under_way) < 2_000:
                task = asyncio.create_task(ask(session, url, number, seen))
                under_way.add(task)
                task.add_done_callback(under_way.discard)
                number += 1
            await asyncio.sleep(0.005)
        await asyncio.gather(*under_way)


# What is done to the gateway meanwhile.


@dataclass
class Story:
    """What was done, and when."""

    kills: list[float] = field(default_factory=list)
    reloads: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    memory_mb: list[list[float]] = field(default_factory=list)
    """Every ten seconds: each worker's resident memory, largest first."""


def children(pid: int) -> list[int]:
    """The workers that a gateway has running."""
    with contextlib.suppress(OSError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


async def disturb(gateway: int, write_config: Any, fault: Any, story: Story, *, seconds: float) -> None:
    """Faults for 5 of every 20 seconds, a reload every 30, a kill every 45; none in the last 10."""
    start = time.monotonic()
    tick = 0
    while (left := seconds - (time.monotonic() - start)) > 0:
        if tick % 10 == 0:
            story.memory_mb.append(sorted((memory_mb(pid) for pid in children(gateway)), reverse=True))
        if tick % 20 == 10 and left > 15:
            number = (tick // 20) % len(FAULTS)
            fault.value = 1 + number + 10 * ((tick // 20) % 2)
            story.faults[FAULTS[number]] += 1
        if tick % 20 == 15:
            fault.value = 0
        if tick % 30 == 25 and left > 10:
            write_config(THRESHOLDS[story.reloads % 2])
            os.kill(gateway, signal.SIGHUP)
            story.reloads += 1
        if tick % 45 == 40 and left > 10 and (workers := children(gateway)):
            story.kills.append(time.time())
            os.kill(random.choice(workers), signal.SIGKILL)
        tick += 1
        await asyncio.sleep(max(0.0, start + tick - time.monotonic()))
    fault.value = 0


# The account.


def balance(ledger: Path, seen: Seen, kills: list[float]) -> dict[str, Any]:
    """What the clients saw beside what the ledger holds."""
    with sqlite3.connect(ledger) as connection:
        rows = dict(connection.execute("SELECT id, cost_usd FROM decisions WHERE status = 200").fetchall())
        (all_rows,) = connection.execute("SELECT count(*) FROM decisions").fetchone()
    # What ended within a second before a kill may have been in the killed worker's memory.
    safe = {name for name, (ended, _) in seen.ended.items() if not any(0 <= kill - ended < 1.0 for kill in kills)}
    missing = [name for name in seen.ended if name not in rows]
    differing = [
        name
        for name, (_, cost) in seen.ended.items()
        if name in rows and cost is not None and abs(cost - (rows[name] or 0.0)) > 1e-9
    ]
    clients_usd = sum(seen.ended[name][1] or 0.0 for name in safe)
    ledger_usd = sum(rows.get(name) or 0.0 for name in safe)
    return {
        "answers_seen": len(seen.ended),
        "ledger_rows": all_rows,
        "clients_usd": round(clients_usd, 6),
        "ledger_usd": round(ledger_usd, 6),
        "missing_that_ended_a_second_before_a_kill": sum(name in safe for name in missing),
        "missing_within_a_second_of_a_kill": sum(name not in safe for name in missing),
        "usd_missing_within_a_second_of_a_kill": round(
            sum(seen.ended[name][1] or 0.0 for name in missing if name not in safe), 6
        ),
        "rows_whose_cost_differs": len(differing),
    }


@contextlib.contextmanager
def provider() -> Iterator[tuple[tuple[int, int], Any]]:
    """The provider's process; gives its two ports and the switch of its faults."""
    ports, fault = (free_port(), free_port()), multiprocessing.Value("i", 0)
    process = multiprocessing.Process(target=provide, args=(ports, fault), daemon=True)
    process.start()
    try:
        time.sleep(1.0)
        yield ports, fault
    finally:
        process.terminate()
        process.join(10)


def soak(router: str, *, seconds: float, rate: float, workers: int) -> dict[str, Any]:
    """Run it all, and say what came of it."""
    with provider() as (ports, fault), tempfile.TemporaryDirectory() as folder:
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
            whole = config.with_suffix(".new")
            whole.write_text(text)
            whole.replace(config)

        write_config(THRESHOLDS[1])
        seen, story = Seen(), Story()
        with open(os.devnull, "wb") as nowhere, running(serve(config, "--quiet"), port, stderr=nowhere) as gateway:

            async def run() -> None:
                await asyncio.sleep(2.0)
                url = f"http://127.0.0.1:{port}/v1/chat/completions"
                await asyncio.gather(
                    send_evenly(url, rate=rate, seconds=seconds, seen=seen),
                    disturb(gateway.pid, write_config, fault, story, seconds=seconds),
                )

            asyncio.run(run())
        account = balance(Path(folder) / "ledger.sqlite3", seen, story.kills)
    latencies = sorted(seen.latencies)
    return {
        "seconds": seconds,
        "rate": rate,
        "workers": workers,
        "sent": seen.sent,
        "answered": len(seen.ended),
        "lost": dict(seen.lost),
        "streams_cut_after_they_had_begun": seen.cut,
        "client_retries": seen.retries,
        "p50_ms": round(1e3 * statistics.median(latencies), 2),
        "p99_ms": round(1e3 * latencies[int(0.99 * len(latencies))], 2),
        "faults": dict(story.faults),
        "reloads": story.reloads,
        "workers_killed": len(story.kills),
        "worker_memory_mb": [[round(mb, 1) for mb in row] for row in story.memory_mb],
        "account": account,
    }


def main() -> None:
    """Soak, print, judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--router", default="default", help="a router folder, or a shipped router's name")
    parser.add_argument("--minutes", type=float, default=15)
    parser.add_argument("--rate", type=float, default=500, help="requests a second")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, help="write the result here too")
    options = parser.parse_args()
    result = soak(options.router, seconds=60 * options.minutes, rate=options.rate, workers=options.workers)
    text = json.dumps(result, indent=1)
    print(text)
    if options.out is not None:
        options.out.write_text(text + "\n")
    account = result["account"]
    if result["lost"]:
        sys.exit("requests were lost")
    if account["missing_that_ended_a_second_before_a_kill"] or account["rows_whose_cost_differs"]:
        sys.exit("the ledger and the clients disagree")


if __name__ == "__main__":
    main()
