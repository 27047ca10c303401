"""The gateway inside another ASGI application, under a path of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from openai import AsyncOpenAI, NotFoundError
from running_gateway import KeywordRouter
from scripted_provider import PROVIDER_KEY, Provider
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route

from turnout import ModelPair
from turnout.config import parse_config
from turnout.gateway.app import Gateway, build_app
from turnout.gateway.ledger.reading import read_entries
from turnout.gateway.server import listen

HARD: Any = [{"role": "user", "content": "a hard one"}]


@pytest.fixture
def gateway(provider: Provider, tmp_path: Path) -> Gateway:
    router = KeywordRouter()
    router.pair_ = ModelPair("big", "small")
    config = {
        "ledger": {"path": "ledger.sqlite3"},
        "models": {
            "big": {"base_url": provider.base_url, "api_key_env": "PROVIDER_KEY"},
            "small": {"base_url": provider.base_url},
        },
        "routes": {"auto": {"router": "fake", "strong": "big", "weak": "small", "threshold": 0.5}},
    }
    return build_app(
        parse_config(config, folder=tmp_path), routers={"fake": router}, environment={"PROVIDER_KEY": PROVIDER_KEY}
    )


async def home(request: Request) -> Response:
    return PlainTextResponse("at home")


@asynccontextmanager
async def serving(application: Starlette) -> AsyncIterator[str]:
    opened = listen("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(application, lifespan="on", log_config=None))
    task = asyncio.create_task(server.serve(sockets=[opened]))
    try:
        while not server.started:
            await asyncio.sleep(0.01)
        yield f"http://127.0.0.1:{opened.getsockname()[1]}"
    finally:
        server.should_exit = True
        await task


async def use(url: str) -> None:
    """What a client does with a gateway that is mounted under /llm."""
    async with AsyncOpenAI(base_url=f"{url}/llm/v1", api_key="unused", max_retries=0) as client:
        assert [model.id for model in (await client.models.list()).data] == ["auto", "big", "small"]
        assert (await client.models.retrieve("auto")).id == "auto"
        answer = await client.chat.completions.with_raw_response.create(model="auto", messages=HARD)
        assert answer.headers["x-turnout-model"] == "big"
        assert answer.parse().choices[0].message.content == "Paris."
        stream = await client.chat.completions.create(model="auto", messages=HARD, stream=True)
        assert [chunk async for chunk in stream]
        with pytest.raises(NotFoundError, match="no /v1/nothing here"):
            await client.post("/nothing", cast_to=object)


async def test_it_starts_with_its_first_request(provider: Provider, gateway: Gateway, tmp_path: Path) -> None:
    application = Starlette(routes=[Route("/", home), Mount("/llm", app=gateway)])
    async with serving(application) as url:
        await use(url)
    await gateway.shutdown()
    assert len(list(read_entries(tmp_path / "ledger.sqlite3"))) == 2


async def test_it_starts_and_stops_with_the_application(provider: Provider, gateway: Gateway, tmp_path: Path) -> None:
    @asynccontextmanager
    async def lifespan(application: Starlette) -> AsyncIterator[None]:
        await gateway.startup()
        yield
        await gateway.shutdown()

    application = Starlette(routes=[Route("/", home), Mount("/llm", app=gateway)], lifespan=lifespan)
    async with serving(application) as url:
        await use(url)
    assert len(list(read_entries(tmp_path / "ledger.sqlite3"))) == 2


async def test_the_application_keeps_its_other_paths(gateway: Gateway) -> None:
    application = Starlette(routes=[Mount("/llm", app=gateway), Route("/", home)])
    async with serving(application) as url, AsyncOpenAI(base_url=url, api_key="unused") as client:
        assert await client.get("/", cast_to=str) == "at home"
    await gateway.shutdown()
