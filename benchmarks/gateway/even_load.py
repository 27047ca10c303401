"""Clients that send requests at an even rate, whatever becomes of them, and keep account of what they saw.

One process on bare sockets, which takes a fraction of what the gateway takes for a request: the figures are then the
gateway's, and not those of the load. What is sent again, and when, is what OpenAI's official clients do.
"""

from __future__ import annotations

import asyncio
import random
import time
from array import array
from collections import Counter
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httptools
from faulty_provider import usage_of
from turnout_gateway import PRICES

TRIES = 3
RETRIED = frozenset({408, 409, 429, 500, 502, 503, 504})
"""What the official clients try again."""
MOST_UNDER_WAY = 2_000
NOT_KNOWN = float("nan")

_WHOLE_LIMIT_S = 60.0
_TICK_S = 0.005


@dataclass
class Seen:
    """What the clients saw. Of answers that had come whole: their decisions, when they ended and what they cost."""

    ids: list[str] = field(default_factory=list)
    ended: array[float] = field(default_factory=lambda: array("d"))
    """In seconds since 1970."""
    usd: array[float] = field(default_factory=lambda: array("d"))
    """In US dollars, `NOT_KNOWN` where there were no counts."""
    latency_s: array[float] = field(default_factory=lambda: array("d"))
    """Of the try that was answered."""
    sent: int = 0
    retries: int = 0
    cut: int = 0
    """Streams that broke after they had begun."""
    lost: Counter[str] = field(default_factory=Counter)
    """Requests that no try got an answer to, by the last thing that was seen."""

    def percentile_ms(self, share: float) -> float:
        """Of the latency, in milliseconds; 0 if nothing was answered."""
        ordered = sorted(self.latency_s)
        return round(1e3 * ordered[min(len(ordered) - 1, int(share * len(ordered)))], 2) if ordered else 0.0


class CutOffError(Exception):
    """The connection broke before the whole answer had come."""

    def __init__(self, began: bool) -> None:
        super().__init__("cut off after it had begun" if began else "cut off before it began")
        self.began = began
        """Whether it was an answer with the status 200, and its head had come."""


@dataclass
class Answer:
    """An answer that has come whole."""

    status: int
    headers: dict[bytes, bytes]
    body: bytes


class _Connection(asyncio.Protocol):
    """One request at a time."""

    def __init__(self, idle: list[_Connection]) -> None:
        self._idle = idle
        self._transport: Any = None
        self._answered: asyncio.Future[Answer] | None = None
        self._begin()

    def _begin(self) -> None:
        self._parser: Any = httptools.HttpResponseParser(self)
        self._headers: dict[bytes, bytes] = {}
        self._parts: list[bytes] = []
        self._began = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def ask(self, request: bytes) -> asyncio.Future[Answer]:
        self._answered = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return self._answered

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.startswith(b"x-turnout-"):
            self._headers[name] = value

    def on_headers_complete(self) -> None:
        self._began = self._parser.get_status_code() == 200

    def on_body(self, body: bytes) -> None:
        self._parts.append(body)

    def on_message_complete(self) -> None:
        answered, self._answered = self._answered, None
        answer = Answer(self._parser.get_status_code(), self._headers, b"".join(self._parts))
        if self._parser.should_keep_alive():
            self._idle.append(self)
            self._begin()
        else:
            self._transport.close()
        if answered is not None and not answered.done():
            answered.set_result(answer)

    def connection_lost(self, error: Exception | None) -> None:
        if self in self._idle:
            self._idle.remove(self)
        answered, self._answered = self._answered, None
        if answered is not None and not answered.done():
            answered.set_exception(CutOffError(self._began))

    def close(self) -> None:
        self._transport.abort()


