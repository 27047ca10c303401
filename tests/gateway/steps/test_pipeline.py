"""The path of a request: which seam is asked when, and what each may stop."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest

from turnout.chat_client import ConnectionPool
from turnout.config import parse_config
from turnout.errors import UpstreamUnreachableError
from turnout.gateway.asgi import ClientLeft, Message, Scope
from turnout.gateway.choosing.chooser import Chooser
from turnout.gateway.choosing.routes import load_routes
from turnout.gateway.counters import Counters
from turnout.gateway.errors import RequestError
from turnout.gateway.limits.caller import ANYONE, Caller
from turnout.gateway.protocols.base import ModelRequest
from turnout.gateway.protocols.openai_chat import OPENAI_CHAT
from turnout.gateway.steps.account import Account
from turnout.gateway.steps.pipeline import Pipeline

MODELS = {"big": {"base_url": "http://127.0.0.1:1/v1"}, "small": {"base_url": "http://127.0.0.1:1/v1"}}
BODY = b'{"model": "big", "messages": [{"role": "user", "content": "Name a river."}], "max_tokens": 7}'


class Answer:
    """A provider's answer out of nowhere."""

    status = 200
    headers: Mapping[str, str] = {}

    async def read(self) -> bytes:
        return b'{"usage": {"prompt_tokens": 3, "completion_tokens": 4}}'

    async def drain(self) -> None:
        pass


class Seams:
    """All seams in one, each noting its turn; `stop` names the one that raises `error`."""

    def __init__(self, stop: str | None = None, error: Exception | None = None) -> None:
        self.turns: list[str] = []
        self.accounts: list[Account] = []
        self._stop = stop
        self._error = error

    def _turn(self, name: str) -> None:
        self.turns.append(name)
        if name == self._stop:
            assert self._error is not None
            raise self._error

    def authenticate(self, scope: Scope) -> Caller:
        self._turn("authenticate")
        return ANYONE

    def admit(self, caller: Caller, request: ModelRequest) -> None:
        self._turn("admit")
        assert (request.model, request.max_output_tokens()) == ("big", 7)

    async def reserve(self, account: Account) -> None:
        self._turn("reserve")

    @asynccontextmanager
    async def open(self, account: Account, headers: Mapping[str, str]) -> Any:
        self._turn("open")
        account.bridge, account.called = OPENAI_CHAT.bridge_to(account.model.config), account.started
        yield Answer()

    def settle(self, account: Account) -> None:
        self._turn("settle")

    def record(self, account: Account) -> None:
        self._turn("record")
        self.accounts.append(account)


async def ask(seams: Seams, *, leaves: bool = False) -> tuple[int, Any]:
    """The status and the body that a client sees."""
    config = parse_config({"models": MODELS})
    counters = Counters()
    pipeline = Pipeline(
        load_routes(config, ConnectionPool()),
        access=seams,
        chooser=Chooser(counters),
        upstream=seams,
        recorders=[seams],
        counters=counters,
        max_body_bytes=1000,
        forward_headers=(),
    )
    sent: list[Message] = []

    async def receive() -> Message:
        seams.turns.append("receive")
        return {"type": "http.request", "body": BODY}

    async def send(message: Message) -> None:
        if leaves:
            raise OSError
        sent.append(message)

    await pipeline.serve(OPENAI_CHAT, {"type": "http", "headers": []}, receive, send)
    return sent[0]["status"], json.loads(b"".join(message["body"] for message in sent[1:]))


async def test_each_seam_has_its_turn() -> None:
    seams = Seams()
    status, body = await ask(seams)
    assert (status, body["usage"]["prompt_tokens"]) == (200, 3)
    assert seams.turns == ["authenticate", "receive", "admit", "reserve", "open", "settle", "record"]
    (account,) = seams.accounts
    assert (account.status, account.error, account.model.name) == (200, None, "big")
    assert account.usage is not None
    assert (account.usage.input_tokens, account.usage.output_tokens) == (3, 4)


@pytest.mark.parametrize(
    ("stop", "turns"),
    [
        ("authenticate", ["authenticate", "receive"]),  # the body is read to be forgotten, after the answer
        ("admit", ["authenticate", "receive", "admit"]),
        ("reserve", ["authenticate", "receive", "admit", "reserve", "record"]),
        ("open", ["authenticate", "receive", "admit", "reserve", "open", "settle", "record"]),
    ],
)
async def test_a_seam_that_refuses_ends_the_request(stop: str, turns: list[str]) -> None:
    seams = Seams(stop, RequestError(429, "Not now.", code="not_now", headers=((b"retry-after", b"3"),)))
    status, body = await ask(seams)
    assert (status, body["error"]["code"]) == (429, "not_now")
    assert seams.turns == turns
    assert [(account.status, account.error) for account in seams.accounts] == [(429, "not_now")] * ("record" in turns)


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (UpstreamUnreachableError("gone"), 502, "upstream_unreachable"),
        (ZeroDivisionError("a defect"), 500, "internal_error"),
    ],
)
async def test_what_was_reserved_is_settled_and_recorded_whatever_happens(
    error: Exception, status: int, code: str
) -> None:
    seams = Seams("open", error)
    seen, body = await ask(seams)
    assert (seen, body["error"]["code"]) == (status, code)
    assert seams.turns[-2:] == ["settle", "record"]
    assert (seams.accounts[0].status, seams.accounts[0].error) == (status, code)


async def test_what_was_reserved_is_settled_when_the_client_leaves() -> None:
    seams = Seams()
    with pytest.raises(ClientLeft):
        await ask(seams, leaves=True)
    assert seams.turns[-2:] == ["settle", "record"]
    assert (seams.accounts[0].status, seams.accounts[0].error) == (499, "client_left")
