"""Paths lead to their handlers, port by port; who asks wrongly is told so in the words of the path's protocol."""

from __future__ import annotations

import json
from typing import Any

import pytest

from turnout.config import ServerConfig
from turnout.gateway.asgi import ClientLeft, Message, Receive, Scope, Send, send_json
from turnout.gateway.browsers import BrowserGuard
from turnout.gateway.dispatch import Dispatcher, Paths
from turnout.gateway.steps.access import OpenAccess

METRICS_PORT = 9100


def scope_of(path: str, method: str = "GET", *, port: int = 8400, **more: Any) -> Scope:
    headers = [(b"host", b"localhost")]
    return {"type": "http", "path": path, "method": method, "server": ("127.0.0.1", port), "headers": headers, **more}


@pytest.fixture
def dispatcher() -> Dispatcher:
    guard = BrowserGuard(ServerConfig())
    made = Dispatcher(lambda: guard, guard, OpenAccess())

    async def hello(scope: Scope, receive: Receive, send: Send) -> None:
        await send_json(send, {"under_way": made.under_way})

    async def left(scope: Scope, receive: Receive, send: Send) -> None:
        raise ClientLeft

    async def broken(scope: Scope, receive: Receive, send: Send) -> None:
        raise ValueError("a secret")

    made.paths.add("GET", "/hello", hello)
    made.paths.add("GET", "/hello/", hello)
    made.paths.add("GET", "/left", left)
    made.paths.add("POST", "/v1/messages", broken)
    made.at_metrics_port.add("GET", "/metrics", hello)
    made.metrics_port = METRICS_PORT
    return made


async def ask(dispatcher: Dispatcher, scope: Scope) -> tuple[int, dict[bytes, bytes], Any]:
    """Status, headers and body; status 0 where nothing is answered."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.request"}

    await dispatcher.serve(scope, receive, send)
    if not sent:
        return 0, {}, None
    return sent[0]["status"], dict(sent[0]["headers"]), json.loads(sent[1]["body"])


def test_a_path_of_its_own_comes_before_the_beginning_of_one() -> None:
    async def one(scope: Scope, receive: Receive, send: Send) -> None: ...
    async def other(scope: Scope, receive: Receive, send: Send) -> None: ...

    paths = Paths()
    paths.add("GET", "/a/", one)
    paths.add("POST", "/a/b", other)
    assert paths.find("/a/b") == ("POST", other)
    assert paths.find("/a/b/c") == paths.find("/a/") == ("GET", one)
    assert paths.find("/a") is None
    assert paths.written_out() == {"/a/b"}


async def test_a_request_is_under_way_while_it_is_answered(dispatcher: Dispatcher) -> None:
    assert await ask(dispatcher, scope_of("/hello")) == (200, ANY_JSON, {"under_way": 1})
    assert (await ask(dispatcher, scope_of("/app/hello/you", root_path="/app")))[0] == 200
    assert (await ask(dispatcher, scope_of("/left")))[0] == 0
    assert dispatcher.under_way == 0


ANY_JSON = {b"content-type": b"application/json", b"content-length": b"15"}


async def test_each_port_has_its_own_paths(dispatcher: Dispatcher) -> None:
    assert (await ask(dispatcher, scope_of("/metrics")))[0] == 404
    assert (await ask(dispatcher, scope_of("/metrics", port=METRICS_PORT)))[0] == 200
    assert (await ask(dispatcher, scope_of("/hello", port=METRICS_PORT)))[0] == 404


async def test_only_the_operator_comes_to_the_port_for_metrics_or_from_this_machine(dispatcher: Dispatcher) -> None:
    elsewhere = {"headers": [(b"host", b"llm.example")]}
    assert dispatcher.is_operators(scope_of("/metrics"))
    assert not dispatcher.is_operators(scope_of("/metrics", **elsewhere))
    assert dispatcher.is_operators(scope_of("/metrics", port=METRICS_PORT, **elsewhere))


async def test_another_method_is_told_which_is_taken(dispatcher: Dispatcher) -> None:
    status, headers, body = await ask(dispatcher, scope_of("/hello", "POST"))
    assert (status, headers[b"allow"], body["error"]["code"]) == (405, b"GET", "method_not_allowed")
    assert (await ask(dispatcher, scope_of("/hello", "HEAD")))[0] == 200


async def test_a_failure_is_told_as_the_protocol_of_the_path_has_it_and_no_more(
    dispatcher: Dispatcher, caplog: pytest.LogCaptureFixture
) -> None:
    status, _, body = await ask(dispatcher, scope_of("/v1/messages", "POST"))
    assert status == 500
    assert body["type"] == "error"
    assert body["error"]["type"] == "api_error"
    assert "a secret" not in json.dumps(body)
    assert "a secret" in caplog.text
