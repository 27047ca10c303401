"""Runs the demonstration: a gateway in front of two models, the queries through it, and its ledger's word on them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from turnout.call_limits import Retries, TimeLimits
from turnout.chat_client import ChatClient
from turnout.config import Config, LedgerConfig, ModelConfig, RouteConfig, UpstreamConfig
from turnout.demo.models import DemoModel
from turnout.demo.queries import QUERIES
from turnout.errors import UpstreamProtocolError
from turnout.gateway.app import Gateway, build_app
from turnout.gateway.ledger.reading import read_entries
from turnout.gateway.ledger.writing import Entry
from turnout.gateway.server import listen, running
from turnout.route import Route
from turnout.types import ModelPair

ROUTE = "auto"
"""The model name that the demonstration asks for."""

_LIMITS = TimeLimits(connect_s=5, first_byte_s=60, between_chunks_s=30, whole_s=120)
_LEDGER_PATIENCE_S = 10.0


@dataclass(frozen=True, slots=True)
class DemoRow:
    """One query: what was decided about it, what came back, and what it cost."""

    query: str
    win_rate: float | None
    """The router's estimate, in [0, 1]; None if it gave none."""
    side: str
    model: str
    stream: bool
    answer: str
    input_tokens: int
    output_tokens: int
    latency_s: float
    """As the client saw it, from the request to the last byte."""
    cost_usd: float
    cost_usd_if_strong: float


@dataclass(frozen=True, slots=True)
class DemoReport:
    """All rows, with what they have in common."""

    pair: ModelPair
    scored_as: ModelPair
    """The pair that the win rates are about."""
    threshold: float
    rows: tuple[DemoRow, ...]

    @property
    def cost_usd(self) -> float:
        """What was spent, at the declared prices."""
        return sum(row.cost_usd for row in self.rows)

    @property
    def cost_usd_if_strong(self) -> float:
        """What the same tokens would have cost with the strong model."""
        return sum(row.cost_usd_if_strong for row in self.rows)

    @property
    def saved_usd(self) -> float:
        """The difference."""
        return self.cost_usd_if_strong - self.cost_usd

    @property
    def saved_fraction(self) -> float:
        """The difference as a share of what strong would have cost, in [0, 1]; 0 where that is nothing."""
        return self.saved_usd / self.cost_usd_if_strong if self.cost_usd_if_strong else 0.0

    @property
    def strong_fraction(self) -> float:
        """The share of queries that went to strong, in [0, 1]."""
        return sum(row.side == "strong" for row in self.rows) / len(self.rows)


@asynccontextmanager
async def demo_gateway(
    route: Route, strong: DemoModel, weak: DemoModel, ledger: Path
) -> AsyncIterator[tuple[Gateway, str]]:
    """The gateway on a free port of the loopback while the block runs, and its address."""
    models, keys = {}, {}
    for side, model in (("STRONG", strong), ("WEAK", weak)):
        variable = f"TURNOUT_DEMO_{side}_KEY" if model.api_key else None
        if variable and model.api_key:
            keys[variable] = model.api_key
        models[model.name] = ModelConfig(
            model.name, model.base_url, api_key_env=variable, upstream_model=model.name, price=model.price
        )
    pair = ModelPair(strong.name, weak.name)
    config = Config(
        models=models,
        routes={ROUTE: RouteConfig(ROUTE, route.router.name, pair, threshold=route.policy.threshold)},
        upstream=UpstreamConfig(limits=_LIMITS),
        ledger=LedgerConfig(ledger, query_text="full"),
    )
    app = build_app(config, routers={route.router.name: route.router}, environment=keys)
    async with running(app, listen("127.0.0.1", 0)) as address:
        yield app, address


@dataclass(frozen=True, slots=True)
class Answer:
    """What a client got."""

    text: str
    stream: bool
    latency_s: float


async def ask_all(
    app: Gateway,
    address: str,
    queries: Sequence[str] = QUERIES,
    *,
    max_tokens: int = 64,
    arrived: Callable[[], None] = lambda: None,
) -> DemoReport:
    """Send the queries through the gateway, one after another, and report what became of them.

    Every second one is asked for as a stream.

    Args:
        app: the gateway of `demo_gateway`, for its ledger and its routes.
        address: where it listens, with `/v1`.
        queries: what is asked; no text twice, since the ledger is read by them.
        max_tokens: how long an answer may become.
        arrived: called after each answer.
    """
    answers = []
    async with ChatClient(address, limits=_LIMITS, retries=Retries(most=0)) as client:
        for number, query in enumerate(queries):
            answers.append(await _ask(client, query, stream=number % 2 == 1, max_tokens=max_tokens))
            arrived()
    entries = {entry.query: entry for entry in await _entries(app, len(queries))}
    route = app.routes.routes[ROUTE]
    return DemoReport(
        pair=route.policy.pair,
        scored_as=Route(route.router.router, route.policy).pair_scored,
        threshold=route.policy.threshold,
        rows=tuple(_row(entries[query], answer) for query, answer in zip(queries, answers, strict=True)),
    )


@dataclass(frozen=True, slots=True)
class _Answer:
    text: str
    stream: bool
    latency_s: float


async def _ask(client: ChatClient, query: str, *, stream: bool, max_tokens: int) -> _Answer:
    body = {
        "model": ROUTE,
        "messages": [{"role": "user", "content": query}],
        "max_tokens": max_tokens,
        "temperature": 0,
    }
    start = time.perf_counter()
    if stream:
        text = "".join([_content(chunk, "delta") async for chunk in client.stream(body)])
    else:
        text = _content(await client.ask(body), "message")
    return _Answer(text, stream, time.perf_counter() - start)


def _content(answer: dict[str, Any], part: str) -> str:
    try:
        choices = answer["choices"]
        return str(choices[0][part].get("content") or "") if choices else ""
    except (KeyError, TypeError, AttributeError) as error:
        raise UpstreamProtocolError("The model's answer has no text where the protocol puts it.") from error


async def _entries(app: Gateway, count: int) -> list[Entry]:
    """The ledger's entries once all are written: its thread writes a few times a second."""
    assert app.ledger is not None
    async with asyncio.timeout(_LEDGER_PATIENCE_S):
        while app.ledger.written < count:
            await asyncio.sleep(0.01)
    return list(read_entries(app.ledger.database))


def _row(entry: Entry, answer: _Answer) -> DemoRow:
    if entry.input_tokens is None or entry.output_tokens is None:
        raise UpstreamProtocolError(f"The model '{entry.model}' did not count its tokens, so no cost is known.")
    return DemoRow(
        query=entry.query or "",
        win_rate=entry.win_rate,
        side=entry.side or "",
        model=entry.model,
        stream=answer.stream,
        answer=answer.text,
        input_tokens=entry.input_tokens,
        output_tokens=entry.output_tokens,
        latency_s=answer.latency_s,
        cost_usd=entry.cost_usd or 0.0,  # both models have a price, so only a cost of nothing is 0
        cost_usd_if_strong=entry.cost_usd_if_strong or 0.0,
    )
