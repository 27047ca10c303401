"""What follows up on a stored response goes to the provider that holds it."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ledgers import KINDS, empty_database
from openai import BadRequestError, InternalServerError, NotFoundError
from provider_answers import RESPONSE_TEXT, named
from running_gateway import RunningGateway, Start
from scripted_provider import Provider, Reply, Request, plain, streamed
from scripted_provider import answer as chat_answer

from turnout.config import ModelConfig
from turnout.errors import LedgerError
from turnout.gateway.choosing.stored_responses import (
    KEPT_S,
    StoredResponse,
    StoredResponses,
    conversation_id,
    followed,
    item_ids,
    key_of,
    response_id,
    share_a_store,
)
from turnout.gateway.errors import RequestError
from turnout.gateway.ledger import remembered
from turnout.gateway.ledger.calls import LedgerCalls
from turnout.gateway.ledger.schema import open_ledger
from turnout.gateway.ledger.sqlite import SqliteDatabase
from turnout.gateway.limits.caller import ANYONE, Caller
from turnout.gateway.limits.keys import create_key

HARD, EASY = "a hard one", "an easy one"


def storing(name: str) -> Reply:
    """A provider that stores responses and does not know those of others."""
    known: list[str] = []

    async def reply(provider: Provider, request: Request, writer: asyncio.StreamWriter) -> None:
        body = request.body
        before = body.get("previous_response_id")
        if before is not None and before not in known:
            error = {"error": {"message": "No such response.", "type": "invalid_request_error", "code": "not_found"}}
            await plain(error, status="404 Not Found")(provider, request, writer)
            return
        known.append(f"resp_{name}_{len(known)}")
        response = {**RESPONSE_TEXT, "id": known[-1]}
        if body.get("stream"):
            created = {"type": "response.created", "sequence_number": 0, "response": {**response, "status": "queued"}}
            done = {"type": "response.completed", "sequence_number": 1, "response": response}
            await streamed(b": hello\n\n", named(created), named(done))(provider, request, writer)
        else:
            await plain(response)(provider, request, writer)

    return reply


@pytest.fixture
async def other() -> AsyncIterator[Provider]:
    """The provider of the weak model."""
    async with Provider(default=storing("small")) as other:
        yield other


@pytest.fixture
def tables(provider: Provider, other: Provider) -> dict[str, Any]:
    provider.default = storing("big")
    return {
        "models": {
            "big": {"base_url": provider.base_url, "native_responses": True},
            "small": {"base_url": other.base_url, "native_responses": True},
        }
    }


async def ask(gateway: RunningGateway, text: Any, before: str | None = None, **fields: Any) -> tuple[str, str, str]:
    """The response's id, the model that gave it, and why."""
    if before is not None:
        fields["previous_response_id"] = before
    answer = await gateway.openai.responses.with_raw_response.create(**{"model": "auto", "input": text, **fields})
    return answer.parse().id, answer.headers["x-turnout-model"], answer.headers["x-turnout-reason"]


async def test_a_follow_up_goes_where_the_response_is_whatever_its_win_rate(
    tables: dict[str, Any], start: Start, other: Provider
) -> None:
    gateway = await start(**tables)
    for first, model, then in ((HARD, "big", EASY), (EASY, "small", HARD)):
        id, chosen, _ = await ask(gateway, first)
        assert chosen == model
        for _ in range(2):  # each follow-up is followed up in turn
            id, chosen, reason = await ask(gateway, then, before=id)
            assert (chosen, reason) == (model, "holds the earlier response")
    assert other.requests[-1].body["previous_response_id"] == "resp_small_1"
    entries = await gateway.entries(6)
    assert {(entry.side, entry.reason) for entry in entries[1:3]} == {("strong", "holds the earlier response")}


async def test_a_streamed_response_is_followed_up(tables: dict[str, Any], start: Start) -> None:
    gateway = await start(**tables)
    stream = await gateway.openai.responses.create(model="auto", input=EASY, stream=True)
    first = [event async for event in stream][-1]
    assert first.type == "response.completed"
    assert (await ask(gateway, HARD, before=first.response.id))[1] == "small"


