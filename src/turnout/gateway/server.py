"""Runs the gateway on a socket, with the server that was fastest here (docs/adr/ holds the measurements)."""

from __future__ import annotations

import asyncio
import gc
import logging
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from types import FrameType
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from turnout.config import Config
from turnout.errors import ConfigError, TurnoutError
from turnout.gateway.app import Gateway
from turnout.gateway.hangups import Hangups

DRAIN_S = 30
"""How long requests under way may take to end once the server is told to stop."""

_GC_THRESHOLDS = (10_000, 10, 10)
"""Python's own, (700, 10, 10), search every few dozen requests for circles that requests do not leave behind. That
took a fifteenth of their time, and the slowest of them twice as long."""

MAX_HEAD_BYTES = 65_536
"""How long a request's line and headers may be together."""

ARRIVAL_LIMIT_S = 60.0
"""How long a request may take to arrive, and a new connection to say anything."""

_logger = logging.getLogger(__name__)


def listen(host: str, port: int, *, table: str = "[server]") -> socket.socket:
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
        raise ConfigError(f"{table}: cannot listen on {host}, port {port} ({error.strerror}).") from error
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
    """uvicorn's protocol on a transport that sends head and body together, and with bounds that uvicorn does not set.

    They are on the length of a request's head and on the time in which a request has to arrive.
    """

    _is_arriving = False
    _is_head = False
    _head_bytes = 0
    _patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Serve a new connection."""
        super().connection_made(OneWriteTransport(transport))  # type: ignore[arg-type]
        self._patience = self.loop.call_later(ARRIVAL_LIMIT_S, self.transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing more."""
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what has arrived."""
        super().data_received(data)
        if not self._is_arriving:
            return
        if self._is_head:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self.send_400_response("The request's headers are too long.")
        if self._patience is None:
            self._patience = self.loop.call_later(ARRIVAL_LIMIT_S, self.transport.close)

    def on_message_begin(self) -> None:
        """A request begins."""
        self._is_arriving = self._is_head = True
        self._head_bytes = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Its head is here."""
        self._is_head = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """All of it is here."""
        self._is_arriving = False
        self._stop_waiting()
        super().on_message_complete()

    def _stop_waiting(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None


class _Server(uvicorn.Server):
    """A server that says that it is not ready before it stops listening."""

    def __init__(self, app: Gateway) -> None:
        super().__init__(_server_config(app))
        self._app = app
        self._loop = asyncio.get_running_loop()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop, once whoever balances the load has had `drain_delay_s` to notice; at once if told again."""
        delay_s = self._app.config.server.drain_delay_s
        if delay_s <= 0 or self._app.draining:
            self._app.draining = True
            super().handle_exit(sig, frame)
            return
        self._app.draining = True
        # A signal arrives between any two instructions; the loop is told in a way that allows that.
        self._loop.call_soon_threadsafe(self._loop.call_later, delay_s, super().handle_exit, sig, frame)


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
        serving = asyncio.create_task(_start_and_serve(app, guest, [opened]))
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


async def _start_and_serve(app: Gateway, server: uvicorn.Server, sockets: list[socket.socket]) -> None:
    # Where an application fails to start uvicorn ends the whole process, so it is started before.
    await app.startup()
    await server.serve(sockets=sockets)


async def _until_started(guest: uvicorn.Server, serving: asyncio.Task[None]) -> None:
    while not guest.started and not serving.done():
        await asyncio.sleep(0.001)


def run(
    app: Gateway,
    opened: socket.socket,
    for_metrics: socket.socket | None = None,
    *,
    read_config: Callable[[], Config] | None = None,
    hangups: Hangups | None = None,
    lifeline: int | None = None,
) -> None:
    """Serve until SIGINT or SIGTERM, then let the requests under way end and write the ledger.

    Args:
        app: the gateway.
        opened: where it listens.
        for_metrics: where it listens for those who ask for metrics, and no others.
        read_config: gives the configuration that SIGHUP takes up.
        hangups: what noted SIGHUP since before the configuration of the app was read.
        lifeline: a pipe whose end means the same as SIGTERM.

    Raises:
        LedgerError: the ledger cannot be opened.
    """
    gc.set_threshold(*_GC_THRESHOLDS)
    with ExitStack() as stack:
        sockets = [stack.enter_context(opened)]
        if for_metrics is not None:
            sockets.append(stack.enter_context(for_metrics))
            app.metrics_port = for_metrics.getsockname()[1]
        if sys.platform == "win32":
            asyncio.run(_serve(app, sockets, read_config, hangups, lifeline))
            return
        import uvloop

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(app, sockets, read_config, hangups, lifeline))


async def _serve(
    app: Gateway,
    sockets: list[socket.socket],
    read_config: Callable[[], Config] | None,
    hangups: Hangups | None,
    lifeline: int | None,
) -> None:
    server = _Server(app)
    loop = asyncio.get_running_loop()
    reloads: set[asyncio.Task[None]] = set()
    if read_config is not None:

        def reload() -> None:
            task = loop.create_task(_reload(app, read_config))
            reloads.add(task)
            task.add_done_callback(reloads.discard)

        (hangups or Hangups()).hand_over(loop, reload)
    if lifeline is not None:

        def cut() -> None:
            loop.remove_reader(lifeline)
            app.abandon()
            server.should_exit = True

        loop.add_reader(lifeline, cut)
    await _start_and_serve(app, server, sockets)


async def _reload(app: Gateway, read_config: Callable[[], Config]) -> None:
    try:
        await app.reload(await asyncio.to_thread(read_config))
    except TurnoutError as error:
        app.counters.reloads_refused += 1
        _logger.error("%s The old configuration stays.", error)
    except Exception:
        app.counters.reloads_refused += 1
        _logger.exception("The configuration could not be read anew. The old one stays.")
