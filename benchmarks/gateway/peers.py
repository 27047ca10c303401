"""The gateway's load figures beside those of other gateways: LiteLLM's proxy and RouteLLM's server.

    python benchmarks/gateway/peers.py --litellm-python PYTHON --routellm-python PYTHON [--rounds 3] [--out FILE]
    python benchmarks/gateway/peers.py --memory 200000 [--out FILE]

Each peer runs in an environment of its own (`pip install 'litellm[proxy]'`, `pip install 'routellm[serve]'`), and is
left out where its Python is not given. Whoever's turn it is is started, warmed up, loaded and stopped, so that no other
takes processor time meanwhile, and the turns go round: A B C A B C. The mock provider's own figures and a bare
pass-through's (candidates.py) are the measure: compare the ratios, for the load, the mock and what stands between them
share the machine's cores. Turnout runs with a router that has learned, and with ledger, key, limits and metrics on.

With --memory it is loaded with so many requests instead, and its resident memory printed at every tenth of them.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from candidates import UVICORN
from rig import Figures, free_port, load, memory_mb, mock_provider, running
from turnout_gateway import LEDGER, configuration, limited_key, serve

CLIENT_KEY = "sk-a-key-of-the-benchmarks"
LITELLM = "from litellm import run_server; run_server()"
WARM_UP_S = 1.0
MEMORY_STEPS = 10


@dataclass(frozen=True)
class Target:
    """Where to send requests, and how."""

    url: str
    model: str = "auto"
    key: str = "none"
    pid: int = 0


class Start(Protocol):
    """Starts a candidate in front of a provider; it is stopped at the end of the block."""

    def __call__(self, provider: str, folder: Path, *, stream: bool) -> AbstractContextManager[Target]:
        """`with start(provider, folder, stream=…) as target`."""
        ...


@contextmanager
def direct(provider: str, folder: Path, *, stream: bool) -> Iterator[Target]:
    """No gateway at all."""
    yield Target(_chat(provider))


@contextmanager
def pass_through(provider: str, folder: Path, *, stream: bool) -> Iterator[Target]:
    """The least that a gateway on the same server and client can do."""
    port = free_port()
    factory = "candidates:bare_aiohttp_streamed" if stream else "candidates:bare_aiohttp"
    command = [sys.executable, "-m", *UVICORN, "--factory", "--port", str(port), factory]
    with running(command, port, env={**os.environ, "PROVIDER": _chat(provider)}, cwd=Path(__file__).parent) as process:
        yield Target(_chat(_local(port)), pid=process.pid)


@contextmanager
def turnout(provider: str, folder: Path, *, stream: bool, router: str, workers: int = 1) -> Iterator[Target]:
    """`turnout serve`."""
    port = free_port()
    config = folder / "turnout.toml"
    providers = {"strong": provider, "weak": provider}
    config.write_text(configuration(router, port=port, providers=providers, sections=LEDGER))
    key = limited_key(folder / "ledger.sqlite3")
    command = serve(config, "--workers", str(workers), "--quiet")
    with _log(folder) as log, running(command, port, stderr=log) as process:
        yield Target(_chat(_local(port)), key=key, pid=process.pid)


@contextmanager
def litellm(provider: str, folder: Path, *, stream: bool, python: str) -> Iterator[Target]:
    """LiteLLM's proxy: one worker, one model, one key, no database, and the settings that it advises for production."""
    port = free_port()
    config = folder / "litellm.yaml"
    model = {"model": "openai/mock", "api_base": provider, "api_key": "none"}
    config.write_text(json.dumps({"model_list": [{"model_name": "auto", "litellm_params": model}]}))
    environment = {
        **os.environ,
        "LITELLM_MASTER_KEY": CLIENT_KEY,
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # otherwise it looks for prices on the net before it starts
        "LITELLM_LOG": "ERROR",
        "LITELLM_MODE": "PRODUCTION",
    }
    place = ["--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"]
    command = [python, "-c", LITELLM, "--config", str(config), *place]
    with _log(folder) as log, running(command, port, env=environment, stderr=log) as process:
        yield Target(_chat(_local(port)), key=CLIENT_KEY, pid=process.pid)


