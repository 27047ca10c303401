"""The decision alone: over HTTP, and in this process."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from running_gateway import KeywordRouter, RunningGateway, Start
from scripted_provider import Provider, plain
from scripted_provider import answer as chat_answer

from turnout import ModelPair
from turnout.config import Config, parse_config
from turnout.gateway.choosing.stickiness import TOOL_LOOP
from turnout.gateway.deciding import Decider
from turnout.gateway.endpoints.openapi import DESCRIPTION
from turnout.gateway.errors import RequestError
from turnout.gateway.ledger.reading import savings
from turnout.gateway.ledger.schema import open_ledger
from turnout.gateway.ledger.sqlite import SqliteDatabase
from turnout.gateway.limits.keys import Limits, create_key
from turnout.gateway.steps.keyed_access import WEAK_ONLY

EASY = [{"role": "user", "content": "an easy one"}]
HARD = [{"role": "user", "content": "a hard one"}]
TOOL = {"type": "function", "function": {"name": "look"}}


async def decide(gateway: RunningGateway, key: str | None = None, **body: Any) -> tuple[int, Any, Any]:
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    async with gateway.http.post(f"{gateway.url}/route", json=body, headers=headers) as response:
        return response.status, response.headers, await response.json()


async def test_the_decision_comes_back_and_nothing_is_called(provider: Provider, start: Start) -> None:
    gateway = await start()
    status, headers, answer = await decide(gateway, model="auto", messages=HARD, max_tokens=100, stream=True)
    input_tokens = answer["worst_case"]["big"]["input_tokens"]
    assert 10 < input_tokens < 50
    assert status == 200
    assert answer == {
        "object": "turnout.decision",
        "decision_id": headers["x-turnout-decision-id"],
        "route": "auto",
        "model": "big",
        "side": "strong",
        "win_rate": 0.9,
        "threshold": 0.5,
        "reason": "at or above the threshold",
        "worst_case": {
            "big": {
                "input_tokens": input_tokens,
                "output_tokens": 100,
                "cost_usd": pytest.approx(input_tokens * 10e-6 + 100 * 30e-6),
            },
            "small": {
                "input_tokens": input_tokens,
                "output_tokens": 100,
                "cost_usd": pytest.approx(input_tokens * 1e-6 + 100 * 2e-6),
            },
        },
    }
    assert provider.requests == []


@pytest.mark.parametrize("turn", [EASY, HARD])
async def test_it_is_the_decision_that_a_call_gets(provider: Provider, start: Start, turn: Any) -> None:
    gateway = await start()
    _, _, answer = await decide(gateway, model="auto", messages=turn)
    _, headers, _ = await gateway.post({"model": "auto", "messages": turn})
    assert (answer["model"], answer["reason"]) == (headers["x-turnout-model"], headers["x-turnout-reason"])
    assert f"{answer['win_rate']:.6f}" == headers["x-turnout-win-rate"]


async def test_input_is_taken_as_well_as_messages(provider: Provider, start: Start) -> None:
    gateway = await start()
    for given in ("a hard one", HARD):
        status, _, answer = await decide(gateway, model="auto", input=given, max_output_tokens=7)
        assert (status, answer["side"], answer["worst_case"]["big"]["output_tokens"]) == (200, "strong", 7)


async def test_a_model_by_its_own_name_is_no_decision(provider: Provider, start: Start) -> None:
    gateway = await start(models={"big": {"base_url": provider.base_url}, "small": {"base_url": provider.base_url}})
    _, _, answer = await decide(gateway, model="small", messages=HARD)
    assert (answer["model"], answer["side"], answer["win_rate"], answer["threshold"]) == ("small", None, None, None)
    assert list(answer["worst_case"]) == ["small"]
    assert answer["worst_case"]["small"]["cost_usd"] is None, "no price is known"


async def test_what_only_one_model_can_take_is_decided_without_a_win_rate(provider: Provider, start: Start) -> None:
    small = {"base_url": provider.base_url, "tools": False}
    gateway = await start(models={"big": {"base_url": provider.base_url}, "small": small})
    _, _, answer = await decide(gateway, model="auto", messages=EASY, tools=[TOOL])
    assert (answer["model"], answer["win_rate"], answer["reason"]) == ("big", None, "'small' takes no tools")


async def test_the_ledger_holds_a_decision_that_used_no_tokens(provider: Provider, start: Start) -> None:
    gateway = await start()
    _, _, answer = await decide(gateway, model="auto", messages=HARD)
    await gateway.post({"model": "auto", "messages": HARD})
    decided, called = await gateway.entries(2)
    assert (decided.id, decided.model, decided.side, decided.query) == (
        answer["decision_id"],
        "big",
        "strong",
        "a hard one",
    )
    assert (decided.status, decided.input_tokens, decided.output_tokens, decided.cost_usd) == (200, 0, 0, 0.0)
    assert decided.upstream_latency_s is None
    assert decided.stream is False
    assert gateway.app.ledger is not None
    (saved,) = savings(gateway.app.ledger.database)
    assert (saved.spent_usd, saved.unpriced) == (pytest.approx(called.cost_usd), 0)


async def test_a_conversation_with_strong_is_known_but_none_begins_here(provider: Provider, start: Start) -> None:
    cached = {"prompt_tokens": 18, "completion_tokens": 19, "prompt_tokens_details": {"cached_tokens": 10}}
    provider.script = [plain({**chat_answer(), "usage": cached})]
    gateway = await start()
    headers = {"x-turnout-session": "mine"}
    call = {"role": "assistant", "tool_calls": [{"id": "c", "type": "function", "function": {"name": "look"}}]}
    loop = [*EASY, call, {"role": "tool", "tool_call_id": "c", "content": "3 files"}]

    async def decided(messages: Any) -> tuple[str, str]:
        body = {"model": "auto", "messages": messages}
        async with gateway.http.post(f"{gateway.url}/route", json=body, headers=headers) as response:
            answer = await response.json()
            return answer["model"], answer["reason"]

    assert await decided(HARD) == ("big", "at or above the threshold")
    assert await decided(loop) == ("small", "below the threshold")
    await gateway.post({"model": "auto", "messages": HARD}, headers=headers)
    assert await decided(loop) == ("big", TOOL_LOOP)


@pytest.mark.parametrize(
    ("body", "status", "code", "param"),
    [
        ({"messages": EASY}, 400, None, "model"),
        ({"model": "auto"}, 400, None, "messages"),
        ({"model": "auto", "messages": []}, 400, None, "messages"),
        ({"model": "auto", "input": 3}, 400, None, "input"),
        ({"model": "aut", "messages": EASY}, 404, "model_not_found", "model"),
    ],
)
async def test_what_cannot_be_decided_is_refused(
    provider: Provider, start: Start, body: Any, status: int, code: str | None, param: str
) -> None:
    gateway = await start()
    got, _, answer = await decide(gateway, **body)
    assert (got, answer["error"]["code"], answer["error"]["param"]) == (status, code, param)


async def test_keys_and_budgets_count_and_nothing_is_spent(provider: Provider, start: Start, tmp_path: Path) -> None:
    with closing(open_ledger(SqliteDatabase(tmp_path / "ledger.sqlite3"), create=True)) as connection:
        _, poor = create_key(connection, limits=Limits(usd_per_day=0.001))
        _, thrifty = create_key(connection, limits=Limits(usd_per_day=0.001, at_limit="weak"))
    gateway = await start()
    assert (await decide(gateway, model="auto", messages=HARD))[0] == 401
    for _ in range(5):  # each may come to $0.0009 at most, and comes to nothing
        status, _, answer = await decide(gateway, poor, model="auto", messages=HARD, max_tokens=20)
        assert (status, answer["model"]) == (200, "big")
    status, headers, answer = await decide(gateway, poor, model="auto", messages=HARD, max_tokens=1000)
    assert (status, answer["error"]["code"]) == (429, "insufficient_quota")
    assert headers["x-turnout-model"] == "big"
    status, _, answer = await decide(gateway, thrifty, model="auto", messages=HARD, max_tokens=400)
    assert (status, answer["model"], answer["side"], answer["reason"]) == (200, "small", "weak", WEAK_ONLY)


@pytest.mark.parametrize("fields", [{"messages": HARD, "n": 2}, {"messages": HARD}], ids=["cannot-go-over", "can"])
async def test_what_cannot_go_over_to_a_provider_counts_here_too(
    provider: Provider, start: Start, fields: dict[str, Any]
) -> None:
    models = {"big": {"base_url": provider.base_url, "protocol": "anthropic"}, "small": {"base_url": provider.base_url}}
    gateway = await start(models=models)
    _, _, told = await decide(gateway, model="auto", **fields)
    _, headers, _ = await gateway.post({"model": "auto", **fields})
    assert (told["model"], told["reason"]) == (headers["x-turnout-model"], headers["x-turnout-reason"])
    assert told["model"] == ("small" if "n" in fields else "big")


CONFIG: Config = parse_config(
    {
        "models": {
            "big": {"base_url": "http://127.0.0.1:9/v1", "api_key_env": "NOT_SET", "images": False},
            "small": {"protocol": "litellm", "context_window": 3_000},
        },
        "routes": {"auto": {"router": "fake", "strong": "big", "weak": "small", "threshold": 0.5}},
    }
)


@pytest.fixture
def decider() -> Decider:
    router = KeywordRouter()
    router.pair_ = ModelPair("big", "small")
    return Decider.from_config(CONFIG, routers={"fake": router})


async def test_a_program_decides_without_a_server_or_a_providers_key(decider: Decider) -> None:
    choices = [await decider.decide({"model": "auto", "messages": turn}) for turn in (EASY, HARD)]
    assert [(choice.model.name, choice.reason) for choice in choices] == [
        ("small", "below the threshold"),
        ("big", "at or above the threshold"),
    ]
    assert decider.counters.requests == 0
    decider.close()


async def test_a_programs_request_is_weighed_as_a_whole(decider: Decider) -> None:
    choice = await decider.decide({"model": "auto", "messages": EASY, "max_tokens": 5_000})
    assert (choice.model.name, choice.reason) == ("big", "'small' has too small a context window")
    with pytest.raises(RequestError, match="does not exist here"):
        await decider.decide({"model": "nothing", "messages": EASY})
    decider.close()


async def test_the_answer_is_what_the_description_says(provider: Provider, start: Start) -> None:
    gateway = await start()
    described = DESCRIPTION["paths"]["/v1/route"]["post"]["responses"]["200"]["content"]["application/json"]["schema"]
    _, _, answer = await decide(gateway, model="auto", messages=HARD)
    assert sorted(answer) == sorted(described["required"])
    cost = described["properties"]["worst_case"]["additionalProperties"]
    assert sorted(answer["worst_case"]["big"]) == sorted(cost["required"])