async def test_a_conversation_that_a_provider_keeps_stays_with_it(tables: dict[str, Any], start: Start) -> None:
    gateway = await start(**tables)
    _, model, reason = await ask(gateway, EASY, conversation="conv_1")
    assert (model, reason) == ("small", "below the threshold; the earlier response is unknown here")
    assert (await ask(gateway, HARD, conversation={"id": "conv_1"}))[1:] == ("small", "holds the earlier response")


async def test_what_no_one_remembers_is_chosen_as_usual_and_says_so(tables: dict[str, Any], start: Start) -> None:
    gateway = await start(**tables)
    with pytest.raises(NotFoundError) as caught:
        await ask(gateway, HARD, before="resp_of_last_year")
    assert caught.value.response.headers["x-turnout-model"] == "big"
    assert caught.value.response.headers["x-turnout-reason"] == (
        "at or above the threshold; the earlier response is unknown here"
    )


async def test_a_follow_up_without_anything_new_is_passed_on_and_recorded(
    tables: dict[str, Any], start: Start, provider: Provider
) -> None:
    tables["models"]["small"]["base_url"] = provider.base_url  # so that either may go on
    gateway = await start(**tables)
    id, _, _ = await ask(gateway, HARD)
    for _ in range(2):
        assert (await ask(gateway, [], before=id))[1] == "big"
    assert len(await gateway.entries(3)) == 3


async def test_what_is_not_to_be_stored_is_not_remembered(tables: dict[str, Any], start: Start) -> None:
    gateway = await start(**tables)
    id, _, _ = await ask(gateway, EASY, store=False)
    assert await gateway.app.stored_responses.find(key_of(id)) is None


async def test_another_worker_and_the_next_start_know(
    tables: dict[str, Any], start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remembered, "READ_LIMIT_S", 30.0)
    monkeypatch.setattr(remembered, "_LOOK_AGAIN_S", 1.0)
    first = await start(**tables, server={"workers": 2})
    second = await start(**tables, server={"workers": 2})
    id, _, _ = await ask(first, EASY)
    assert (await ask(second, HARD, before=id))[1] == "small"
    await first.app.stored_responses.written()
    started_later = await start(**tables)
    assert (await ask(started_later, HARD, before=id))[1] == "small"
    for gateway in (second, started_later):
        await gateway.app.stored_responses.written()
    with closing(open_ledger(first.app.ledger.database)) as connection:  # type: ignore[union-attr]
        ids = [id for (id,) in connection.execute("SELECT id FROM stored_responses")]
    assert len(ids) == 3
    assert not [id for id in ids if "resp" in id], "hashes alone"


async def test_no_other_model_stands_in_for_the_holder(tables: dict[str, Any], start: Start, other: Provider) -> None:
    tables["models"]["small"]["fallbacks"] = ["big"]
    gateway = await start(**tables, upstream={"max_retries": 0})
    id, _, _ = await ask(gateway, EASY)
    other.default = plain({"error": {"message": "down"}}, status="500 Internal Server Error")
    with pytest.raises(InternalServerError):
        await ask(gateway, HARD, before=id)


async def test_a_fallback_that_answered_is_asked_again(
    tables: dict[str, Any], start: Start, provider: Provider
) -> None:
    async with Provider(default=storing("spare")) as spare:
        tables["models"]["spare"] = {"base_url": spare.base_url, "native_responses": True}
        routes = {
            "auto": {"router": "fake", "strong": "big", "weak": "small", "threshold": 0.5, "fallbacks": ["spare"]}
        }
        gateway = await start(**tables, routes=routes, upstream={"max_retries": 0})
        provider.script = [plain({"error": {"message": "down"}}, status="500 Internal Server Error")]
        id, model, _ = await ask(gateway, HARD)
        assert model == "spare"
        assert (await ask(gateway, EASY, before=id))[1:] == ("spare", "holds the earlier response")


