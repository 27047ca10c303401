"""Runs the gateway on a socket, with the server that was fastest here (docs/adr/ holds the measurements)."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

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


class OneWriteTransport:
    """A transport that sends what is written within one turn of the event loop in one piece.

    uvicorn writes an answer's head and its body apart, which costs a system call and a packet more.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._call_soon = asyncio.get_running_loop().call_soon
        self._held: list[bytes] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Send this soon, behind what was written before."""
        if not self._held:
            self._call_soon(self._flush)
        self._held.append(data)

    def close(self) -> None:
        """Send what is held, then close."""
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        if self._held:
            held, self._held = self._held, []
            self._transport.write(held[0] if len(held) == 1 else b"".join(held))


class OneWriteProtocol(HttpToolsProtocol):
    """uvicorn's protocol on a transport that sends head and body together."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Serve a new connection."""
        super().connection_made(OneWriteTransport(transport))  # type: ignore[arg-type]


def server(app: Gateway) -> uvicorn.Server:
    """A uvicorn server for the gateway; `await server.serve(sockets=[...])` inside a running loop."""
    return uvicorn.Server(_server_config(app))


def _server_config(app: Gateway) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=OneWriteProtocol,
        ws="none",
        lifespan="on",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=DRAIN_S,
        backlog=2048,
    )


class _GuestServer(uvicorn.Server):
    """A server that leaves the signals to the program that it runs in."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def running(app: Gateway, opened: socket.socket) -> AsyncIterator[str]:
    """Serve while the block runs, beside other work of the same event loop; gives the address, `/v1` included.

    The socket is closed at the end.

    Raises:
        LedgerError: the ledger cannot be opened.
    """
    guest = _GuestServer(_server_config(app))
    with opened:
        serving = asyncio.create_task(_start_and_serve(app, guest, opened))
        try:
            await _until_started(guest, serving)
            if serving.done():
                serving.result()
            host, port = opened.getsockname()[:2]
            yield f"http://{f'[{host}]' if ':' in host else host}:{port}/v1"
        finally:
            # uvicorn does not shut down what it was told to leave before it had started.
            await _until_started(guest, serving)
            guest.should_exit = True
            await serving


async def _start_and_serve(app: Gateway, server: uvicorn.Server, opened: socket.socket) -> None:
    # Where an application fails to start uvicorn ends the whole process, so it is started before.
    await app.startup()
    await server.serve(sockets=[opened])


async def _until_started(guest: uvicorn.Server, serving: asyncio.Task[None]) -> None:
    while not guest.started and not serving.done():
        await asyncio.sleep(0.001)


def run(app: Gateway, opened: socket.socket) -> None:
    """Serve until SIGINT or SIGTERM, then let the requests under way end and write the ledger.

    Raises:
        LedgerError: the ledger cannot be opened.
    """
    serving = _start_and_serve(app, server(app), opened)
    with opened:
        if sys.platform == "win32":
            asyncio.run(serving)
            return
        import uvloop

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serving)