class Clients:
    """Clients of one gateway, which share its connections."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        assert parts.port is not None
        self._place = (parts.hostname, parts.port)
        self._head = f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: application/json\r\n"
        self._idle: list[_Connection] = []

    async def send_evenly(self, *, rate: float, seconds: float, seen: Seen) -> None:
        """Send at so many requests a second, at most `MOST_UNDER_WAY` at once, and wait for the last."""
        under_way: set[asyncio.Task[None]] = set()
        start, number = time.perf_counter(), 0
        while (elapsed := time.perf_counter() - start) < seconds:
            while number < elapsed * rate and len(under_way) < MOST_UNDER_WAY:
                task = asyncio.create_task(self._persist(number, seen))
                under_way.add(task)
                task.add_done_callback(under_way.discard)
                number += 1
            await asyncio.sleep(_TICK_S)
        await asyncio.gather(*under_way)

    def close(self) -> None:
        """Close all connections."""
        for connection in list(self._idle):
            connection.close()

    async def _persist(self, number: int, seen: Seen) -> None:
        """One request, one in five streamed, with the tries that an official client makes."""
        stream = number % 5 == 0
        request = self._request(number, stream)
        seen.sent += 1
        last = ""
        for attempt in range(TRIES):
            if attempt:
                seen.retries += 1
                await asyncio.sleep(0.5 * 2 ** (attempt - 1) * (0.75 + random.random() / 4))
            start = time.perf_counter()
            try:
                answer = await self._ask(request)
            except CutOffError as error:
                if stream and error.began:
                    seen.cut += 1
                    return
                last = str(error)
            except (TimeoutError, OSError) as error:
                last = type(error).__name__
            else:
                if answer.status == 200:
                    self._note(answer, stream, time.perf_counter() - start, seen)
                    return
                last = f"status {answer.status}"
                if answer.status not in RETRIED:
                    break
        seen.lost[last] += 1

    async def _ask(self, request: bytes) -> Answer:
        if self._idle:
            connection = self._idle.pop()
        else:
            loop = asyncio.get_running_loop()
            _, connection = await loop.create_connection(lambda: _Connection(self._idle), *self._place)
        try:
            async with asyncio.timeout(_WHOLE_LIMIT_S):
                return await connection.ask(request)
        except TimeoutError:
            connection.close()
            raise

    def _request(self, number: int, stream: bool) -> bytes:
        more = ',"stream":true,"stream_options":{"include_usage":true}' if stream else ""
        body = f'{{"model":"auto","messages":[{{"role":"user","content":"{number}: what is a turnout?"}}]{more}}}'
        return f"{self._head}Content-Length: {len(body)}\r\n\r\n{body}".encode()

    def _note(self, answer: Answer, stream: bool, latency_s: float, seen: Seen) -> None:
        if stream and not answer.body.endswith(b"data: [DONE]\n\n"):
            seen.cut += 1
            return
        usage = usage_of(answer.body)
        cost = NOT_KNOWN
        if usage is not None:
            read, written = PRICES[answer.headers[b"x-turnout-model"].decode()]
            cost = (read * usage["prompt_tokens"] + written * usage["completion_tokens"]) / 1e6
        seen.ids.append(answer.headers[b"x-turnout-decision-id"].decode())
        seen.ended.append(time.time())
        seen.usd.append(cost)
        seen.latency_s.append(latency_s)


ACHIEVED = 0.98
"""The least share of the rate asked for that has to be answered, for the rate to count as sustained."""
MOST_P99_MS = 250.0

_FIRST_RATE = 200.0
_STEP = 1.3
_HALVINGS = 3


async def top_rate(clients: Clients, *, step_s: float = 5.0) -> tuple[float, list[dict[str, Any]]]:
    """The highest rate that is sustained, in requests a second, and what was tried.

    Rates rise by three tenths until one is not sustained; then the gap is halved a few times. Sustained is a rate of
    which 98 % is answered in time, none is lost, and 99 % take at most a quarter of a second.
    """
    await clients.send_evenly(rate=_FIRST_RATE, seconds=step_s, seen=Seen())  # a warm-up
    steps: list[dict[str, Any]] = []

    async def sustains(rate: float) -> bool:
        seen, processor, start = Seen(), time.process_time(), time.time()
        await clients.send_evenly(rate=rate, seconds=step_s, seen=seen)
        in_time = sum(at <= start + step_s + MOST_P99_MS / 1e3 for at in seen.ended)
        step = {
            "asked_per_second": round(rate),
            "answered_per_second": round(in_time / step_s),
            "p99_ms": seen.percentile_ms(0.99),
            "lost": sum(seen.lost.values()),
            "clients_share_of_a_core": round((time.process_time() - processor) / (time.time() - start), 2),
        }
        is_sustained = in_time >= ACHIEVED * rate * step_s and step["p99_ms"] <= MOST_P99_MS and not step["lost"]
        steps.append({**step, "sustained": is_sustained})
        await asyncio.sleep(1.0)
        return is_sustained

    low, high = 0.0, _FIRST_RATE
    while await sustains(high):
        low, high = high, high * _STEP
    for _ in range(_HALVINGS if low else 0):
        middle = (low + high) / 2
        if await sustains(middle):
            low = middle
        else:
            high = middle
    return low, steps