async def test_a_model_of_another_route_is_named(tables: dict[str, Any], start: Start, provider: Provider) -> None:
    tables["models"]["elsewhere"] = {"base_url": provider.base_url, "native_responses": True}
    gateway = await start(**tables)
    id, _, _ = await ask(gateway, EASY, model="elsewhere")
    with pytest.raises(NotFoundError) as caught:
        await ask(gateway, EASY, before=id)
    assert "is with 'elsewhere', which is not of this route" in caught.value.response.headers["x-turnout-reason"]
    assert (await ask(gateway, EASY, before=id, model="elsewhere"))[1] == "elsewhere"


async def test_where_one_store_serves_both_models_the_user_may_change_between_them(
    tables: dict[str, Any], start: Start, provider: Provider
) -> None:
    tables["models"]["small"]["base_url"] = provider.base_url
    gateway = await start(**tables)
    id, model, _ = await ask(gateway, EASY)
    assert model == "small"
    id, model, reason = await ask(gateway, HARD, before=id)
    assert (model, reason) == ("big", "at or above the threshold")
    result = [{"type": "function_call_output", "call_id": "c", "output": "3 files"}]
    _, model, reason = await ask(gateway, result, before=id)
    assert (model, reason) == ("big", "holds the earlier response"), "not in the middle of a task"


async def test_the_same_account_is_asked_again(start: Start, provider: Provider, other: Provider) -> None:
    provider.default, other.default = storing("one"), storing("two")
    model = {"base_url": provider.base_url, "native_responses": True, "addresses": [{"base_url": other.base_url}]}
    gateway = await start(models={"big": model}, routes={})
    ids = [(await ask(gateway, HARD, model="big"))[0] for _ in range(4)]
    assert {id.split("_")[1] for id in ids} == {"one", "two"}, "both accounts answer"
    for id in ids * 2:
        await ask(gateway, HARD, model="big", before=id)


async def test_a_provider_that_stores_nothing_is_named_to_its_client(start: Start, provider: Provider) -> None:
    gateway = await start()  # chat completions are all that these two have
    id, model, _ = await ask(gateway, EASY)
    assert model == "small"
    with pytest.raises(BadRequestError, match="stores no responses") as caught:
        await ask(gateway, HARD, before=id)
    assert caught.value.response.headers["x-turnout-model"] == "small"


async def test_a_decision_alone_says_where_it_would_go(tables: dict[str, Any], start: Start) -> None:
    gateway = await start(**tables)
    id, _, _ = await ask(gateway, EASY)
    body = {"model": "auto", "input": HARD, "previous_response_id": id}
    async with gateway.http.post(f"{gateway.url}/route", json=body) as response:
        decision = await response.json()
    assert (decision["model"], decision["reason"]) == ("small", "holds the earlier response")


def keys(folder: Path, count: int = 2) -> list[str]:
    """As clients hold them."""
    with closing(open_ledger(SqliteDatabase(folder / "ledger.sqlite3"), create=True)) as connection:
        return [create_key(connection)[1] for _ in range(count)]


def held_by(key: str, gateway: RunningGateway) -> RunningGateway:
    """The gateway, asked with this key; on a machine that is so busy that the ledger is not read in time, once more."""
    return replace(gateway, openai=gateway.openai.with_options(api_key=key, max_retries=2))


NOT_FOUND = {
    "message": "The previous response is none that this gateway gave to this key and still knows of. Send the whole "
    "conversation instead.",
    "type": "invalid_request_error",
    "code": "previous_response_not_found",
    "param": "previous_response_id",
}


async def test_another_clients_response_is_as_unknown_as_one_that_never_was(
    tables: dict[str, Any], start: Start, provider: Provider, other: Provider, tmp_path: Path
) -> None:
    ann, bob = keys(tmp_path)
    gateway = await start(**tables)
    ann_asks, bob_asks = held_by(ann, gateway), held_by(bob, gateway)
    id, model, _ = await ask(ann_asks, EASY)
    assert model == "small"
    asked = len(provider.requests) + len(other.requests)
    for before in (id, "resp_that_never_was", "r" * 10_000, ""):
        for fields in ({}, {"model": "small"}, {"stream": True}, {"model": "big", "stream": True}):
            with pytest.raises(BadRequestError) as caught:
                await ask(bob_asks, "what did she say?", before=before, **fields)
            assert caught.value.body == NOT_FOUND
    body = {"model": "auto", "input": HARD, "previous_response_id": id}
    for path in ("route", "responses"):
        headers = {"Authorization": f"Bearer {bob}"}
        async with gateway.http.post(f"{gateway.url}/{path}", json=body, headers=headers) as refused:
            assert (refused.status, (await refused.json())["error"]["code"]) == (400, NOT_FOUND["code"])
    assert len(provider.requests) + len(other.requests) == asked, "the provider was not asked"
    for fields in ({}, {"model": "small"}):
        id, model, _ = await ask(ann_asks, HARD, before=id, **fields)
        assert model == "small"


