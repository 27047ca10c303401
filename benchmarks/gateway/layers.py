"""What each of the gateway's layers costs a request: ledger, metrics, keys with limits, JSON logs, traces.

    python benchmarks/gateway/layers.py --router FOLDER_OR_NAME [--rounds 5] [--connections 32]

All run at once beside a bare pass-through and take turns, two seconds each, so that whatever else the machine does hits
all alike. Needs what candidates.py needs.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from candidates import UVICORN
from load import limited_key
from rig import free_port, load, mock_provider, processor_s, running

LAYERS: dict[str, tuple[str, list[str]]] = {
    "gateway alone": ("[observe]\nmetrics = false", []),
    "with metrics": ("", []),
    "with ledger": ('[observe]\nmetrics = false\n[ledger]\npath = "{folder}/ledger-1.sqlite3"', []),
    "with ledger, metrics, key and limits": ('[ledger]\npath = "{folder}/ledger-2.sqlite3"', []),
    "the same with --log-json": ('[ledger]\npath = "{folder}/ledger-3.sqlite3"', ["--log-json"]),
}
CONFIG = """
[server]
port = {port}
{layer}
[models.strong]
base_url = "{provider}"
usd_per_million_input_tokens = 10.0
usd_per_million_output_tokens = 30.0
[models.weak]
base_url = "{provider}"
usd_per_million_input_tokens = 0.24
usd_per_million_output_tokens = 0.24
[routes.auto]
router = "{router}"
strong = "strong"
weak = "weak"
threshold = 0.5
"""


def main() -> None:
    """Let the layers take turns, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--router", required=True, help="a router folder, or a shipped router's name")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--connections", type=int, default=32)
    options = parser.parse_args()
    router = str(Path(options.router).resolve()) if Path(options.router).exists() else options.router
    with ExitStack() as stack:
        provider = f"http://127.0.0.1:{stack.enter_context(mock_provider())}/v1"
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        started: dict[str, tuple[int, int, str]] = {}
        port = free_port()
        command = [sys.executable, "-m", *UVICORN, "--factory", "--port", str(port), "candidates:bare_aiohttp"]
        environment = {**os.environ, "PROVIDER": f"{provider}/chat/completions"}
        process = stack.enter_context(running(command, port, env=environment, cwd=Path(__file__).parent))
        started["bare pass-through"] = (port, process.pid, "none")
        for number, (name, (layer, flags)) in enumerate(LAYERS.items()):
            port = free_port()
            config = Path(folder) / f"turnout-{number}.toml"
            layer = layer.format(folder=folder)
            config.write_text(CONFIG.format(port=port, provider=provider, router=router, layer=layer))
            ledger = Path(folder) / f"ledger-{number - 1}.sqlite3"
            key = limited_key(ledger) if "key" in name or "same" in name else "none"
            command = [sys.executable, "-c", "from turnout.cli import main; main()", "serve", "--config", str(config)]
            log = stack.enter_context((Path(folder) / f"log-{number}").open("wb"))
            flags = flags or ["--quiet"]
            process = stack.enter_context(running([*command, *flags], port, stderr=log))
            started[name] = (port, process.pid, key)
        per_second: dict[str, list[float]] = {name: [] for name in started}
        processor: dict[str, list[float]] = {name: [] for name in started}
        for turn in range(options.rounds + 1):
            for name, (port, pid, key) in started.items():
                before = processor_s(pid)
                url = f"http://127.0.0.1:{port}/v1/chat/completions"
                figures = load(url, model="auto", stream=False, seconds=2, connections=options.connections, key=key)
                if figures.failed:
                    sys.exit(f"{name}: {figures.failed} requests failed")
                if turn:  # the first turn warms up
                    per_second[name].append(figures.per_second)
                    processor[name].append(1e6 * (processor_s(pid) - before) / figures.requests)
    print(f"{'':38}{'requests/s':>12}{'best':>8}{'µs CPU/request':>16}{'best':>8}")
    for name in started:
        rates, costs = per_second[name], processor[name]
        print(
            f"{name:38}{statistics.median(rates):>12.0f}{max(rates):>8.0f}"
            f"{statistics.median(costs):>16.0f}{min(costs):>8.0f}"
        )


if __name__ == "__main__":
    main()
