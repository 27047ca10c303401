"""Who is ruled out before the win rate counts, and what of a conversation is routed by: over a real gateway."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import pytest
from running_gateway import RunningGateway, Start
from scripted_provider import Provider

from turnout import Battles, ModelPair, Router
from turnout.types import FloatArray

EASY = {"role": "user", "content": "an easy one"}
HARD = {"role": "user", "content": "a hard one"}
PICTURE = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}]}
TOOL = {"type": "function", "function": {"name": "read", "parameters": {}}}


async def gateway_with(start: Start, provider: Provider, *, route: Any = None, **models: dict[str, Any]) -> Any:
    tables = {name: {"base_url": provider.base_url, **models.get(name, {})} for name in ("big", "small")}
    routes = {"auto": {"router": "fake", "strong": "big", "weak": "small", "threshold": 0.5, **(route or {})}}
    return await start(models=tables, routes=routes)


async def ask(gateway: RunningGateway, *messages: Any, **fields: Any) -> tuple[str, str]:
    """(the model that answered, the reason)"""
    status, headers, body = await gateway.post({"model": "auto", "messages": messages, **fields})
    assert status == 200, body
    return headers["x-turnout-model"], headers["x-turnout-reason"]


async def test_who_cannot_take_a_request_is_out_whatever_the_win_rate(provider: Provider, start: Start) -> None:
    gateway = await gateway_with(
        start, provider, big={"tools": False}, small={"images": False, "json_schema": False, "languages": ["en"]}
    )
    assert await ask(gateway, EASY) == ("small", "below the threshold")
    assert await ask(gateway, EASY, PICTURE) == ("big", "'small' takes no images")
    assert await ask(gateway, HARD, tools=[TOOL]) == ("small", "'big' takes no tools")
    schema = {"type": "json_schema", "json_schema": {"name": "n", "schema": {}}}
    assert await ask(gateway, EASY, response_format=schema) == ("big", "'small' takes no json_schema")
    korean = {"role": "user", "content": "이 함수가 왜 느린지 설명해 주세요."}
    assert await ask(gateway, korean) == ("big", "'small' is not for this language (ko)")
    assert gateway.app.counters.only_one_could == 4
    rows = await gateway.entries(5)
    assert [row.side for row in rows] == ["weak", "strong", "weak", "strong", "strong"]
    assert [row.win_rate for row in rows[1:]] == [None] * 4
    assert rows[1].reason == "'small' takes no images"


async def test_none_of_the_two_is_a_400_that_says_why(provider: Provider, start: Start) -> None:
    gateway = await gateway_with(start, provider, big={"tools": False}, small={"images": False})
    body = {"model": "auto", "messages": [PICTURE], "tools": [TOOL]}
    status, _, answer = await gateway.post(body)
    assert (status, answer["error"]["code"]) == (400, "no_model_can")
    assert "'big' takes no tools, and 'small' takes no images" in answer["error"]["message"]
    assert provider.requests == []
    status, headers, _ = await gateway.post({**body, "model": "big"})
    assert (status, headers["x-turnout-model"]) == (200, "big"), "a model by its own name is asked all the same"


async def test_the_context_window(provider: Provider, start: Start) -> None:
    gateway = await gateway_with(start, provider, big={"context_window": 20_000}, small={"context_window": 4_000})
    long, longer = ({"role": "user", "content": "word " * words} for words in (3_000, 20_000))
    assert await ask(gateway, EASY) == ("small", "below the threshold")
    assert await ask(gateway, EASY, max_tokens=5_000) == ("big", "'small' has too small a context window")
    assert await ask(gateway, long) == ("big", "'small' has too small a context window")
    # By the high estimate 33,000 tokens, by the low one 10,000: the provider is to say.
    assert await ask(gateway, longer) == ("big", "may just fit")
    status, _, answer = await gateway.post({"model": "auto", "messages": [longer] * 3})
    assert (status, answer["error"]["code"]) == (400, "context_length_exceeded")
    tokens = re.search(r"for about (\d+) tokens", answer["error"]["message"])
    assert tokens is not None
    assert 100_000 < int(tokens[1]) < 102_000


class Counting(Router):
    """The number in the query is its win rate; 0.25 for a query of two numbers."""

    name = "counting"

    def fit(self, battles: Battles) -> Self:
        self.pair_ = ModelPair("big", "small")
        return self

    def predict_win_rate(self, queries: Sequence[str]) -> FloatArray:
        return np.array([float(query) if query.count("0.") == 1 else 0.25 for query in queries])


@pytest.mark.parametrize(
    ("policy", "win_rate"), [("last", "0.900000"), ("conversation", "0.250000"), ("weighted", "0.700000")]
)
async def test_the_query_policy(provider: Provider, start: Start, policy: str, win_rate: str) -> None:
    routes = {"auto": {"router": "fake", "strong": "big", "weak": "small", "threshold": 0.5, "query": policy}}
    gateway = await start(router=Counting(), routes=routes)
    turns = [
        {"role": "user", "content": "0.3"},
        {"role": "assistant", "content": "?"},
        {"role": "user", "content": "0.9"},
    ]
    _, headers, _ = await gateway.post({"model": "auto", "messages": turns})
    assert headers["x-turnout-win-rate"] == win_rate


async def test_a_programs_reminders_do_not_sway_the_router(provider: Provider, start: Start) -> None:
    reminder = "<system-reminder>\nthis is a hard one\n</system-reminder>\nan easy one"
    turn = {"role": "user", "content": reminder}
    gateway = await start()
    assert await ask(gateway, turn) == ("small", "below the threshold")
    (row,) = await gateway.entries()
    assert row.query == "an easy one"
    unstripped = await gateway_with(start, provider, route={"strip_boilerplate": False})
    assert await ask(unstripped, turn) == ("big", "at or above the threshold")