@pytest.mark.parametrize("stream", [False, True])
async def test_an_item_is_only_for_the_key_that_its_response_was_given_to(
    tables: dict[str, Any], start: Start, other: Provider, tmp_path: Path, stream: bool
) -> None:
    thought = {"id": "rs_1", "type": "reasoning", "summary": []}
    response = {**RESPONSE_TEXT, "output": [thought, *RESPONSE_TEXT["output"]]}
    if stream:
        done = [
            {"type": "response.created", "sequence_number": 0, "response": {**response, "output": []}},
            {"type": "response.output_item.done", "sequence_number": 1, "output_index": 0, "item": thought},
            {
                "type": "response.completed",
                "sequence_number": 2,
                "response": {**response, "output": response["output"][1:]},
            },
        ]
        other.script = [streamed(*(named(event) for event in done))]
    other.default = plain(response)
    ann, bob = keys(tmp_path)
    gateway = await start(**tables)
    answer = await held_by(ann, gateway).openai.responses.create(model="auto", input=EASY, stream=stream)
    if stream:
        assert [event.type async for event in answer][-1] == "response.completed"
    text = {"role": "user", "content": EASY}
    for item in (
        {"type": "item_reference", "id": "rs_1"},
        {"type": "item_reference", "id": "msg_1"},
        {"id": "msg_1"},
        {"id": "msg_1", "type": None, "role": None},
        thought,
        {**thought, "encrypted_content": ""},
        {"type": "image_generation_call", "id": "msg_1"},
        {"type": "image_generation_call", "id": "msg_1", "result": None},
    ):
        with pytest.raises(BadRequestError) as caught:
            await ask(held_by(bob, gateway), [text, item])
        assert (caught.value.code, caught.value.param) == ("item_not_found", "input[1]")
        assert (await ask(held_by(ann, gateway), [text, item]))[1] == "small"
    for item in (
        {"type": "item_reference", "id": "msg_that_never_was"},
        {"type": "item_reference", "id": ["msg_1"]},
    ):
        with pytest.raises(BadRequestError, match="The item is none"):
            await ask(held_by(ann, gateway), [text, item])
    for item in (
        {**thought, "encrypted_content": "x"},
        {"type": "reasoning", "summary": []},
        {"type": "image_generation_call", "id": "msg_1", "result": "aW1hZ2U="},
        {"type": ["reasoning"], "id": "rs_1"},
        RESPONSE_TEXT["output"][0],
    ):
        assert (await ask(held_by(bob, gateway), [item, text]))[1] == "small", "it holds what it says"


async def test_fields_of_other_protocols_that_are_called_alike_mean_nothing(
    tables: dict[str, Any], start: Start, other: Provider, tmp_path: Path
) -> None:
    ann, _ = keys(tmp_path)
    gateway = held_by(ann, await start(**tables))
    alike = {"conversation": "c", "previous_response_id": "p", "input": [{"id": "i"}, "j"]}
    other.default = plain(chat_answer("Hello."))
    answer = await gateway.openai.chat.completions.with_raw_response.create(
        model="auto", messages=[{"role": "user", "content": EASY}], extra_body=alike
    )
    assert "earlier response" not in answer.headers["x-turnout-reason"]
    assert {key: other.requests[-1].body[key] for key in alike} == alike
    headers = {"Authorization": f"Bearer {ann}"}
    body = {"model": "auto", "messages": [{"role": "user", "content": EASY}], **alike}
    async with gateway.http.post(f"{gateway.url}/route", json=body, headers=headers) as decided:
        assert decided.status == 200


