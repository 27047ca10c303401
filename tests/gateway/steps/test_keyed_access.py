"""Keys and limits on a running gateway, with real clients."""

from __future__ import annotations

import asyncio
import calendar
import io
import json
import logging
import sqlite3
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from openai import AsyncOpenAI, AuthenticationError, PermissionDeniedError, RateLimitError
from provider_answers import MESSAGE_TEXT_EVENTS
from running_gateway import RunningGateway, Start
from scripted_provider import Provider, answer, chunk, event, good_stream, hang_up, plain, streamed

from turnout.gateway.ledger import sqlite as sqlite_module
from turnout.gateway.ledger.schema import open_ledger
from turnout.gateway.ledger.sqlite import SqliteDatabase
from turnout.gateway.limits.budgets import Budgets
from turnout.gateway.limits.keys import ClientKey, Limits, create_key, revoke_key
from turnout.gateway.limits.leases import used_in_window
from turnout.gateway.steps import keyed_access
from turnout.gateway.steps.keyed_access import WEAK_ONLY

EASY = [{"role": "user", "content": "an easy one"}]
HARD = [{"role": "user", "content": "a hard one"}]
MakeKey = Callable[..., tuple[ClientKey, str]]


NOW = calendar.timegm((2026, 6, 15, 12, 30, 30))
"""When the limits are counted: no minute, day or month ends while a test runs."""


@pytest.fixture(autouse=True)
def standing_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyed_access, "Budgets", partial(Budgets, clock=lambda: NOW))


@pytest.fixture
def database(tmp_path: Path) -> SqliteDatabase:
    return SqliteDatabase(tmp_path / "ledger.sqlite3")


@pytest.fixture
def make_key(database: SqliteDatabase) -> MakeKey:
    def make(**options: Any) -> tuple[ClientKey, str]:
        limits = Limits(**options.pop("limits", {}))
        with closing(open_ledger(database, create=True)) as connection:
            return create_key(connection, limits=limits, **options)

    return make


async def ask(gateway: RunningGateway, key: str | None, **fields: Any) -> tuple[int, Any, Any]:
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    return await gateway.post({"model": "auto", "messages": EASY, "max_tokens": 20, **fields}, headers=headers)


async def used(gateway: RunningGateway, database: SqliteDatabase, key: ClientKey, kind: str) -> float:
    """What the ledger says is used, once the gateway has been told to stop."""
    await gateway.app.access.aclose()
    with closing(open_ledger(database)) as connection:
        return used_in_window(connection, key.id, kind, now=NOW)  # type: ignore[arg-type]


async def test_without_any_key_everyone_is_let_in_as_before(provider: Provider, start: Start) -> None:
    gateway = await start()
    assert (await ask(gateway, None))[0] == 200
    assert (await ask(gateway, "whatever"))[0] == 200
    (first, _) = await gateway.entries(2)
    assert first.key_id is None


async def test_a_key_opens_by_either_header(provider: Provider, start: Start, make_key: MakeKey) -> None:
    key, text = make_key()
    gateway = await start()
    assert (await ask(gateway, text))[0] == 200
    status, _, _ = await gateway.post({"model": "auto", "messages": EASY}, headers={"x-api-key": text})
    assert status == 200
    both = {"x-api-key": text, "Authorization": "Bearer of-something-else"}
    status, _, _ = await gateway.post({"model": "auto", "messages": EASY}, headers=both)
    assert status == 200
    assert {entry.key_id for entry in await gateway.entries(3)} == {key.id}


async def test_strangers_are_refused_before_their_body_is_read(
    provider: Provider, start: Start, make_key: MakeKey
) -> None:
    _, text = make_key()
    gateway = await start()
    wrong = [{}, {"Authorization": f"Bearer {text}x"}, {"Authorization": f"Basic {text}"}, {"x-api-key": "sk-1"}]
    for headers in wrong:
        status, seen, body = await gateway.post({"model": "auto", "messages": EASY}, headers=headers)
        assert (status, body["error"]["code"]) == (401, "invalid_api_key")
        assert seen["www-authenticate"] == "Bearer"
        assert text not in str(body)
        status, _, _ = await gateway.post(b"x" * 1_000_000, headers=headers)
        assert status == 401
        for path in ("models", "models/auto"):
            async with gateway.http.get(f"{gateway.url}/{path}", headers=headers) as response:
                assert response.status == 401
    assert not provider.requests
    with pytest.raises(AuthenticationError):
        await gateway.openai.chat.completions.create(model="auto", messages=EASY)
    async with gateway.http.get(gateway.url.removesuffix("/v1") + "/healthz") as response:
        assert response.status == 200


