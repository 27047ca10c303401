"""A chat completions provider on a real socket that plays each answer and each fault as it is told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

PROVIDER_KEY = "sk-provider-7f3a9c"
CLIENT_KEY = "sk-client-51d0e2"


@dataclass
class Request:
    """What the provider was sent."""

    method: str
    path: str
    headers: dict[str, str]
    raw: bytes

    @property
    def body(self) -> Any:
        return json.loads(self.raw)


Reply = Callable[["Provider", Request, asyncio.StreamWriter], Awaitable[None]]


def answer(content: str = "Paris.", model: str = "mock") -> dict[str, Any]:
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": model,
        "choices": [{"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 18, "completion_tokens": 19, "total_tokens": 37},
    }


def chunk(content: str | None = None, finish: str | None = None) -> dict[str, Any]:
    delta = {} if content is None else {"content": content}
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {
        "id": "c",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "mock",
        "choices": [choice],
        "usage": None,
    }


def event(value: Any) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\n\n"


USAGE_CHUNK = {**chunk(), "choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}}
STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def framed(part: bytes) -> bytes:
    return f"{len(part):x}\r\n".encode() + part + b"\r\n"


def plain(body: Any = None, *, status: str = "200 OK", headers: Sequence[str] = ()) -> Reply:
    """A whole answer."""

    async def reply(provider: Provider, request: Request, writer: asyncio.StreamWriter) -> None:
        content = body if isinstance(body, bytes) else json.dumps(answer() if body is None else body).encode()
        head = [
            f"HTTP/1.1 {status}",
            "Content-Type: application/json",
            f"Content-Length: {len(content)}",
            *headers,
        ]
        writer.write("\r\n".join(head).encode() + b"\r\n\r\n" + content)
        await writer.drain()

    return reply


def streamed(*parts: bytes | float, end: bool = True, head: bytes = STREAM_HEAD, reset: bool = False) -> Reply:
    """A stream: bytes are sent as one chunk each, numbers are seconds of silence. Without `end` it is cut off."""

    async def reply(provider: Provider, request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        for part in parts:
            if isinstance(part, bytes):
                writer.write(framed(part))
                await writer.drain()
                await asyncio.sleep(0.005)
            else:
                await provider.silence(part)
        if end:
            writer.write(b"0\r\n\r\n")
            await writer.drain()
        elif reset:
            writer.transport.abort()
        else:
            writer.close()

    return reply


def good_stream(*, usage: bool = True) -> Reply:
    parts = [event(chunk("Pa")), event(chunk("ris.")), event(chunk(finish="stop"))]
    if usage:
        parts.append(event(USAGE_CHUNK))
    return streamed(*parts, b"data: [DONE]\n\n")


async def hang(provider: Provider, request: Request, writer: asyncio.StreamWriter) -> None:
    await provider.silence(30)


async def hang_up(provider: Provider, request: Request, writer: asyncio.StreamWriter) -> None:
    writer.close()


async def default_reply(provider: Provider, request: Request, writer: asyncio.StreamWriter) -> None:
    stream = request.body.get("stream")
    usage = (request.body.get("stream_options") or {}).get("include_usage", False)
    reply = good_stream(usage=usage) if stream else plain()
    await reply(provider, request, writer)


@dataclass
class Provider:
    """A chat completions provider that does as it is told: the replies in `script`, then `default`."""

    script: list[Reply] = field(default_factory=list)
    default: Reply = default_reply
    requests: list[Request] = field(default_factory=list)
    clients_gone: int = 0
    """Connections that the gateway closed while an answer was on its way."""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=64 << 20)
        self.port = self._server.sockets[0].getsockname()[1]
        self._tasks: set[asyncio.Task[Any]] = set()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def asked(self, times: int = 1) -> None:
        """Wait until so many requests have come."""
        async with asyncio.timeout(30):
            while len(self.requests) < times:
                await asyncio.sleep(0.005)

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    async def silence(self, seconds: float) -> None:
        """Wait, but notice when the gateway goes."""
        reader = self._reader
        try:
            async with asyncio.timeout(seconds):
                if await reader.read(1) == b"":
                    self.clients_gone += 1
                    raise ConnectionError
        except TimeoutError:
            pass

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            while not writer.is_closing():
                request = await self._read(reader)
                self._reader = reader
                self.requests.append(request)
                reply = self.script.pop(0) if self.script else self.default
                await reply(self, request, writer)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def _read(self, reader: asyncio.StreamReader) -> Request:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, path, _ = head[0].split(" ")
        headers = {name.lower(): value.strip() for name, value in (line.split(":", 1) for line in head[1:] if line)}
        if headers.get("transfer-encoding") == "chunked":
            raw = b""
            while size := int(await reader.readline(), 16):
                raw += await reader.readexactly(size)
                await reader.readline()
            await reader.readline()
        else:
            raw = await reader.readexactly(int(headers.get("content-length", "0")))
        return Request(method, path, headers, raw)
