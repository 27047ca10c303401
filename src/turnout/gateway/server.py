"""Runs the gateway on a socket, with the server that was fastest here (docs/adr/ holds the measurements)."""

from __future__ import annotations

import asyncio
import socket
import sys

import uvicorn

from turnout.errors import ConfigError
from turnout.gateway.app import Gateway

DRAIN_S = 30
"""How long requests under way may take to end once the server is told to stop."""


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens there, or a ConfigError that says why none does. Port 0 takes a free one."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        opened = socket.socket(family, kind, protocol)
        try:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            opened.bind(address)
            opened.listen(2048)
        except OSError:
            opened.close()
            raise
    except OSError as error:
        raise ConfigError(f"[server]: cannot listen on {host}, port {port} ({error.strerror}).") from error
    opened.setblocking(False)
    return opened


def server(app: Gateway) -> uvicorn.Server:
    """A uvicorn server for the gateway; `await server.serve(sockets=[...])` inside a running loop."""
    return uvicorn.Server(
        uvicorn.Config(
            app,
            http="httptools",
            ws="none",
            lifespan="on",
            access_log=False,
            log_config=None,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=DRAIN_S,
            backlog=2048,
        )
    )


def run(app: Gateway, opened: socket.socket) -> None:
    """Serve until SIGINT or SIGTERM, then let the requests under way end and write the log."""
    serving = server(app).serve(sockets=[opened])
    if sys.platform == "win32":
        asyncio.run(serving)
        return
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serving)
