"""The gateway on a real uvicorn and a real socket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import aiohttp
import numpy as np
from openai import AsyncOpenAI
from scripted_provider import CLIENT_KEY, PROVIDER_KEY

from turnout import Battles, ModelPair, Router
from turnout.config import parse_config
from turnout.gateway.app import Gateway, build_app
from turnout.gateway.ledger.reading import read_entries
from turnout.gateway.ledger.writing import Entry
from turnout.gateway.server import listen
from turnout.gateway.server import running as serving
from turnout.types import FloatArray

METRICS_TOKEN = "metrics-token-1"
ENVIRONMENT = {"PROVIDER_KEY": PROVIDER_KEY, "METRICS_TOKEN": METRICS_TOKEN}


class KeywordRouter(Router):
    """Win rate 0.9 for a query with 'hard' in it, else 0.1."""

    name = "keyword"

    def fit(self, battles: Battles) -> Self:
        self.pair_ = ModelPair("big", "small")
        return self

    def predict_win_rate(self, queries: Sequence[str]) -> FloatArray:
        return np.array([0.9 if "hard" in query else 0.1 for query in queries])


@dataclass
class RunningGateway:
    """A gateway on a real socket."""

    app: Gateway
    url: str
    openai: AsyncOpenAI
    http: aiohttp.ClientSession

    async def post(self, body: Any, **options: Any) -> tuple[int, Any, Any]:
        """Status, headers and parsed body of a chat completions request."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        async with self.http.post(f"{self.url}/chat/completions", data=data, **options) as response:
            content = await response.read()
            is_json = response.content_type == "application/json"
            return response.status, response.headers, json.loads(content) if is_json else content

    async def entries(self, count: int = 1) -> list[Entry]:
        """The ledger's entries, once there are this many."""
        assert self.app.ledger is not None
        async with asyncio.timeout(30):
            while self.app.ledger.written < count:
                await asyncio.sleep(0.02)
        return list(read_entries(self.app.ledger.database))


Start = Callable[..., Awaitable[RunningGateway]]


@asynccontextmanager
async def running(config: dict[str, Any], folder: Path, routers: dict[str, Router]) -> AsyncIterator[RunningGateway]:
    app = build_app(parse_config(config, folder=folder), routers=routers, environment=ENVIRONMENT)
    async with (
        serving(app, listen("127.0.0.1", 0)) as url,
        AsyncOpenAI(base_url=url, api_key=CLIENT_KEY, max_retries=0) as client,
        aiohttp.ClientSession() as http,
    ):
        yield RunningGateway(app, url, client, http)