async def test_a_key_can_be_required_before_there_is_one(provider: Provider, start: Start) -> None:
    gateway = await start(server={"require_keys": True})
    assert (await ask(gateway, None))[0] == 401


@pytest.mark.parametrize(
    ("host", "has_key", "warned"), [("127.0.0.1", False, False), ("0.0.0.0", False, True), ("0.0.0.0", True, False)]
)
async def test_an_open_gateway_beyond_loopback_warns(
    start: Start, make_key: MakeKey, caplog: pytest.LogCaptureFixture, host: str, has_key: bool, warned: bool
) -> None:
    if has_key:
        make_key()
    await start(server={"host": host})
    assert ("0.0.0.0 is not loopback and no key is asked for" in caplog.text) == warned


async def becomes(gateway: RunningGateway, key: str | None, status: int) -> None:
    """Wait until this is what a request gets: the keys are read again twice a second."""
    async with asyncio.timeout(30):
        while (await ask(gateway, key))[0] != status:
            await asyncio.sleep(0.05)


async def test_a_running_gateway_sees_new_and_revoked_keys(
    provider: Provider, start: Start, make_key: MakeKey, database: SqliteDatabase
) -> None:
    gateway = await start()
    key, text = make_key()
    await becomes(gateway, None, 401)
    assert (await ask(gateway, text))[0] == 200
    with closing(open_ledger(database)) as connection:
        revoke_key(connection, key.id)
    await becomes(gateway, text, 401)
    assert (await ask(gateway, None))[0] == 401, "revoking the last key does not open the gateway"


async def test_a_key_asks_for_its_routes_alone(provider: Provider, start: Start, make_key: MakeKey) -> None:
    _, text = make_key(routes=["auto"])
    gateway = await start()
    async with AsyncOpenAI(base_url=gateway.url, api_key=text, max_retries=0) as client:
        assert [model.id for model in (await client.models.list()).data] == ["auto"]
        await client.chat.completions.create(model="auto", messages=EASY)
        for name in ("big", "router-fake-0.1", "unknown"):
            with pytest.raises(PermissionDeniedError, match=f"may not ask for '{name}'. It may ask for: auto"):
                await client.chat.completions.create(model=name, messages=EASY)
    assert len(provider.requests) == 1


async def test_requests_a_minute(provider: Provider, start: Start, make_key: MakeKey) -> None:
    _, text = make_key(limits={"requests_per_minute": 3})
    _, other = make_key()
    gateway = await start()
    results = [await ask(gateway, text) for _ in range(5)]
    assert [status for status, _, _ in results] == [200, 200, 200, 429, 429]
    _, headers, body = results[-1]
    assert body["error"]["code"] == "rate_limit_exceeded"
    assert "limit of 3 requests a minute" in body["error"]["message"]
    assert "It resets at 20" in body["error"]["message"]
    assert 1 <= int(headers["retry-after"]) <= 60
    assert (await ask(gateway, other))[0] == 200