async def test_without_keys_any_item_may_be_referred_to(tables: dict[str, Any], start: Start) -> None:
    gateway = await start(**tables)
    items = [{"type": "item_reference", "id": "msg_7"}, {"role": "user", "content": EASY}]
    assert (await ask(gateway, items))[1] == "small"


async def test_a_conversation_belongs_to_no_key_unless_the_gateway_gave_it(
    tables: dict[str, Any], start: Start, tmp_path: Path
) -> None:
    ann, bob = keys(tmp_path)
    gateway = await start(**tables)
    id, _, _ = await ask(held_by(ann, gateway), EASY)
    for fields in ({"conversation": "conv_1"}, {"conversation": {"id": "conv_1"}}, {"conversation": {"ID": "conv_1"}}):
        with pytest.raises(BadRequestError) as caught:
            await ask(held_by(bob, gateway), EASY, **fields)
        assert caught.value.code == "conversation_not_found"
        assert caught.value.param == "conversation"
    with pytest.raises(BadRequestError, match="The conversation is none"):
        await ask(held_by(ann, gateway), EASY, before=id, conversation="conv_1")


async def test_what_was_given_before_there_were_keys_is_no_ones(
    tables: dict[str, Any], start: Start, tmp_path: Path
) -> None:
    gateway = await start(**tables)
    id, _, _ = await ask(gateway, EASY)
    assert (await ask(gateway, HARD, before=id))[2] == "holds the earlier response", "without keys as ever"
    await gateway.app.stored_responses.written()
    (ann,) = keys(tmp_path, 1)
    later = await start(**tables)
    with pytest.raises(BadRequestError, match="none that this gateway gave to this key"):
        await ask(held_by(ann, later), HARD, before=id)


async def test_all_workers_and_the_next_start_know_whose_a_response_is(
    tables: dict[str, Any], start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remembered, "READ_LIMIT_S", 30.0)
    ann, bob = keys(tmp_path)
    first = await start(**tables, server={"workers": 2})
    second = await start(**tables, server={"workers": 2})
    id, _, _ = await ask(held_by(ann, first), EASY)
    assert (await ask(held_by(ann, second), HARD, before=id))[1] == "small"
    await first.app.stored_responses.written()
    started_later = await start(**tables)
    for gateway in (second, started_later):
        with pytest.raises(BadRequestError):
            await ask(held_by(bob, gateway), HARD, before=id)
        assert (await ask(held_by(ann, gateway), HARD, before=id))[1] == "small"


async def test_who_leaves_in_mid_stream_can_come_back_to_the_response(
    tables: dict[str, Any], start: Start, other: Provider, tmp_path: Path
) -> None:
    (ann,) = keys(tmp_path, 1)
    gateway = await start(**tables)
    created = {"type": "response.created", "sequence_number": 0, "response": {**RESPONSE_TEXT, "id": "resp_cut"}}
    other.script = [streamed(named(created), 30.0)]
    stream = await held_by(ann, gateway).openai.responses.create(model="auto", input=EASY, stream=True)
    async for event in stream:
        assert event.type == "response.created"
        break
    await stream.close()
    assert (await gateway.entries())[0].status == 499
    other.default = plain(RESPONSE_TEXT)
    assert (await ask(held_by(ann, gateway), EASY, before="resp_cut"))[2] == "holds the earlier response"


async def test_a_ledger_that_cannot_say_whose_it_is_is_no_proof(tmp_path: Path) -> None:
    class Broken(LedgerCalls):
        async def run(self, step: object) -> object:  # type: ignore[override]
            raise LedgerError("The ledger is gone.")

    database = SqliteDatabase(tmp_path / "ledger.sqlite3")
    with closing(open_ledger(database, create=True)) as connection:
        key, _ = create_key(connection)
    stored = StoredResponses(Broken(database), shared=True)
    with pytest.raises(RequestError) as caught:
        await stored.find_followed({"previous_response_id": "resp_1"}, Caller(key.id, key))
    assert (caught.value.status, caught.value.code) == (503, "responses_unavailable")
    assert await stored.find_followed({"previous_response_id": "resp_1"}, ANYONE) is None
    assert await stored.find_followed({"input": "x"}, Caller(key.id, key)) is None


