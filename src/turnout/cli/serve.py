"""`turnout serve`: the gateway on a port."""

from __future__ import annotations

import logging
import socket
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
@click.option("--check", is_flag=True, help="Check the configuration, load the routers, and stop.")
@click.option("--quiet", is_flag=True, help="Say only what is wrong.")
@click.option("--log-json", is_flag=True, help="Log JSON objects to standard error, one a request among them.")
def serve(config_path: Path, host: str | None, port: int | None, check: bool, quiet: bool, log_json: bool) -> None:
    """Serve the OpenAI-compatible gateway that a configuration describes."""
    from dataclasses import replace

    from turnout.config import load_config
    from turnout.gateway.app import build_app
    from turnout.gateway.request_log import start_logging
    from turnout.gateway.server import listen, run

    start_logging(logging.WARNING if quiet else logging.INFO, as_json=log_json)
    config = load_config(config_path)
    server = replace(config.server, host=host or config.server.host, port=config.server.port if port is None else port)
    config = replace(config, server=server)
    app = build_app(config)
    if check:
        click.echo(f"{config_path}: {len(config.routes)} routes and {len(config.models)} models are ready to serve.")
        return
    opened: socket.socket = listen(server.host, server.port)
    address, actual_port = opened.getsockname()[:2]
    shown = f"[{address}]" if ":" in address else address
    click.echo(f"Turnout serves {', '.join(app.routes.names())} at http://{shown}:{actual_port}/v1", err=True)
    run(app, opened)