async def test_while_the_ledger_cannot_be_written_only_keys_with_limits_are_refused(
    provider: Provider,
    start: Start,
    make_key: MakeKey,
    database: SqliteDatabase,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(sqlite_module, "BUSY_S", 0.05)
    _, limited = make_key(limits={"usd_per_day": 0.01})
    _, unlimited = make_key()
    gateway = await start()
    with closing(sqlite3.connect(database.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert (await ask(gateway, unlimited))[0] == 200
        for _ in range(3):
            status, _, body = await ask(gateway, limited)
            assert (status, body["error"]["code"]) == (503, "limits_unavailable")
        other.execute("ROLLBACK")
    await gateway.entries(4)  # so that no one else is writing
    assert (await ask(gateway, limited))[0] == 200
    entries = await gateway.entries(5)
    assert [entry.status for entry in entries] == [200, 503, 503, 503, 200], "all of it is in the ledger"
    assert caplog.text.count("Requests of keys with limits are refused") == 1


async def test_tokens_a_minute_are_set_aside_and_settled(
    provider: Provider, start: Start, make_key: MakeKey, database: SqliteDatabase
) -> None:
    key, text = make_key(limits={"tokens_per_minute": 200})
    gateway = await start()
    status, headers, body = await ask(gateway, text, max_tokens=400)
    assert (status, body["error"]["code"]) == (429, "rate_limit_exceeded")
    assert "more than the key's limit of 200 tokens a minute by itself" in body["error"]["message"]
    assert headers["x-should-retry"] == "false"
    for _ in range(3):  # 55 or so at worst, 37 in the end
        assert (await ask(gateway, text))[0] == 200
    assert (await ask(gateway, text, max_tokens=100))[0] == 429
    assert await used(gateway, database, key, "tokens_per_minute") == 3 * 37


async def test_dollars_are_enforced_before_the_call_and_settled_after_it(
    provider: Provider, start: Start, make_key: MakeKey, database: SqliteDatabase
) -> None:
    # At worst a hard one costs about 37 tokens × $10 + 20 × $30 a million = $0.00097, in the end $0.00075.
    key, text = make_key(limits={"usd_per_day": 0.002, "usd_per_month": 10})
    gateway = await start()
    statuses = [(await ask(gateway, text, messages=HARD))[0] for _ in range(4)]
    assert statuses == [200, 200, 429, 429]
    assert len(provider.requests) == 2, "nothing was spent"
    async with AsyncOpenAI(base_url=gateway.url, api_key=text) as client:
        with pytest.raises(RateLimitError, match=r"limit of \$0.00 a day does not cover this request any more"):
            await client.chat.completions.create(model="auto", messages=HARD, max_tokens=20)
    entries = await gateway.entries(5)
    assert [entry.status for entry in entries] == [200, 200, 429, 429, 429], "the client did not retry"
    assert entries[-1].error == "insufficient_quota"
    spent = sum(entry.cost_usd or 0 for entry in entries)
    assert await used(gateway, database, key, "usd_per_day") == pytest.approx(spent, abs=1e-12)
    assert await used(gateway, database, key, "usd_per_month") == pytest.approx(spent, abs=1e-12)


async def test_at_the_limit_weak_only_if_the_operator_says_so(
    provider: Provider, start: Start, make_key: MakeKey, database: SqliteDatabase
) -> None:
    key, text = make_key(limits={"usd_per_day": 0.00101, "at_limit": "weak"})
    gateway = await start()
    answers = [await ask(gateway, text, messages=HARD) for _ in range(8)]
    assert [status for status, _, _ in answers] == [200] * 8
    models = [headers["x-turnout-model"] for _, headers, _ in answers]
    assert models == ["big"] + ["small"] * 7
    assert answers[-1][1]["x-turnout-reason"] == WEAK_ONLY
    assert (await ask(gateway, text, model="big"))[0] == 429, "asked for by name there is no weak model"
    entries = await gateway.entries(9)
    assert [entry.side for entry in entries] == ["strong"] + ["weak"] * 7 + [None]
    assert await used(gateway, database, key, "usd_per_day") == pytest.approx(sum(e.cost_usd or 0 for e in entries))


async def test_an_absurd_request_does_not_wipe_out_what_was_spent(
    provider: Provider, start: Start, make_key: MakeKey, database: SqliteDatabase
) -> None:
    key, text = make_key(limits={"usd_per_day": 0.00101, "at_limit": "weak"})
    gateway = await start()
    for _ in range(3):
        await ask(gateway, text, messages=HARD)
    provider.script = [plain({"error": {"message": "no"}}, status="400 No")]
    assert (await ask(gateway, text, max_tokens=2**63, n=2**63))[0] == 400
    entries = await gateway.entries(4)
    assert await used(gateway, database, key, "usd_per_day") == pytest.approx(sum(e.cost_usd or 0 for e in entries))


async def test_weak_only_does_not_send_what_the_weak_model_cannot_take(
    provider: Provider, start: Start, make_key: MakeKey
) -> None:
    _, text = make_key(limits={"usd_per_day": 0.00101, "at_limit": "weak"})
    models = {
        "big": {"base_url": provider.base_url, "usd_per_million_input_tokens": 10, "usd_per_million_output_tokens": 30},
        "small": {"base_url": provider.base_url, "tools": False},
    }
    gateway = await start(models=models)
    tools = [{"type": "function", "function": {"name": "weather", "parameters": {}}}]
    assert (await ask(gateway, text, messages=HARD))[0] == 200
    status, _, body = await ask(gateway, text, messages=HARD, tools=tools)
    assert (status, body["error"]["code"]) == (429, "insufficient_quota")
    assert (await ask(gateway, text, messages=HARD))[0] == 200


@pytest.mark.parametrize(
    ("reply", "stream", "tokens"),
    [
        (plain(), False, 37),
        (good_stream(), True, 10),
        (plain({"error": {"message": "no"}}, status="500 No"), False, 0),
        (hang_up, False, 0),
        (streamed(event(chunk("Pa")), end=False), True, None),
        (plain({**answer(), "usage": None}), False, None),
    ],
    ids=["plain", "streamed", "refused", "unreachable", "cut-off", "uncounted"],
)
async def test_what_a_call_comes_to(
    provider: Provider,
    start: Start,
    make_key: MakeKey,
    database: SqliteDatabase,
    reply: Any,
    stream: bool,
    tokens: int | None,
) -> None:
    key, text = make_key(limits={"tokens_per_minute": 100_000})
    gateway = await start()
    provider.script = [reply, reply]
    await ask(gateway, text, stream=stream)
    await gateway.entries()
    came_to = await used(gateway, database, key, "tokens_per_minute")
    assert came_to == tokens if tokens is not None else 40 < came_to < 80, "unknown stays at its worst case"


async def test_leaving_before_the_last_count_does_not_save_money(
    provider: Provider, start: Start, make_key: MakeKey, database: SqliteDatabase
) -> None:
    key, text = make_key(limits={"usd_per_day": 1.0})
    models = {
        "claude": {
            "base_url": provider.base_url,
            "protocol": "anthropic",
            "usd_per_million_input_tokens": 10,
            "usd_per_million_output_tokens": 30,
        }
    }
    gateway = await start(models=models, routes={})
    *all_but_the_counts, _, _ = MESSAGE_TEXT_EVENTS
    provider.script = [streamed(*all_but_the_counts, 20.0)]
    body = json.dumps({"model": "claude", "messages": EASY, "max_tokens": 1_000, "stream": True})
    async with gateway.http.post(f"{gateway.url}/messages", data=body, headers={"x-api-key": text}) as response:
        seen = b""
        while b"ris." not in seen:
            seen += await response.content.readany()
        response.close()
    (entry,) = await gateway.entries()
    assert entry.error == "client_left"
    assert await used(gateway, database, key, "usd_per_day") > 1_000 * 30 / 1e6, "the worst case stays"


async def test_no_key_and_no_query_stands_in_logs_answers_or_the_ledger(
    provider: Provider, start: Start, make_key: MakeKey, tmp_path: Path
) -> None:
    _, text = make_key(limits={"usd_per_day": 0.002}, routes=["auto"])
    secret = text.split("-", 2)[2]
    captured = io.StringIO()
    handler = logging.StreamHandler(captured)
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        gateway = await start(ledger={"query_text": "hash"})
        seen = []
        for key, fields in (
            (text, {"messages": [{"role": "user", "content": "my secret plans, hard"}]}),
            (text + "x", {}),
            (text, {"model": "big"}),
            (text, {"max_tokens": 10**9}),
            (text, {"messages": "my secret plans"}),
        ):
            provider.script = [hang_up, hang_up]
            status, headers, body = await ask(gateway, key, **fields)
            seen.append(f"{status} {dict(headers)} {body}")
        await gateway.entries()
        await gateway.app.shutdown()
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
    assert [line[:3] for line in seen] == ["502", "401", "403", "429", "400"]
    files = b"".join(path.read_bytes() for path in tmp_path.glob("ledger.sqlite3*"))
    assert "decision dec-" in captured.getvalue(), "the gateway did log"
    for place in (captured.getvalue(), "".join(seen), files.decode("latin-1")):
        assert secret not in place
        assert "secret plans" not in place