@contextmanager
def routellm(provider: str, folder: Path, *, stream: bool, python: str) -> Iterator[Target]:
    """RouteLLM's server with its router that costs nothing: it draws a random number."""
    port = free_port()
    environment = {**os.environ, "OPENAI_API_KEY": "none", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    upstream = ["--base-url", provider, "--api-key", "none", "--strong-model", "openai/mock"]
    upstream += ["--weak-model", "openai/mock"]
    command = [python, "-m", "routellm.openai_server", "--routers", "random", "--port", str(port), *upstream]
    with _log(folder) as log, running(command, port, env=environment, stderr=log) as process:
        yield Target(_chat(_local(port)), model="router-random-0.5", pid=process.pid)


@dataclass(frozen=True)
class Turn:
    """One candidate's figures of one turn."""

    alone: Figures
    """With one connection."""
    busy: Figures
    """With many connections."""


def take_turn(start: Start, *, stream: bool, seconds: float, connections: int) -> Turn:
    """Start a candidate, warm it up, load it, stop it."""
    with ExitStack() as stack:
        provider = _local(stack.enter_context(mock_provider()), "/stream/v1" if stream else "/v1")
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        target = stack.enter_context(start(provider, folder, stream=stream))
        run = partial(load, target.url, model=target.model, stream=stream, key=target.key)
        # Many connections come last: the slow go on working at what they left.
        run(seconds=WARM_UP_S, connections=1)
        alone = run(seconds=max(1, seconds // 2), connections=1)
        return Turn(alone, busy=run(seconds=seconds, connections=connections))


def measure(
    candidates: dict[str, Start], *, stream: bool, rounds: int, seconds: float, connections: int
) -> dict[str, dict[str, Any]]:
    """Let the candidates take turns; gives each one's medians over the rounds."""
    turns: dict[str, list[Turn]] = {name: [] for name in candidates}
    for number in range(rounds):
        for name, start in candidates.items():
            turn = take_turn(start, stream=stream, seconds=seconds, connections=connections)
            turns[name].append(turn)
            rate = f"{turn.busy.per_second:.0f} requests/s"
            way = "streamed" if stream else "plain"
            print(f"{way}, round {number + 1} of {rounds}, {name}: {rate}", file=sys.stderr)
    result: dict[str, dict[str, Any]] = {}
    for name, own in turns.items():
        # The rounds differ more than what is looked for does, so a turn is held against its own round's.
        added_ms = [mine.alone.p50_ms - bare.alone.p50_ms for mine, bare in zip(own, turns[DIRECT], strict=True)]
        result[name] = {
            "per_second": round(_median_rate(own), 1),
            "per_second_by_round": [round(turn.busy.per_second, 1) for turn in own],
            "p50_ms": round(statistics.median(turn.busy.p50_ms for turn in own), 2),
            "p99_ms": round(statistics.median(turn.busy.p99_ms for turn in own), 2),
            "alone_p50_ms": round(statistics.median(turn.alone.p50_ms for turn in own), 3),
            "alone_added_ms": round(statistics.median(added_ms), 3),
            "requests": sum(turn.busy.requests + turn.alone.requests for turn in own),
            "failed": sum(turn.busy.failed + turn.alone.failed for turn in own),
            "ratio_to_direct": float(f"{_median_rate(own) / _median_rate(turns[DIRECT]):.3g}"),
            "ratio_to_pass_through": float(f"{_median_rate(own) / _median_rate(turns[PASS_THROUGH]):.3g}"),
        }
    return result


def remember(router: str, *, requests: int, connections: int) -> dict[str, Any]:
    """The gateway's resident memory while it answers so many plain requests."""
    with ExitStack() as stack:
        provider = _local(stack.enter_context(mock_provider()))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        target = stack.enter_context(turnout(provider, folder, stream=False, router=router))
        run = partial(load, target.url, model=target.model, stream=False, key=target.key, connections=connections)
        steps, answered, failed = [{"requests": 0, "memory_mb": round(memory_mb(target.pid), 1)}], 0, 0
        for step in range(1, MEMORY_STEPS + 1):
            while answered < step * requests / MEMORY_STEPS:
                figures = run(seconds=1)
                answered += figures.requests
                failed += figures.failed
            steps.append({"requests": answered, "memory_mb": round(memory_mb(target.pid), 1)})
            print(steps[-1], file=sys.stderr)
    return {"connections": connections, "failed": failed, "steps": steps}


DIRECT = "mock provider, direct"
PASS_THROUGH = "bare pass-through"


def candidates_of(options: argparse.Namespace) -> dict[str, Start]:
    """Who takes part."""
    found: dict[str, Start] = {
        DIRECT: direct,
        PASS_THROUGH: pass_through,
        "Turnout": partial(turnout, router=options.router),
        "Turnout, two workers": partial(turnout, router=options.router, workers=2),
    }
    if options.litellm_python:
        found["LiteLLM proxy"] = partial(litellm, python=options.litellm_python)
    if options.routellm_python:
        found["RouteLLM server, random router"] = partial(routellm, python=options.routellm_python)
    return found


def versions(options: argparse.Namespace) -> dict[str, str]:
    """Of those that take part, and of what they stand on."""
    found = _versions(sys.executable, "turnout", "uvicorn", "aiohttp", "uvloop")
    for python, names in ((options.litellm_python, ["litellm"]), (options.routellm_python, ["routellm"])):
        if python:
            found |= _versions(python, *names)
    return {"python": sys.version.split()[0], **found}


def _versions(python: str, *names: str) -> dict[str, str]:
    program = "import sys, importlib.metadata as m, json; print(json.dumps({n: m.version(n) for n in sys.argv[1:]}))"
    output = subprocess.run([python, "-c", program, *names], capture_output=True, text=True, check=True).stdout
    found: dict[str, str] = json.loads(output)
    return found


def _median_rate(turns: list[Turn]) -> float:
    return statistics.median(turn.busy.per_second for turn in turns)


def _local(port: int, path: str = "/v1") -> str:
    return f"http://127.0.0.1:{port}{path}"


def _chat(base_url: str) -> str:
    return f"{base_url}/chat/completions"


@contextmanager
def _log(folder: Path) -> Iterator[Any]:
    """Where a candidate's messages go; shown if it does not start."""
    path = folder / "messages.log"
    try:
        with path.open("wb") as file:
            yield file
    except SystemExit:
        print(path.read_text(errors="replace")[-3000:], file=sys.stderr)
        raise


def _table(figures: dict[str, dict[str, Any]]) -> Iterator[str]:
    heads = ("requests/s", "of direct", "of bare", "p50 ms", "p99 ms", "1: p50 ms", "1: added", "failed")
    yield f"{'':32}" + "".join(f"{head:>11}" for head in heads)
    for name, row in figures.items():
        numbers = (
            f"{row['per_second']:.0f}",
            f"{row['ratio_to_direct']:.3g}",
            f"{row['ratio_to_pass_through']:.3g}",
            f"{row['p50_ms']:.1f}",
            f"{row['p99_ms']:.1f}",
            f"{row['alone_p50_ms']:.2f}",
            f"{row['alone_added_ms']:.2f}",
            f"{row['failed']}",
        )
        yield f"{name:32}" + "".join(f"{number:>11}" for number in numbers)


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--router", default="default", help="a router folder, or a shipped router's name")
    parser.add_argument("--litellm-python", help="the Python of an environment that holds litellm[proxy]")
    parser.add_argument("--routellm-python", help="the Python of an environment that holds routellm[serve]")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5, help="of load in each turn")
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--memory", type=int, metavar="REQUESTS", help="measure memory over so many requests instead")
    parser.add_argument("--out", type=Path, help="write the figures here too, as JSON")
    options = parser.parse_args()
    router = options.router
    options.router = str(Path(router).resolve()) if Path(router).exists() else router
    result: dict[str, Any] = {
        "date": time.strftime("%Y-%m-%d"),
        "cores": os.cpu_count(),
        "load_average": [round(load, 2) for load in os.getloadavg()],
        "versions": versions(options),
        "router": Path(router).name,
    }
    if options.memory:
        result["memory"] = remember(options.router, requests=options.memory, connections=options.connections)
        failed = result["memory"]["failed"]
        print(json.dumps(result["memory"], indent=1))
    else:
        result |= {"rounds": options.rounds, "seconds": options.seconds, "connections": options.connections}
        failed = 0
        for stream in (False, True):
            figures = measure(
                candidates_of(options),
                stream=stream,
                rounds=options.rounds,
                seconds=options.seconds,
                connections=options.connections,
            )
            way = "streamed" if stream else "plain"
            result[way] = figures
            failed += sum(row["failed"] for row in figures.values())
            print(f"{way}:", *_table(figures), sep="\n")
    if options.out is not None:
        options.out.write_text(json.dumps(result, indent=1) + "\n")
    if failed:
        sys.exit(f"{failed} requests failed: the figures of whose they are do not count")


if __name__ == "__main__":
    main()
