"""Requests that cannot be served: each is refused with a status, a code and a way out."""

from __future__ import annotations

import asyncio
import io
import json
from typing import Any

import pytest
from running_gateway import Start
from scripted_provider import Provider

EASY = [{"role": "user", "content": "an easy one"}]


@pytest.mark.parametrize(
    ("body", "status", "code", "words"),
    [
        (b"{", 400, "invalid_json", "not valid JSON"),
        (b"", 400, "invalid_json", "not valid JSON"),
        (b"\xff\xfe", 400, "invalid_json", "not valid JSON"),
        (b'{"model": "auto", "messages": [NaN]}', 400, "invalid_json", "not valid JSON"),
        (b"[" * 100_000, 400, "invalid_json", "not valid JSON"),
        (b"[]", 400, "invalid_type", "JSON object"),
        ({"messages": EASY}, 400, None, "'model' must be given"),
        ({"model": 3, "messages": EASY}, 400, None, "'model' must be given"),
        ({"model": "auto"}, 400, None, "'messages' is missing"),
        ({"model": "auto", "messages": []}, 400, None, "at least one message"),
        ({"model": "auto", "messages": "hello"}, 400, None, "must be a list"),
        ({"model": "auto", "messages": [EASY[0], "x"]}, 400, None, "messages[1]"),
        ({"model": "auto", "messages": EASY, "stream": "yes"}, 400, None, "'stream' must be true or false"),
        ({"model": "atuo", "messages": EASY}, 404, "model_not_found", "Did you mean 'auto'"),
        ({"model": "x" * 100_000, "messages": EASY}, 404, "model_not_found", "does not exist here"),
    ],
)
async def test_a_bad_request_is_told_what_is_wrong(
    provider: Provider, start: Start, body: Any, status: int, code: str | None, words: str
) -> None:
    gateway = await start()
    seen, headers, answer = await gateway.post(body)
    assert (seen, answer["error"]["code"]) == (status, code)
    assert words in answer["error"]["message"]
    assert len(answer["error"]["message"]) < 1_000
    assert headers["content-type"] == "application/json"
    assert not provider.requests, "nothing was spent"
    assert gateway.app.counters.refused == 1


@pytest.mark.parametrize("chunked", [False, True], ids=["declared", "chunked"])
async def test_a_50_mb_body_is_refused_without_being_held(provider: Provider, start: Start, chunked: bool) -> None:
    gateway = await start(server={"max_body_bytes": 1_000_000})
    megabyte = b"x" * 1_000_000

    async def parts() -> Any:
        for _ in range(50):
            yield megabyte

    data = parts() if chunked else io.BytesIO(megabyte * 50)
    async with gateway.http.post(f"{gateway.url}/chat/completions", data=data) as response:
        answer = await response.json()
    assert response.status == 413
    assert answer["error"]["code"] == "request_too_large"
    status, _, _ = await gateway.post({"model": "auto", "messages": EASY})
    assert status == 200, "the gateway goes on"


async def test_a_compressed_body_is_refused(provider: Provider, start: Start) -> None:
    gateway = await start()
    status, _, answer = await gateway.post(b"\x1f\x8b", headers={"Content-Encoding": "gzip"})
    assert (status, answer["error"]["code"]) == (415, "unsupported_encoding")


async def test_unknown_paths_and_methods(provider: Provider, start: Start) -> None:
    gateway = await start()
    async with gateway.http.get(f"{gateway.url}/chat/completions") as response:
        assert response.status == 405
        assert response.headers["allow"] == "POST"
        assert (await response.json())["error"]["code"] == "method_not_allowed"
    async with gateway.http.post(f"{gateway.url}/nothing", data=b"{}") as response:
        assert response.status == 404
        assert (await response.json())["error"]["code"] == "not_found"


async def test_list_content_that_is_not_text_is_the_providers_business(provider: Provider, start: Start) -> None:
    gateway = await start()
    odd = [{"role": "user", "content": [17, None, {"type": "text"}, {"type": "video", "x": []}]}, {"role": 3}]
    status, _, _ = await gateway.post({"model": "auto", "messages": odd})
    assert status == 200
    assert provider.requests[0].body["messages"] == odd


async def test_a_gateway_mounted_below_a_path_starts_itself(provider: Provider, start: Start) -> None:
    app = (await start()).app
    await app.shutdown()
    body = json.dumps({"model": "auto", "messages": EASY}).encode()
    received = iter([{"type": "http.request", "body": body, "more_body": False}])
    sent: list[Any] = []

    async def receive() -> Any:
        for message in received:
            return message
        return await asyncio.Event().wait()

    async def send(message: Any) -> None:
        sent.append(message)

    path = "/llm/v1/chat/completions"
    scope = {"type": "http", "method": "POST", "path": path, "root_path": "/llm", "headers": [(b"host", b"localhost")]}
    await app(scope, receive, send)
    assert sent[0]["status"] == 200
    assert app.ledger is not None
    await app.shutdown()
    assert app.ledger.written == 1
