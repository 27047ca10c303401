"""The few pieces of HTTP that the gateway needs on top of ASGI: bodies in, answers out, and who has left."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from types import TracebackType
from typing import Any, Self

import orjson

from turnout.gateway.errors import RequestError, body_too_large

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Header = tuple[bytes, bytes]
Handler = Callable[[Scope, Receive, Send], Awaitable[None]]

JSON_TYPE: Header = (b"content-type", b"application/json")

DEPARTURE_TICK_S = 0.05
"""How long an answer may take before anyone looks whether its client is still there."""

_DISCARD_S = 10.0


class ClientLeft(Exception):
    """The client closed its connection before its answer was complete; there is no one to tell."""


def header(scope: Scope, name: bytes) -> bytes | None:
    """The first value of a request header (its name in lower case)."""
    for key, value in scope["headers"]:
        if key == name:
            return bytes(value)
    return None


async def read_body(scope: Scope, receive: Receive, *, limit: int) -> bytes:
    """The request's body, or a RequestError as soon as it is known to be too large; no more than that is held."""
    if header(scope, b"content-encoding") not in (None, b"identity"):
        raise RequestError(415, "A compressed body is not taken: send it plain.", code="unsupported_encoding")
    declared = header(scope, b"content-length")
    if declared is not None and declared.isdigit() and int(declared) > limit:
        raise body_too_large(limit)
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientLeft
        part = message.get("body", b"")
        size += len(part)
        if size > limit:
            raise body_too_large(limit)
        parts.append(part)
        if not message.get("more_body"):
            return parts[0] if len(parts) == 1 else b"".join(parts)


async def send_whole(send: Send, status: int, headers: Iterable[Header], body: bytes) -> None:
    """A whole answer."""
    await _start(send, status, headers, body)
    await send({"type": "http.response.body", "body": body})


async def send_json(send: Send, value: Any) -> None:
    """A whole answer that is JSON, status 200."""
    await send_whole(send, 200, (JSON_TYPE,), orjson.dumps(value))


async def refuse_body(receive: Receive, send: Send, error: RequestError, body: bytes) -> None:
    """Answer at once, then let the client finish sending, for a while, and forget what it sends.

    A connection that is closed while the client still writes may be reset, and the answer lost with it.
    """
    await _start(send, error.status, (JSON_TYPE, *error.headers), body)
    await send({"type": "http.response.body", "body": body, "more_body": True})
    try:
        async with asyncio.timeout(_DISCARD_S):
            while (message := await receive())["type"] == "http.request" and message.get("more_body"):
                pass
    except TimeoutError:
        pass
    await send({"type": "http.response.body", "body": b""})


async def _start(send: Send, status: int, headers: Iterable[Header], body: bytes) -> None:
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": status, "headers": [*headers, length]})


class ClientWatch:
    """Cancels the block when the client leaves, and turns that into ClientLeft.

    Listening costs a task, so it begins only once the block has taken `DEPARTURE_TICK_S` or so: before that the
    answer may as well be sent into the void.

    >>> async def handler(departures, receive, send):
    ...     async with departures.watch(receive) as watch:
    ...         ...  # call the provider
    ...         watch.end()  # before the last bytes go out: after them, a client may leave
    """

    def __init__(self, departures: Departures, receive: Receive) -> None:
        self._departures = departures
        self._receive = receive
        self._block: asyncio.Task[Any] | None = None
        self._task: asyncio.Task[None] | None = None
        self._left = False
        self._ended = False

    async def __aenter__(self) -> Self:
        self._block = asyncio.current_task()
        self._departures.add(self)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._departures.discard(self)
        block, self._block = self._block, None
        if self._task is not None:
            self._task.cancel()
            # The error that it ends with refers to this watch: a circle, which only the garbage collector would find.
            self._task = None
        if self._left and isinstance(error, asyncio.CancelledError) and block is not None:
            block.uncancel()
            raise ClientLeft from None

    def listen(self) -> None:
        """Begin to listen for the client."""
        self._task = asyncio.create_task(self._wait())

    def end(self) -> None:
        """Watch no longer."""
        self._ended = True

    async def _wait(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        if not self._ended and self._block is not None:
            self._left = True
            self._block.cancel()


class Departures:
    """Has every watch listen that has been there for a tick, with one timer that sleeps while there is none."""

    def __init__(self) -> None:
        self._new: set[ClientWatch] = set()
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, receive: Receive) -> ClientWatch:
        """A watch for one request."""
        return ClientWatch(self, receive)

    def add(self, watch: ClientWatch) -> None:
        """Have this watch listen at the next tick."""
        self._new.add(watch)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(DEPARTURE_TICK_S, self._tick)

    def discard(self, watch: ClientWatch) -> None:
        """The block has ended."""
        self._new.discard(watch)

    def _tick(self) -> None:
        self._timer = None
        waiting, self._new = self._new, set()
        for watch in waiting:
            watch.listen()
