"""Which server, framework and HTTP client pass requests on fastest, each as a bare pass-through.

    python benchmarks/gateway/candidates.py [--rounds 6] [--connections 32]

Needs granian, httpx and starlette beside Turnout. The candidates take turns, a second each, so that whatever else the
machine does hits all alike. docs/adr/0002-server-and-client.md quotes the figures.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import orjson
from rig import Listening, free_port, mock_provider, running, take_turns

UVICORN = ["uvicorn", "--no-access-log", "--loop", "uvloop", "--http", "httptools", "--log-level", "warning"]
GRANIAN = ["granian", "--interface", "asgi", "--loop", "uvloop", "--workers", "1", "--no-ws", "--log-level", "error"]
CANDIDATES: dict[str, tuple[list[str], str]] = {
    "uvicorn, bare ASGI, aiohttp": (UVICORN, "bare_aiohttp"),
    "uvicorn, starlette, aiohttp": (UVICORN, "starlette_aiohttp"),
    "uvicorn, bare ASGI, httpx": (UVICORN, "bare_httpx"),
    "granian, bare ASGI, aiohttp": (GRANIAN, "bare_aiohttp"),
}
PROVIDER = os.environ.get("PROVIDER", "")
Post = Callable[[bytes], Awaitable[tuple[int, bytes]]]


def _aiohttp() -> Post:
    import aiohttp

    session: aiohttp.ClientSession | None = None

    async def post(body: bytes) -> tuple[int, bytes]:
        nonlocal session
        session = session or aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        async with session.post(PROVIDER, data=body, headers={"Content-Type": "application/json"}) as response:
            return response.status, await response.read()

    return post


def _httpx() -> Post:
    import httpx

    client = httpx.AsyncClient(limits=httpx.Limits(max_connections=None, max_keepalive_connections=None))

    async def post(body: bytes) -> tuple[int, bytes]:
        response = await client.post(PROVIDER, content=body, headers={"Content-Type": "application/json"})
        return response.status_code, response.content

    return post


def _renamed(raw: bytes) -> bytes:
    return orjson.dumps({**orjson.loads(raw), "model": "mock"})


async def _live(receive: Any, send: Any) -> None:
    while (await receive())["type"] == "lifespan.startup":
        await send({"type": "lifespan.startup.complete"})
    await send({"type": "lifespan.shutdown.complete"})


async def _body(receive: Any) -> bytes:
    message = await receive()
    raw: bytes = message["body"]
    while message.get("more_body"):
        message = await receive()
        raw += message["body"]
    return raw


def _bare(post: Post) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await _live(receive, send)
            return
        status, content = await post(_renamed(await _body(receive)))
        orjson.loads(content)["usage"]
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(content))]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": content})

    return app


def bare_aiohttp() -> Any:
    """No framework, aiohttp as client."""
    return _bare(_aiohttp())


def bare_aiohttp_streamed() -> Any:
    """No framework, aiohttp as client, each piece of the answer passed on as it comes."""
    session: Any = None

    async def app(scope: Any, receive: Any, send: Any) -> None:
        nonlocal session
        import aiohttp

        if scope["type"] == "lifespan":
            await _live(receive, send)
            return
        raw = await _body(receive)
        session = session or aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        headers = {"Content-Type": "application/json"}
        async with session.post(PROVIDER, data=_renamed(raw), headers=headers) as answer:
            kind = answer.headers["Content-Type"].encode()
            start = {"type": "http.response.start", "status": answer.status, "headers": [(b"content-type", kind)]}
            await send(start)
            async for piece in answer.content.iter_any():
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    return app


def bare_httpx() -> Any:
    """No framework, httpx as client."""
    return _bare(_httpx())


def starlette_aiohttp() -> Any:
    """Starlette as framework, aiohttp as client."""
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

    post = _aiohttp()

    async def chat(request: Request) -> Response:
        status, content = await post(_renamed(await request.body()))
        orjson.loads(content)["usage"]
        return Response(content, status, media_type="application/json")

    return Starlette(routes=[Route("/v1/chat/completions", chat, methods=["POST"])])


def main() -> None:
    """Let the candidates take turns, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--connections", type=int, default=32)
    options = parser.parse_args()
    with ExitStack() as stack:
        provider = stack.enter_context(mock_provider())
        environment = {**os.environ, "PROVIDER": f"http://127.0.0.1:{provider}/v1/chat/completions"}
        started = {}
        for name, (server, factory) in CANDIDATES.items():
            port = free_port()
            command = [sys.executable, "-m", *server, "--factory", "--port", str(port), f"candidates:{factory}"]
            process = running(command, port, env=environment, cwd=Path(__file__).parent)
            started[name] = Listening(port, stack.enter_context(process).pid)
        for line in take_turns(started, rounds=options.rounds, seconds=1, connections=options.connections):
            print(line)


if __name__ == "__main__":
    main()