@pytest.mark.parametrize("kind", KINDS)
async def test_responses_are_kept_as_long_as_a_provider_keeps_them(kind: str, tmp_path: Path) -> None:
    now = 1_000_000.0
    place = StoredResponse("big", now, "big 2")
    with empty_database(kind, tmp_path) as database:
        open_ledger(database, create=True).close()
        first = StoredResponses(LedgerCalls(database), clock=lambda: now)
        first.keep(key_of("resp_1"), place)
        await first.aclose()
        for later, expected in ((KEPT_S - 1, place), (KEPT_S + 1, None)):
            second = StoredResponses(LedgerCalls(database), clock=lambda: now + later)  # noqa: B023
            assert await second.find(key_of("resp_1")) == expected
            await second.aclose()


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"previous_response_id": "r", "conversation": "c"}, "r"),
        ({"conversation": {"id": "c"}}, "c"),
        ({"previous_response_id": None}, None),
        ({"previous_response_id": 3}, None),
        ({"previous_response_id": ""}, None),
        ({"previous_response_id": "r" * 10_000}, None),
        ({"conversation": {"id": ["c"]}}, None),
    ],
)
def test_what_a_request_follows_up_on(body: dict[str, Any], expected: str | None) -> None:
    assert followed(body) == expected
    assert conversation_id(body) in (expected, "c", None)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b'{"id": "r"}', "r"),
        (b' \n{"id": "r"}', "r"),
        (b'{"id": 3}', None),
        (b"[]", None),
        (b"{", None),
        (b"", None),
        (b": ping\n\n", None),
        (b'event: x\r\ndata: {"response": {"id": "r"}}\r\n\r\n', "r"),
        (b'data: {"id": "not the response"}\n\ndata: {"response": {"id": "r"}}\n\n', "r"),
        (b"data: [DONE]\n\n", None),
    ],
)
def test_the_id_of_an_answer(content: bytes, expected: str | None) -> None:
    assert response_id(content) == expected


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b'{"output": [{"id": "a"}, {"id": "b"}, {"id": 3}, 3]}', {"a", "b"}),
        (b'{"output": {"id": "a"}}', set()),
        (b'{"id": "r"}', set()),
        (b"{", set()),
        (b"", set()),
        (b'data: {"type": "response.output_item.done", "item": {"id": "a"}}\n\ndata: {"item": 3}\n\n', {"a"}),
        (b'data: {"type": "response.output_item.done", "item": {"id": "a"}}\r\n\r\ndata: [DONE]\r\n\r\n', {"a"}),
        (b'data: {"type": "response.completed", "response": {"output": [{"id": "a"}]}}\n\n', {"a"}),
        (b'data: {"type": "response.output_text.delta", "item_id": "a"}\n\n', set()),
        (b": ping\n\n", set()),
    ],
)
def test_the_ids_of_what_an_answer_put_out(content: bytes, expected: set[str]) -> None:
    assert item_ids(content) == expected


def test_two_models_share_a_store_if_one_account_at_one_address_has_both() -> None:
    def model(name: str, url: str = "https://a/v1", key: str = "KEY", native: bool = True) -> ModelConfig:
        return ModelConfig(name, url, key, native_responses=native)

    assert share_a_store(model("x"), model("y"))
    assert not share_a_store(model("x"), model("y", url="https://b/v1"))
    assert not share_a_store(model("x"), model("y", key="OTHER"))
    assert not share_a_store(model("x"), model("y", native=False))


def test_ids_are_hashed() -> None:
    assert len(key_of("resp_1")) == 32
    ids = [key_of(id, caller) for id in ("resp_1", "resp_2") for caller in (ANYONE, Caller("k1"), Caller("k2"))]
    assert len(set(ids)) == 6
    assert key_of("resp_1") == hashlib.blake2b(b"resp_1", digest_size=16).hexdigest(), "as before keys counted"
