"""Providers that refuse, hang, cut off or send rubbish, and clients that leave: what each of them sees."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import time
from pathlib import Path
from typing import Any

import pytest
from openai import APIError, APIStatusError
from running_gateway import KeywordRouter, Start
from scripted_provider import (
    PROVIDER_KEY,
    STREAM_HEAD,
    Provider,
    Reply,
    Request,
    chunk,
    event,
    framed,
    good_stream,
    hang,
    hang_up,
    plain,
    streamed,
)

EASY = [{"role": "user", "content": "an easy one"}]
HARD = [{"role": "user", "content": "a hard one"}]
FAST = {"first_byte_s": 0.3, "between_chunks_s": 0.3}
"""Short limits, only where one is to run out: on a busy machine they would run out elsewhere, too."""
HTML = b"<html>Bad Gateway</html>"


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize(
    ("reply", "status", "code"),
    [
        (hang, 504, "upstream_timeout"),
        (hang_up, 502, "upstream_unreachable"),
        (plain(b"this is not json"), 502, "upstream_protocol_error"),
        (plain(b'["a list"]'), 502, "upstream_protocol_error"),
        (plain(b"x" * 3000), 502, "upstream_protocol_error"),
        (plain(HTML, status="301 Moved", headers=["Location: http://evil.example/"]), 502, "upstream_protocol_error"),
        (plain(HTML, status="500 Oops"), 500, "upstream_status_500"),
        (plain(HTML, status="403 Forbidden"), 403, "upstream_status_403"),
        (streamed(b"data: {", end=False), 502, "upstream_unreachable"),
        (streamed(b"data: rubbish\n\n"), 502, "upstream_protocol_error"),
        (streamed(head=b"rubbish\r\n\r\n"), 502, "upstream_protocol_error"),
    ],
    ids=["hang", "hang-up", "not-json", "list", "huge", "redirect", "500", "403", "cut", "rubbish", "not-http"],
)
async def test_a_fault_before_the_first_byte_is_an_openai_shaped_error(
    provider: Provider, start: Start, reply: Reply, status: int, code: str, stream: bool
) -> None:
    gateway = await start(upstream={**(FAST if reply is hang else {}), "max_answer_bytes": 2000})
    provider.default = reply
    seen, headers, body = await gateway.post({"model": "auto", "messages": EASY, "stream": stream})
    assert seen == status
    assert set(body["error"]) == {"message", "type", "param", "code"}
    assert "127.0.0.1" not in body["error"]["message"], "inner addresses are not the client's business"
    assert body["error"]["code"] == code
    assert headers["x-turnout-model"] == "small"
    (row,) = await gateway.entries()
    assert row.status == status
    assert row.error == body["error"]["code"]


async def test_a_refused_connection_is_a_502(provider: Provider, start: Start) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    gateway = await start(models={"gone": {"base_url": nobody}}, routes={})
    with pytest.raises(APIStatusError) as caught:
        await gateway.openai.chat.completions.create(model="gone", messages=EASY)  # type: ignore[arg-type]
    assert caught.value.status_code == 502
    assert caught.value.code == "upstream_unreachable"


async def test_a_connection_that_broke_before_the_first_byte_is_tried_once_more(
    provider: Provider, start: Start
) -> None:
    gateway = await start()
    provider.script = [hang_up]
    status, _, _ = await gateway.post({"model": "auto", "messages": EASY})
    assert status == 200
    assert len(provider.requests) == 2


async def test_429_comes_back_with_its_retry_after_and_is_not_retried(provider: Provider, start: Start) -> None:
    error = {"error": {"message": "slow down", "type": "rate_limit_error", "param": None, "code": "rate_limited"}}
    provider.default = plain(error, status="429 Too Many Requests", headers=["Retry-After: 7"])
    gateway = await start()
    status, headers, body = await gateway.post({"model": "auto", "messages": EASY})
    assert (status, headers["Retry-After"], body) == (429, "7", error)
    assert len(provider.requests) == 1


async def test_a_key_in_a_providers_error_is_struck_out(provider: Provider, start: Start) -> None:
    provider.default = plain({"error": {"message": f"bad key {PROVIDER_KEY}"}}, status="401 Unauthorized")
    gateway = await start()
    status, _, body = await gateway.post({"model": "big", "messages": EASY})
    assert status == 401
    assert body["error"]["message"] == "bad key ***"


@pytest.mark.parametrize(
    ("parts", "code"),
    [
        (streamed(event(chunk("Pa")), 20.0), "upstream_timeout"),
        (streamed(event(chunk("Pa")), end=False), "upstream_unreachable"),
        (streamed(event(chunk("Pa")), end=False, reset=True), "upstream_unreachable"),
        (streamed(event(chunk("Pa"))), "upstream_unreachable"),
        (streamed(event(chunk("Pa")), b"data: {]\n\n"), "upstream_protocol_error"),
        (streamed(event(chunk("Pa")) + b"data: 17\n\n" + event(chunk("ris"))), "upstream_protocol_error"),
        (streamed(event(chunk("Pa")), b"data: " + b"x" * 5000), "upstream_protocol_error"),
    ],
    ids=["hang", "cut", "reset", "no-end", "rubbish", "rubbish-in-one-chunk", "huge-event"],
)
async def test_a_fault_in_mid_stream_ends_it_with_an_error_and_without_done(
    provider: Provider, start: Start, parts: Reply, code: str
) -> None:
    limits = {"between_chunks_s": 0.3} if code == "upstream_timeout" else {}
    gateway = await start(upstream={**limits, "max_event_bytes": 4000})
    provider.default = parts
    status, _, content = await gateway.post({"model": "auto", "messages": EASY, "stream": True})
    events = content.decode().strip().split("\n\n")
    assert status == 200
    assert json.loads(events[0].removeprefix("data: "))["choices"][0]["delta"]["content"] == "Pa"
    assert json.loads(events[-1].removeprefix("data: "))["error"]["code"] == code
    assert len(events) == 2
    assert "[DONE]" not in content.decode()
    with pytest.raises(APIError):
        async for _ in await gateway.openai.chat.completions.create(model="auto", messages=EASY, stream=True):  # type: ignore[arg-type, attr-defined]
            pass
    rows = await gateway.entries(2)
    assert [(row.status, row.error) for row in rows] == [(200, code)] * 2


async def test_a_stream_without_done_is_whole_if_it_said_that_it_had_finished(provider: Provider, start: Start) -> None:
    gateway = await start()
    sent = event(chunk("Paris.")) + event(chunk(finish="stop"))
    provider.default = streamed(sent)
    _, _, content = await gateway.post({"model": "auto", "messages": EASY, "stream": True})
    assert content == sent, "a [DONE] that the provider did not send is not made up"
    (row,) = await gateway.entries()
    assert row.error is None


async def test_an_error_event_of_the_provider_is_passed_on_and_logged(provider: Provider, start: Start) -> None:
    gateway = await start()
    sent = event(chunk("Pa")) + event({"error": {"message": "overloaded"}})
    provider.default = streamed(sent)
    _, _, content = await gateway.post({"model": "auto", "messages": EASY, "stream": True})
    assert content == sent
    (row,) = await gateway.entries()
    assert row.error == "provider_error_in_stream"


async def test_odd_but_lawful_streams_pass_as_they_are(provider: Provider, start: Start) -> None:
    gateway = await start()
    sent = b": keep-alive\r\n\r\n" + event(chunk("Paris.")).replace(b"\n\n", b"\r\n\r\n") + b"data: [DONE]\r\n\r\n"
    provider.default = streamed(sent[:20], sent[20:31], sent[31:-1], sent[-1:])
    _, _, content = await gateway.post({"model": "auto", "messages": EASY, "stream": True})
    assert content == sent


async def test_a_slow_drip_is_passed_on_as_it_comes(provider: Provider, start: Start) -> None:
    gateway = await start()
    seen = asyncio.Event()

    async def drip(provider: Provider, request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM_HEAD + framed(event(chunk("Pa"))))
        async with asyncio.timeout(20):  # the first piece is not held back until there is a second
            await seen.wait()
        writer.write(framed(event(chunk("ris."))) + framed(b"data: [DONE]\n\n") + framed(b""))

    provider.default = drip
    body = json.dumps({"model": "auto", "messages": EASY, "stream": True})
    async with gateway.http.post(f"{gateway.url}/chat/completions", data=body) as response:
        assert b"Pa" in await response.content.readany()
        seen.set()
        assert (await response.content.read()).endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
async def test_a_client_that_leaves_takes_the_call_of_the_provider_with_it(
    provider: Provider, start: Start, stream: bool
) -> None:
    gateway = await start()
    provider.default = streamed(event(chunk("Pa")), 20.0) if stream else hang
    body = json.dumps({"model": "auto", "messages": EASY, "stream": stream})
    asking = asyncio.create_task(gateway.http.post(f"{gateway.url}/chat/completions", data=body))
    if stream:
        answer = await asking
        assert b"Pa" in await answer.content.readany()
        answer.close()
    else:
        await provider.asked()
        asking.cancel()
    async with asyncio.timeout(30):
        while not provider.clients_gone:
            await asyncio.sleep(0.01)
    (row,) = await gateway.entries()
    assert (row.status, row.error) == (499, "client_left")
    assert gateway.app.counters.clients_left == 1


async def test_a_failing_router_sends_to_strong_and_is_counted(
    provider: Provider, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(KeywordRouter):
        def predict_win_rate(self, queries: Any) -> Any:
            raise RuntimeError(f"cannot score {queries[0]}")

    gateway = await start(router=Broken())
    caplog.clear()
    with caplog.at_level(logging.ERROR):
        status, headers, _ = await gateway.post({"model": "auto", "messages": EASY})
    assert (status, headers["x-turnout-model"], headers["x-turnout-reason"]) == (200, "big", "router failed")
    assert gateway.app.counters.router_failures == 1
    assert "RuntimeError" in caplog.text
    assert "an easy one" not in caplog.text, "a prompt is not written into the log"


async def test_a_win_rate_that_is_not_a_number_goes_to_strong(provider: Provider, start: Start) -> None:
    class NotANumber(KeywordRouter):
        def predict_win_rate(self, queries: Any) -> Any:
            return super().predict_win_rate(queries) * float("nan")

    gateway = await start(router=NotANumber())
    _, headers, _ = await gateway.post({"model": "auto", "messages": EASY})
    assert (headers["x-turnout-model"], headers["x-turnout-reason"]) == ("big", "no win rate")
    (row,) = await gateway.entries()
    assert (row.win_rate, row.side) == (None, "strong")


async def test_no_key_stands_in_logs_answers_or_the_file(
    provider: Provider, start: Start, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    caplog.set_level(logging.DEBUG, logger="turnout")
    gateway = await start(upstream=FAST)
    seen = []
    for reply in (plain(), hang_up, hang_up, hang, plain(HTML, status="401 No"), good_stream()):
        provider.script.append(reply)
    for stream in (False, False, False, False, True):
        status, headers, body = await gateway.post({"model": "big", "messages": HARD, "stream": stream})
        seen.append(f"{status} {dict(headers)} {body}")
    await gateway.entries(5)
    files = b"".join(path.read_bytes() for path in tmp_path.glob("ledger.sqlite3*"))
    assert all(request.headers["authorization"] == f"Bearer {PROVIDER_KEY}" for request in provider.requests)
    for place in (caplog.text, "".join(seen), repr(gateway.app.routes.models), repr(vars(gateway.app))):
        assert PROVIDER_KEY not in place
    assert PROVIDER_KEY.encode() not in files


async def test_a_clock_that_is_set_back_makes_no_request_shorter_than_it_was(
    provider: Provider, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = await start()
    real, looks = time.time, 0

    def running_backwards() -> float:
        nonlocal looks
        looks += 1
        return real() - 3_600 * looks

    monkeypatch.setattr(time, "time", running_backwards)
    status, _, _ = await gateway.post({"model": "big", "messages": HARD})
    monkeypatch.undo()
    (entry,) = await gateway.entries()
    assert (status, entry.status) == (200, 200)
    assert entry.time < real() - 3_000, "it is the clock's time that is kept"
    assert entry.upstream_first_byte_s is not None
    assert entry.upstream_latency_s is not None
    assert 0 < entry.upstream_first_byte_s <= entry.upstream_latency_s <= entry.latency_s < 5
