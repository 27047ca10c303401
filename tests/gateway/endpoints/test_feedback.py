"""Feedback on a running gateway, and what is refused."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from running_gateway import RunningGateway, Start, running
from scripted_provider import Provider

from turnout.gateway.endpoints import feedback as feedback_module
from turnout.gateway.endpoints.feedback import parse_feedback
from turnout.gateway.errors import RequestError
from turnout.gateway.ledger.feedback import Feedback, feedback_of
from turnout.gateway.ledger.schema import open_ledger
from turnout.gateway.ledger.sqlite import SqliteDatabase
from turnout.gateway.limits.keys import create_key

EASY = [{"role": "user", "content": "an easy one"}]


@pytest.fixture
def make_key(tmp_path: Path) -> Callable[[], str]:
    def make() -> str:
        with closing(open_ledger(SqliteDatabase(tmp_path / "ledger.sqlite3"), create=True)) as connection:
            return create_key(connection)[1]

    return make


def bearer(key: str | None) -> dict[str, str]:
    return {} if key is None else {"Authorization": f"Bearer {key}"}


async def ask(gateway: RunningGateway, key: str | None = None, model: str = "auto") -> str:
    _, headers, _ = await gateway.post({"model": model, "messages": EASY}, headers=bearer(key))
    id: str = headers["x-turnout-decision-id"]
    return id


async def say(gateway: RunningGateway, key: str | None = None, **fields: Any) -> tuple[int, Any]:
    async with gateway.http.post(
        f"{gateway.url}/feedback", data=json.dumps(fields).encode(), headers=bearer(key)
    ) as response:
        return response.status, await response.json()


def said(gateway: RunningGateway, id: str) -> list[Feedback]:
    assert gateway.app.ledger is not None
    with closing(open_ledger(gateway.app.ledger.database)) as connection:
        return feedback_of(connection, id)


async def test_an_answer_can_be_judged_at_once_and_the_last_word_counts(provider: Provider, start: Start) -> None:
    gateway = await start()
    id = await ask(gateway)
    assert await say(gateway, decision_id=id, thumb="up") == (200, {"decision_id": id, "kept": True})
    assert said(gateway, id) == [Feedback(id, "score", 1.0)]
    assert (await say(gateway, decision_id=id, score=0.25))[0] == 200
    assert (await say(gateway, decision_id=id, preferred="big"))[0] == 200
    assert said(gateway, id) == [Feedback(id, "preferred", preferred="big"), Feedback(id, "score", 0.25)]


async def test_only_the_holder_of_the_key_judges_its_decisions(
    provider: Provider, start: Start, make_key: Callable[[], str]
) -> None:
    mine, other = make_key(), make_key()
    gateway = await start()
    id = await ask(gateway, mine)
    assert (await say(gateway, mine, decision_id=id, thumb="down"))[0] == 200
    status, body = await say(gateway, other, decision_id=id, thumb="up")
    assert (status, body["error"]["code"]) == (404, "decision_not_found")
    assert (await say(gateway, None, decision_id=id, thumb="up"))[0] == 401
    assert said(gateway, id) == [Feedback(id, "score", 0.0)]


async def test_a_model_asked_for_by_name_has_no_rival_to_be_preferred_to(provider: Provider, start: Start) -> None:
    gateway = await start()
    id = await ask(gateway, model="small")
    status, body = await say(gateway, decision_id=id, preferred="small")
    assert (status, body["error"]["param"]) == (400, "preferred")
    assert (await say(gateway, decision_id=id, preferred="big"))[0] == 200


async def test_without_a_ledger_there_is_no_feedback(provider: Provider, tmp_path: Path) -> None:
    async with running({"models": {"big": {"base_url": provider.base_url}}}, tmp_path, {}) as gateway:
        assert (await say(gateway, decision_id="x", thumb="up"))[0] == 404


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"{", "not valid JSON"),
        (b"[]", "JSON object"),
        ({}, "'decision_id' must be given"),
        ({"decision_id": 3, "thumb": "up"}, "'decision_id' must be given"),
        ({"decision_id": "d" * 101, "thumb": "up"}, "'decision_id' must be given"),
        ({"decision_id": "d"}, "got none"),
        ({"decision_id": "d", "thumb": "up", "score": 1}, "got thumb and score"),
        ({"decision_id": "d", "thumb": "sideways"}, '"up" or "down"'),
        ({"decision_id": "d", "thumb": ["up"]}, '"up" or "down"'),
        ({"decision_id": "d", "score": 1.5}, "from 0 to 1"),
        ({"decision_id": "d", "score": True}, "from 0 to 1"),
        ({"decision_id": "d", "preferred": ""}, "name of a model"),
        ({"decision_id": "d", "preferred": ["big"]}, "name of a model"),
        ({"decision_id": "d", "thumb": "up", "why": "x"}, "There is no field 'why'"),
    ],
)
def test_feedback_that_says_nothing_is_refused(body: Any, words: str) -> None:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    with pytest.raises(RequestError, match=words) as caught:
        parse_feedback(raw, {"big", "small"})
    assert caught.value.status == 400


def test_a_preferred_model_that_does_not_exist_is_not_found() -> None:
    with pytest.raises(RequestError, match="Did you mean 'big'") as caught:
        parse_feedback(b'{"decision_id": "d", "preferred": "bigg"}', {"big", "small"})
    assert (caught.value.status, caught.value.code, caught.value.param) == (404, "model_not_found", "preferred")


async def test_a_flood_of_feedback_is_turned_away(
    provider: Provider, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feedback_module, "_MAX_AT_ONCE", 2)
    monkeypatch.setattr(feedback_module, "_WRITTEN_WITHIN_S", 0.3)
    gateway = await start()
    answers = await asyncio.gather(*(say(gateway, decision_id=f"none-{n}", thumb="up") for n in range(5)))
    assert sorted(status for status, _ in answers) == [404, 404, 429, 429, 429]
    assert (await say(gateway, decision_id=await ask(gateway), thumb="up"))[0] == 200


async def test_a_large_body_and_other_methods_are_refused(provider: Provider, start: Start) -> None:
    gateway = await start()
    assert (await say(gateway, decision_id="x" * 20_000))[0] == 413
    async with gateway.http.get(f"{gateway.url}/feedback") as response:
        assert response.status == 405
