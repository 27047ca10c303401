"""A provider that plays faults: a process of its own with two ports, of which one misbehaves at a time.

It is written on bare sockets, so that it takes little of the machine that it shares with what is measured. Its answers
have token counts of its own choice, so that what they cost can be told apart.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httptools
import uvloop
from rig import free_port

FAULTS = ("refuse", "500", "429", "hang", "cut")
HANG_S = 6.0

_ANSWER = (
    '{"id":"x","object":"chat.completion","created":0,"model":"m","choices":[{"index":0,"message":{"role":"assistant",'
    '"content":"A turnout lets a train change tracks."},"finish_reason":"stop"}],"usage":%s}'
)
_PLAIN_HEAD = "HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
_STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
_REFUSALS = {"500": "500 Internal Server Error", "429": "429 Too Many Requests"}


def _framed(event: str) -> bytes:
    return b"%x\r\n%s\r\n" % (len(event), event.encode())


def _event(choices: str, more: str = "") -> bytes:
    head = '{"id":"x","object":"chat.completion.chunk","created":0,"model":"m"'
    return _framed(f'data: {head},"choices":{choices}{more}}}\n\n')


_WORDS = b"".join(
    _event(f'[{{"index":0,"delta":{{"content":"{word}"}},"finish_reason":null}}]') for word in ("A", " turnout")
)
_STOP = _event('[{"index":0,"delta":{},"finish_reason":"stop"}]')
_END = _framed("data: [DONE]\n\n") + b"0\r\n\r\n"


class Switch:
    """Which fault is played at which port, shared between processes."""

    def __init__(self) -> None:
        self._value = multiprocessing.Value("i", 0)

    def play(self, fault: str, port: int) -> None:
        """Play a fault at the first (0) or the second port (1)."""
        self._value.value = 1 + FAULTS.index(fault) + 10 * port

    def stop(self) -> None:
        """Play none."""
        self._value.value = 0

    def at(self, port: int) -> str | None:
        """What is played at a port."""
        code = self._value.value
        return FAULTS[(code - 1) % 10] if code and (code - 1) // 10 == port else None


class _Connection(asyncio.Protocol):
    def __init__(self, port: int, switch: Switch, randomness: random.Random) -> None:
        self._port = port
        self._switch = switch
        self._random = randomness
        self._parser: Any = httptools.HttpRequestParser(self)
        self._body = b""
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        body, self._body = self._body, b""
        fault = self._switch.at(self._port)
        stream = b'"stream":true' in body
        if fault == "refuse":
            self._transport.abort()
        elif fault in _REFUSALS:
            content = b'{"error":{"message":"a fault that is played"}}'
            self._transport.write((_PLAIN_HEAD % (_REFUSALS[fault], len(content))).encode() + content)
        elif fault == "hang":
            asyncio.get_running_loop().call_later(HANG_S, self._answer, stream, None)
        else:
            self._answer(stream, fault)

    def _answer(self, stream: bool, fault: str | None) -> None:
        if self._transport.is_closing():
            return
        read, written = self._random.randint(10, 400), self._random.randint(5, 300)
        usage = f'{{"prompt_tokens":{read},"completion_tokens":{written},"total_tokens":{read + written}}}'
        if not stream:
            content = (_ANSWER % usage).encode()
            self._transport.write((_PLAIN_HEAD % ("200 OK", len(content))).encode() + content)
        elif fault == "cut":
            self._transport.write(_STREAM_HEAD + _WORDS)
            asyncio.get_running_loop().call_later(0.01, self._transport.abort)
        else:
            self._transport.write(_STREAM_HEAD + _WORDS + _STOP + _event("[]", f',"usage":{usage}') + _END)


def _provide(ports: tuple[int, int], switch: Switch) -> None:
    async def provide() -> None:
        loop = asyncio.get_running_loop()
        for number, port in enumerate(ports):
            randomness = random.Random(number)

            def connection(number: int = number, randomness: random.Random = randomness) -> _Connection:
                return _Connection(number, switch, randomness)

            await loop.create_server(connection, "127.0.0.1", port, backlog=2048)
        await asyncio.Event().wait()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(provide())


@contextmanager
def faulty_provider() -> Iterator[tuple[tuple[int, int], Switch, int]]:
    """Run it while the block runs; gives its ports, the switch of its faults and the process's number."""
    ports, switch = (free_port(), free_port()), Switch()
    process = multiprocessing.Process(target=_provide, args=(ports, switch), daemon=True)
    process.start()
    try:
        time.sleep(1.0)
        assert process.pid is not None
        yield ports, switch, process.pid
    finally:
        process.kill()
        process.join(10)


def usage_of(answer: bytes) -> dict[str, int] | None:
    """The token counts in a plain or a streamed answer of this provider's; None if there are none."""
    start = answer.rfind(b'"usage":{')
    if start < 0:
        return None
    found: dict[str, int] = json.loads(answer[start + 8 : answer.index(b"}", start) + 1])
    return found
