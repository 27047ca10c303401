"""`turnout serve`: the gateway on a port."""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from turnout.config import Config
    from turnout.gateway.hangups import Hangups


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
@click.option("--metrics-listen", metavar="HOST:PORT", help="Show metrics there alone, instead of as configured.")
@click.option("--workers", type=click.IntRange(1, 256), help="Serve in so many processes instead.")
@click.option("--check", is_flag=True, help="Check the configuration, load the routers, and stop.")
@click.option("--quiet", is_flag=True, help="Say only what is wrong.")
@click.option("--log-json", is_flag=True, help="Log JSON objects to standard error, one a request among them.")
@click.option("--worker", hidden=True, help="For a worker: the files that it inherits, pipe and sockets.")
def serve(
    config_path: Path,
    host: str | None,
    port: int | None,
    metrics_listen: str | None,
    workers: int | None,
    check: bool,
    quiet: bool,
    log_json: bool,
    worker: str | None,
) -> None:
    """Serve the OpenAI-compatible gateway that a configuration describes.

    SIGTERM stops it once the requests under way have ended; SIGHUP reads the configuration anew.
    """
    from turnout.gateway.hangups import Hangups

    hangups = Hangups()  # before all that takes its time
    from dataclasses import replace

    from turnout.config import host_and_port, load_config
    from turnout.errors import ConfigError
    from turnout.gateway.app import build_app
    from turnout.gateway.observing.request_log import start_logging
    from turnout.gateway.server import listen, run

    def read_config() -> Config:
        config = load_config(config_path)
        server = replace(
            config.server,
            host=host or config.server.host,
            port=config.server.port if port is None else port,
            workers=workers or config.server.workers,
        )
        observe = config.observe
        if metrics_listen is not None:
            observe = replace(observe, metrics_listen=host_and_port(metrics_listen, "--metrics-listen"))
        if observe.metrics_listen is not None and 0 < observe.metrics_listen[1] == server.port:
            raise ConfigError("[observe]: metrics_listen must have another port than [server].")
        return replace(config, server=server, observe=observe)

    start_logging(logging.WARNING if quiet else logging.INFO, as_json=log_json)
    config = read_config()
    if worker is not None:
        lifeline, *files = map(int, worker.split(","))
        sockets = [socket.socket(fileno=file) for file in files]
        run(build_app(config), *sockets, read_config=read_config, hangups=hangups, lifeline=lifeline)
        return
    app = build_app(config)
    if check:
        click.echo(f"{config_path}: {len(config.routes)} routes and {len(config.models)} models are ready to serve.")
        return
    sockets = [listen(config.server.host, config.server.port)]
    click.echo(f"Turnout serves {', '.join(app.routes.names())} at {_address(sockets[0])}/v1", err=True)
    if config.observe.metrics and config.observe.metrics_listen is not None:
        sockets.append(listen(*config.observe.metrics_listen, table="[observe]"))
        click.echo(f"Metrics are at {_address(sockets[1])}/metrics", err=True)
    if config.server.workers == 1:
        run(app, *sockets, read_config=read_config, hangups=hangups)
        return
    app.routes.close()
    sys.exit(_supervise(sockets, config, read_config, hangups))


def _address(opened: socket.socket) -> str:
    host, port = opened.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def _supervise(
    opened: Sequence[socket.socket], config: Config, read_config: Callable[[], Config], hangups: Hangups
) -> int:
    from turnout.errors import ConfigError

    if sys.platform == "win32":
        raise ConfigError("[server]: several workers need a system with signals such as SIGHUP; set workers = 1.")
    from turnout.gateway.workers import Supervisor

    command = [sys.executable, "-c", "from turnout.cli import main; main()", *sys.argv[1:], "--worker"]
    return asyncio.run(Supervisor(command, config, opened, read_config=read_config, hangups=hangups).run())
