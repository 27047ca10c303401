"""`turnout serve`: the gateway on a port."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import click


@click.command(epilog="Example: turnout serve --config turnout.toml")
@click.option(
    "--config",
    "config_path",
    type=click.Path(path_type=Path),
    default=Path("turnout.toml"),
    show_default=True,
    help="The configuration (docs/reference/configuration.md).",
)
@click.option("--host", help="Listen here instead of where the configuration says.")
@click.option("--port", type=click.IntRange(0, 65_535), help="Listen on this port instead; 0 takes a free one.")
@click.option("--workers", type=click.IntRange(1, 256), help="Serve in so many processes instead.")
@click.option("--check", is_flag=True, help="Check the configuration, load the routers, and stop.")
@click.option("--quiet", is_flag=True, help="Say only what is wrong.")
@click.option("--log-json", is_flag=True, help="Log JSON objects to standard error, one a request among them.")
@click.option("--worker", hidden=True, help="For a worker: the files that it inherits, socket and pipe.")
def serve(
    config_path: Path,
    host: str | None,
    port: int | None,
    workers: int | None,
    check: bool,
    quiet: bool,
    log_json: bool,
    worker: str | None,
) -> None:
    """Serve the OpenAI-compatible gateway that a configuration describes.

    SIGTERM stops it once the requests under way have ended; SIGHUP reads the configuration anew.
    """
    from dataclasses import replace

    from turnout.config import Config, load_config
    from turnout.gateway.app import build_app
    from turnout.gateway.request_log import start_logging
    from turnout.gateway.server import listen, run

    def read_config() -> Config:
        config = load_config(config_path)
        server = replace(
            config.server,
            host=host or config.server.host,
            port=config.server.port if port is None else port,
            workers=workers or config.server.workers,
        )
        return replace(config, server=server)

    if sys.platform != "win32":
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until there is something to read anew
    start_logging(logging.WARNING if quiet else logging.INFO, as_json=log_json)
    config = read_config()
    if worker is not None:
        inherited, lifeline = map(int, worker.split(","))
        run(build_app(config), socket.socket(fileno=inherited), read_config=read_config, lifeline=lifeline)
        return
    app = build_app(config)
    if check:
        click.echo(f"{config_path}: {len(config.routes)} routes and {len(config.models)} models are ready to serve.")
        return
    opened: socket.socket = listen(config.server.host, config.server.port)
    address, actual_port = opened.getsockname()[:2]
    shown = f"[{address}]" if ":" in address else address
    names = ", ".join(app.routes.names())
    click.echo(f"Turnout serves {names} at http://{shown}:{actual_port}/v1", err=True)
    if config.server.workers == 1:
        run(app, opened, read_config=read_config)
        return
    app.routes.close()
    sys.exit(_supervise(opened, config.server.workers, read_config))


def _supervise(opened: socket.socket, workers: int, check: Callable[[], object]) -> int:
    from turnout.errors import ConfigError

    if sys.platform == "win32":
        raise ConfigError("[server]: several workers need a system with signals such as SIGHUP; set workers = 1.")
    from turnout.gateway.metrics_of_workers import FOLDER_VARIABLE
    from turnout.gateway.workers import Supervisor

    command = [sys.executable, "-c", "from turnout.cli import main; main()", *sys.argv[1:], "--worker"]
    with tempfile.TemporaryDirectory(prefix="turnout-workers-") as folder:
        os.environ[FOLDER_VARIABLE] = folder  # the workers inherit it
        return asyncio.run(Supervisor(command, workers, opened, check=check).run())
