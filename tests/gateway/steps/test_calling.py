"""Retries, fallbacks, breakers, balancing and places over real sockets: what clients see, and what is told."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator
from contextlib import closing
from random import Random
from typing import Any

import pytest
from openai import APIStatusError, AsyncOpenAI
from provider_answers import MESSAGE_TEXT
from running_gateway import RunningGateway, Start
from scripted_provider import Provider, Reply, answer, chunk, event, good_stream, hang, hang_up, plain, streamed

from turnout.call_limits import Retries
from turnout.gateway.ledger.schema import open_ledger
from turnout.gateway.limits.keys import Limits, create_key
from turnout.gateway.protocols import openai_chat
from turnout.gateway.protocols.translating.chat_to_messages.request import messages_request

HARD = [{"role": "user", "content": "a hard one"}]
FAST = {"first_byte_s": 0.3, "between_chunks_s": 0.3, "whole_s": 5.0}
"""Short limits, only where answers that come in time are not told from those that do not."""
HANGS = {"first_byte_s": 1.0}
"""A provider that hangs is given up soon, and one that answers is not, however busy the machine is."""
BUSY = {"error": {"message": "slow down", "type": "rate_limit_error", "param": None, "code": "rate_limited"}}
OOPS = plain({"error": {"message": "oops"}}, status="500 Internal Server Error")


def busy(*headers: str) -> Reply:
    return plain(BUSY, status="429 Too Many Requests", headers=headers)


@pytest.fixture
async def second() -> AsyncIterator[Provider]:
    async with Provider(default=plain(answer("from the second"))) as second:
        yield second


async def two_models(start: Start, first: Provider, second: Provider, **tables: Any) -> RunningGateway:
    """'big' at the first provider, 'small' at the second; the route falls back on both."""
    models: dict[str, Any] = {"big": {"base_url": first.base_url}, "small": {"base_url": second.base_url}}
    route = {"router": "fake", "strong": "big", "weak": "small", "threshold": 0.5, "fallbacks": ["big", "small"]}
    return await start(**{"models": models, "routes": {"auto": route}, **tables})


async def say(client: AsyncOpenAI, model: str = "auto", **options: Any) -> Any:
    return await client.chat.completions.with_raw_response.create(
        model=model,
        messages=HARD,  # type: ignore[arg-type]
        **options,
    )


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize(
    ("fault", "code", "calls"),
    [
        ("refuse", "upstream_unreachable", 0),
        (hang_up, "upstream_unreachable", 2),
        (hang, "upstream_timeout", 1),
        (streamed(head=b"rubbish\r\n\r\n"), "upstream_protocol_error", 1),
        (busy("Retry-After: 600"), "upstream_status_429", 1),
        (busy("Retry-After: 0"), "upstream_status_429", 2),
        (busy("Retry-After: 0", "x-should-retry: false"), "upstream_status_429", 1),
        (OOPS, "upstream_status_500", 2),
        (plain(b"<html>", status="503 Service Unavailable"), "upstream_status_503", 2),
        (plain({"error": {"message": "no"}}, status="401 Unauthorized"), "upstream_status_401", 1),
    ],
    ids=["refuse", "hang-up", "hang", "not-http", "429-long", "429-0", "429-no-retry", "500", "503", "401"],
)
async def test_a_fault_is_another_models_answer(
    provider: Provider,
    second: Provider,
    start: Start,
    caplog: pytest.LogCaptureFixture,
    fault: Any,
    code: str,
    calls: int,
    stream: bool,
) -> None:
    gateway = await two_models(start, provider, second, upstream=HANGS if fault is hang else {})
    second.default = good_stream() if stream else plain()
    if fault == "refuse":
        await provider.__aexit__()
    else:
        provider.default = fault
    got = await say(gateway.openai, stream=stream)
    assert (got.headers["x-turnout-model"], got.headers["x-turnout-fallback"]) == ("small", f"'big' {code}")
    assert got.headers["x-turnout-reason"] == "at or above the threshold"
    if stream:
        async for _ in got.parse():
            pass
    (row,) = await gateway.entries()
    assert (row.status, row.error, row.model, row.side) == (200, None, "small", "strong")
    assert row.reason == f"at or above the threshold; fell back: 'big' {code}"
    assert f"'big' failed ({code}); trying 'small'" in caplog.text
    assert gateway.app.counters.fallbacks == 1
    assert len(provider.requests) == calls
    assert len(second.requests) == 1


async def test_a_refusal_that_is_the_clients_fault_is_not_tried_elsewhere(
    provider: Provider, second: Provider, start: Start
) -> None:
    gateway = await two_models(start, provider, second)
    provider.default = plain({"error": {"message": "bad temperature"}}, status="400 Bad Request")
    with pytest.raises(APIStatusError) as caught:
        await say(gateway.openai)
    assert caught.value.status_code == 400
    assert (len(provider.requests), len(second.requests)) == (1, 0)


async def test_where_all_fail_the_client_sees_the_last_of_them(
    provider: Provider, second: Provider, start: Start
) -> None:
    gateway = await two_models(start, provider, second, upstream=HANGS)
    provider.default, second.default = hang, busy("Retry-After: 600")
    with pytest.raises(APIStatusError) as caught:
        await say(gateway.openai)
    assert caught.value.status_code == 429
    assert caught.value.response.headers["retry-after"] == "600"
    assert caught.value.response.headers["x-turnout-model"] == "small"
    (row,) = await gateway.entries()
    assert (row.status, row.error, row.model) == (429, "upstream_status_429", "small")


async def test_a_fallback_that_was_not_called_leaves_the_first_ones_word_standing(
    provider: Provider, second: Provider, start: Start
) -> None:
    gateway = await two_models(start, provider, second, upstream={"breaker_failures": 1, "max_retries": 0})
    second.default = OOPS
    with pytest.raises(APIStatusError):
        await say(gateway.openai, model="small")
    provider.default = busy("Retry-After: 600")
    with pytest.raises(APIStatusError) as caught:
        await say(gateway.openai)
    assert (caught.value.status_code, caught.value.response.headers["x-turnout-model"]) == (429, "big")
    assert caught.value.body == BUSY["error"]
    assert len(second.requests) == 1


async def test_once_bytes_have_come_nothing_else_is_tried(provider: Provider, second: Provider, start: Start) -> None:
    gateway = await two_models(start, provider, second)
    provider.default = streamed(event(chunk("Pa")), end=False, reset=True)
    status, _, content = await gateway.post({"model": "auto", "messages": HARD, "stream": True})
    assert status == 200
    assert json.loads(content.decode().split("\n\n")[-2][6:])["error"]["code"] == "upstream_unreachable"
    assert second.requests == []


async def test_retry_after_is_kept_to_and_the_retry_counted(provider: Provider, start: Start) -> None:
    gateway = await start(upstream={"longest_retry_wait_s": 1.0})
    provider.script = [busy("Retry-After: 0.4")]
    started = time.perf_counter()
    got = await say(gateway.openai)
    assert time.perf_counter() - started >= 0.4
    assert got.headers["x-turnout-tries"] == "2"
    assert "x-turnout-fallback" not in got.headers
    assert gateway.app.counters.retries == 1


async def test_all_tries_together_stay_within_the_whole_limit(provider: Provider, start: Start) -> None:
    upstream = {"first_byte_s": 20.0, "whole_s": 0.8, "max_retries": 5, "longest_retry_wait_s": 0.1}
    gateway = await start(upstream=upstream)
    provider.script = [hang_up, hang]
    started = time.perf_counter()
    with pytest.raises(APIStatusError) as caught:
        await say(gateway.openai, model="big")
    assert time.perf_counter() - started < 15
    assert caught.value.code == "upstream_timeout"


async def test_a_fallback_that_cannot_take_the_request_is_passed_over(
    provider: Provider, second: Provider, start: Start
) -> None:
    models = {
        "big": {"base_url": provider.base_url, "fallbacks": ["blind", "small"]},
        "blind": {"base_url": second.base_url, "tools": False},
        "small": {"base_url": second.base_url},
    }
    gateway = await two_models(start, provider, second, models=models)
    provider.default = OOPS
    tool: Any = {"type": "function", "function": {"name": "read", "parameters": {}}}
    assert (await say(gateway.openai, model="big", tools=[tool])).headers["x-turnout-model"] == "small"
    assert (await say(gateway.openai, model="big")).headers["x-turnout-model"] == "blind"


async def test_a_breaker_opens_says_so_and_lets_one_call_probe(
    provider: Provider, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="turnout")
    gateway = await start(upstream={"max_retries": 0, "breaker_failures": 3, "breaker_open_s": 60})
    provider.default = OOPS
    codes = []
    for _ in range(5):
        with pytest.raises(APIStatusError) as caught:
            await say(gateway.openai, model="big")
        codes.append((caught.value.status_code, len(provider.requests)))
    assert codes == [(500, 1), (500, 2), (500, 3), (503, 3), (503, 3)]
    assert caught.value.code == "upstream_unavailable"
    assert 0 < int(caught.value.response.headers["retry-after"]) <= 60
    assert "the provider of 'big' keeps failing; its breaker is open" in caplog.text
    assert (gateway.app.counters.breakers_opened, gateway.app.counters.unavailable) == (1, 2)
    (address,) = gateway.app.routes.models["big"].balancer.addresses
    address.breaker._clock = lambda: time.monotonic() + 60
    provider.default = plain()
    assert (await say(gateway.openai, model="big")).headers["x-turnout-model"] == "big"
    assert "its breaker has closed" in caplog.text


async def test_a_slow_provider_takes_no_more_than_its_places(
    provider: Provider, second: Provider, start: Start
) -> None:
    models = {"big": {"base_url": provider.base_url, "max_concurrent": 2}, "small": {"base_url": second.base_url}}
    upstream = {"max_waiting": 1, "wait_limit_s": 0.5, "max_retries": 0}
    gateway = await two_models(start, provider, second, models=models, routes={}, upstream=upstream)
    provider.default = hang

    async def ask_big() -> tuple[int, str | None]:
        with pytest.raises(APIStatusError) as caught:
            await say(gateway.openai, model="big")
        return caught.value.status_code, caught.value.code

    held = [asyncio.create_task(ask_big()) for _ in range(2)]
    await provider.asked(2)
    in_line = [asyncio.create_task(ask_big()) for _ in range(2)]  # of whom one finds the line full
    async with asyncio.timeout(20):  # and neither waits for those who hold the places
        assert await asyncio.gather(*in_line) == [(503, "upstream_unavailable")] * 2
    assert (await say(gateway.openai, model="small")).headers["x-turnout-model"] == "small"
    assert len(provider.requests) == 2
    assert not any(task.done() for task in held)
    for task in held:
        task.cancel()


async def test_a_client_that_leaves_gives_its_place_back(provider: Provider, start: Start) -> None:
    gateway = await start(upstream={"max_concurrent": 1})
    provider.script = [hang]
    leaves = asyncio.create_task(gateway.post({"model": "big", "messages": HARD}))
    await provider.asked()
    leaves.cancel()
    status, _, _ = await gateway.post({"model": "big", "messages": HARD})
    assert status == 200
    assert [address.under_way for address in gateway.app.routes.models["big"].balancer.addresses] == [0]


@pytest.mark.parametrize("fault", [OOPS, hang_up, busy("Retry-After: 600"), plain({}, status="401 No")])
async def test_another_address_is_tried_at_once(
    provider: Provider, second: Provider, start: Start, monkeypatch: pytest.MonkeyPatch, fault: Reply
) -> None:
    wait_s = Retries.wait_s
    monkeypatch.setattr(Retries, "wait_s", lambda *asked: None if wait_s(*asked) is None else 20.0)
    big = {
        "base_url": provider.base_url,
        "api_key_env": "PROVIDER_KEY",
        "addresses": [{"base_url": second.base_url, "weight": 2.0}],
    }
    gateway = await two_models(start, provider, second, models={"big": big}, routes={})
    provider.default = fault
    async with asyncio.timeout(15):  # the same address would be tried again after 20 s
        for _ in range(3):
            assert (await say(gateway.openai, model="big")).headers["x-turnout-model"] == "big"
    assert "authorization" not in second.requests[0].headers, "a key goes to no other address than its own"


async def test_addresses_share_the_calls_by_weight(provider: Provider, second: Provider, start: Start) -> None:
    big = {"base_url": provider.base_url, "addresses": [{"base_url": second.base_url, "weight": 2}]}
    gateway = await two_models(start, provider, second, models={"big": big}, routes={})
    for _ in range(9):
        await say(gateway.openai, model="big")
    assert (len(provider.requests), len(second.requests)) == (3, 6)


@pytest.mark.parametrize(("usd_per_day", "model"), [(1.0, None), (None, "big")])
async def test_a_key_with_a_budget_does_not_fall_back_on_what_costs_more_than_was_set_aside(
    provider: Provider, second: Provider, start: Start, usd_per_day: float | None, model: str | None
) -> None:
    price = {"usd_per_million_input_tokens": 1.0, "usd_per_million_output_tokens": 1.0}
    dear = {"usd_per_million_input_tokens": 9.0, "usd_per_million_output_tokens": 9.0}
    models = {
        "small": {"base_url": provider.base_url, **price, "fallbacks": ["big"]},
        "big": {"base_url": second.base_url, **dear},
    }
    gateway = await two_models(start, provider, second, models=models, routes={})
    assert gateway.app.ledger is not None
    with closing(open_ledger(gateway.app.ledger.database)) as ledger:
        _, key = create_key(ledger, limits=Limits(usd_per_day=usd_per_day))
    provider.default = OOPS
    async with asyncio.timeout(30):
        while not gateway.app.access.asks_for_keys:
            await asyncio.sleep(0.02)
    client = gateway.openai.with_options(api_key=key)
    if model is None:
        with pytest.raises(APIStatusError):
            await say(client, model="small")
        assert second.requests == []
    else:
        assert (await say(client, model="small")).headers["x-turnout-model"] == model


async def test_whatever_happens_every_place_is_given_back(provider: Provider, second: Provider, start: Start) -> None:
    """Faults of all kinds, clients that leave, and breakers that open and close, all at once."""
    random = Random(7)
    cut = streamed(event(chunk("Pa")), end=False, reset=True)
    faults = [OOPS, hang, hang_up, busy("Retry-After: 0"), busy("Retry-After: 600"), plain(), good_stream(), plain()]
    faults += [plain(), good_stream()] * 5
    faults += [cut, plain(b"not json"), streamed(head=b"rubbish\r\n\r\n")]
    # What comes first hangs for longer than the first client waits: one leaves however fast the machine is.
    provider.script = [hang, *(random.choice(faults) for _ in range(300))]
    second.script = [hang, *(random.choice(faults) for _ in range(300))]
    models = {
        "big": {"base_url": provider.base_url, "addresses": [{"base_url": second.base_url}], "max_concurrent": 3},
        "small": {"base_url": second.base_url, "max_concurrent": 3},
    }
    upstream = {
        **FAST,
        "max_waiting": 4,
        "wait_limit_s": 0.2,
        "breaker_failures": 3,
        "breaker_open_s": 0.05,
        "longest_retry_wait_s": 0.05,
    }
    gateway = await two_models(start, provider, second, models=models, upstream=upstream)

    statuses: list[int | None] = []

    async def client() -> None:
        for patience_s in [0.05, *(random.choice([0.05, 0.2, 20.0]) for _ in range(9))]:
            body = {"model": "auto", "messages": HARD, "stream": random.random() < 0.5}
            try:
                async with asyncio.timeout(patience_s):
                    statuses.append((await gateway.post(body))[0])
            except TimeoutError:
                statuses.append(None)

    await asyncio.gather(*(client() for _ in range(12)))
    assert None in statuses
    assert 200 in statuses
    balancers = [model.balancer for model in gateway.app.routes.models.values()]
    async with asyncio.timeout(30):
        while any(address.under_way for balancer in balancers for address in balancer.addresses):
            await asyncio.sleep(0.02)
    assert [balancer.waiting for balancer in balancers] == [0, 0]
    provider.script, second.script = [], []
    async with asyncio.timeout(30):  # a breaker may be open for up to 1.6 s: 0.05 s, doubled five times
        while (await gateway.post({"model": "auto", "messages": HARD}))[0] != 200:
            await asyncio.sleep(0.05)


async def test_prometheus_sees_breakers_and_calls(provider: Provider, second: Provider, start: Start) -> None:
    models = {"big": {"base_url": provider.base_url, "addresses": [{"base_url": second.base_url}]}}
    gateway = await two_models(
        start, provider, second, models=models, routes={}, upstream={"breaker_failures": 1, "max_retries": 0}
    )
    provider.default = OOPS
    with pytest.raises(APIStatusError):
        await say(gateway.openai, model="big")
    second.default = hang
    under_way = asyncio.create_task(gateway.post({"model": "big", "messages": HARD}))
    await second.asked()
    async with gateway.http.get(f"{gateway.url.removesuffix('/v1')}/metrics") as response:
        told = await response.text()
    under_way.cancel()
    for line in (
        'turnout_breaker_open{address="big"} 1',
        'turnout_breaker_open{address="big#2"} 0',
        'turnout_upstream_calls{address="big"} 0',
        'turnout_upstream_calls{address="big#2"} 1',
        'turnout_upstream_waiting{model="big"} 0',
        'turnout_events_total{event="breakers_opened"} 1',
    ):
        assert line in told, told


async def test_a_conversation_keeps_to_the_address_that_has_its_prompt_cache(
    provider: Provider, second: Provider, start: Start
) -> None:
    small = {"base_url": provider.base_url, "addresses": [{"base_url": second.base_url}]}
    models = {"big": {"base_url": provider.base_url}, "small": small}
    gateway = await two_models(start, provider, second, models=models)
    asked: list[dict[str, Any]] = [{"role": "user", "content": "an easy one"}]
    for number in range(4):
        status, _, _ = await gateway.post({"model": "auto", "messages": asked})
        assert status == 200
        asked += [{"role": "assistant", "content": "Paris."}, {"role": "user", "content": f"easy {number}"}]
    assert sorted([len(provider.requests), len(second.requests)]) == [0, 4]


async def test_a_request_is_translated_once_for_each_model_that_may_take_it(
    provider: Provider, second: Provider, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    translated: list[str] = []

    def counting(body: Any, *, model: str, max_tokens: int | None) -> dict[str, Any]:
        translated.append(model)
        return messages_request(body, model=model, max_tokens=max_tokens)

    monkeypatch.setattr(openai_chat, "messages_request", counting)
    models: dict[str, Any] = {
        "big": {"base_url": provider.base_url, "protocol": "anthropic"},
        "small": {"base_url": second.base_url, "protocol": "anthropic"},
        "other": {"base_url": second.base_url},
    }
    gateway = await two_models(start, provider, second, models=models)
    provider.default = second.default = plain(MESSAGE_TEXT)
    await say(gateway.openai)
    assert translated == ["big", "small"], "both are asked whether they can take it, and the chosen one gets that body"
    assert provider.requests[0].body["model"] == "big"
    translated.clear()
    provider.default = OOPS
    assert (await say(gateway.openai)).headers["x-turnout-model"] == "small"
    assert translated == ["big", "small"], "neither another try nor the fallback makes it anew"
    assert second.requests[-1].body["model"] == "small"
