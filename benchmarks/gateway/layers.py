"""What each of the gateway's layers costs a request: ledger, metrics, keys with limits, JSON logs, traces.

    python benchmarks/gateway/layers.py --router FOLDER_OR_NAME [--rounds 5] [--connections 32]

All run at once beside a bare pass-through and take turns, two seconds each, so that whatever else the machine does hits
all alike. Needs what candidates.py needs.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from candidates import UVICORN
from rig import Listening, free_port, mock_provider, running, take_turns
from turnout_gateway import configuration, limited_key, serve

NO_METRICS = "[observe]\nmetrics = false\n"


@dataclass(frozen=True)
class Layer:
    """The gateway with some of its layers on."""

    name: str
    sections: str = ""
    """Of its configuration."""
    ledger: bool = False
    key: bool = False
    flag: str = "--quiet"


LAYERS = (
    Layer("gateway alone", NO_METRICS),
    Layer("with metrics"),
    Layer("with ledger", NO_METRICS, ledger=True),
    Layer("with ledger, metrics, key and limits", ledger=True, key=True),
    Layer("the same with --log-json", ledger=True, key=True, flag="--log-json"),
)


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
        providers = {"strong": provider, "weak": provider}
        started: dict[str, Listening] = {}
        port = free_port()
        command = [sys.executable, "-m", *UVICORN, "--factory", "--port", str(port), "candidates:bare_aiohttp"]
        environment = {**os.environ, "PROVIDER": f"{provider}/chat/completions"}
        process = stack.enter_context(running(command, port, env=environment, cwd=Path(__file__).parent))
        started["bare pass-through"] = Listening(port, process.pid)
        for number, layer in enumerate(LAYERS):
            port = free_port()
            config, ledger = Path(folder) / f"turnout-{number}.toml", Path(folder) / f"ledger-{number}.sqlite3"
            sections = layer.sections + (f'[ledger]\npath = "{ledger}"\n' if layer.ledger else "")
            config.write_text(
                configuration(
                    router, port=port, providers=providers, operating_point="threshold = 0.5", sections=sections
                )
            )
            key = limited_key(ledger) if layer.key else "none"
            log = stack.enter_context((Path(folder) / f"log-{number}").open("wb"))
            process = stack.enter_context(running(serve(config, layer.flag), port, stderr=log))
            started[layer.name] = Listening(port, process.pid, key)
        for line in take_turns(started, rounds=options.rounds, seconds=2, connections=options.connections):
            print(line)


if __name__ == "__main__":
    main()
