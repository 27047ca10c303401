from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator

import pytest
from scripted_provider import (
    Provider,
    answer,
    chunk,
    event,
    good_stream,
    hang,
    hang_up,
    plain,
    streamed,
)

from turnout.call_limits import Retries, TimeLimits
from turnout.chat_client import ChatClient
from turnout.errors import (
    UpstreamError,
    UpstreamProtocolError,
    UpstreamStatusError,
    UpstreamTimeoutError,
    UpstreamUnreachableError,
)

BODY = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
SOON = Retries(most=2, first_wait_s=0.01, longest_wait_s=0.5)


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    async with Provider() as provider:
        yield provider


async def test_ask_gives_the_parsed_answer_and_sends_the_key(provider: Provider) -> None:
    async with ChatClient(provider.base_url + "/", api_key="sk-1") as client:
        assert await client.ask(BODY) == answer()
    (request,) = provider.requests
    assert (request.path, request.body) == ("/v1/chat/completions", BODY)
    assert request.headers["authorization"] == "Bearer sk-1"
    assert request.headers["content-type"] == "application/json"


async def test_a_client_without_a_key_sends_none_and_shows_none(provider: Provider) -> None:
    async with ChatClient(provider.base_url) as client:
        await client.ask(BODY)
    assert "authorization" not in provider.requests[0].headers
    assert "sk-1" not in repr(ChatClient(provider.base_url, api_key="sk-1"))


async def test_connections_are_used_again(provider: Provider) -> None:
    ports = set()

    async def note_port(provider: Provider, request: object, writer: asyncio.StreamWriter) -> None:
        ports.add(writer.get_extra_info("peername"))
        await plain()(provider, request, writer)  # type: ignore[arg-type]

    provider.default = note_port
    async with ChatClient(provider.base_url) as client:
        for _ in range(3):
            await client.ask(BODY)
    assert len(ports) == 1


async def test_stream_gives_each_chunk_as_it_arrives(provider: Provider) -> None:
    provider.script = [good_stream(usage=False)]
    async with ChatClient(provider.base_url) as client:
        chunks = [part async for part in client.stream(BODY)]
    assert [part["choices"][0]["delta"].get("content") for part in chunks] == ["Pa", "ris.", None]
    assert provider.requests[0].body == {**BODY, "stream": True}


async def test_statuses_worth_it_are_tried_again_and_retry_after_is_kept_to(provider: Provider) -> None:
    provider.script = [plain(status="503 Busy", headers=["Retry-After: 0.2"]), hang_up]
    started = time.monotonic()
    async with ChatClient(provider.base_url, retries=SOON) as client:
        assert await client.ask(BODY) == answer()
    assert len(provider.requests) == 3
    assert time.monotonic() - started >= 0.2


async def test_retries_end_and_the_status_is_told(provider: Provider) -> None:
    provider.default = plain({"error": "no"}, status="429 Slow", headers=["Retry-After: 0"])
    async with ChatClient(provider.base_url, retries=SOON) as client:
        with pytest.raises(UpstreamStatusError, match="429") as caught:
            await client.ask(BODY)
    assert len(provider.requests) == 3
    assert (caught.value.status, caught.value.body, caught.value.retry_after_s) == (429, b'{"error": "no"}', 0.0)


async def test_a_wait_that_is_too_long_is_not_waited_for(provider: Provider) -> None:
    provider.default = plain(status="429 Slow", headers=["Retry-After: 3600"])
    async with ChatClient(provider.base_url, retries=SOON) as client:
        with pytest.raises(UpstreamStatusError) as caught:
            await client.ask(BODY)
    assert len(provider.requests) == 1
    assert caught.value.retry_after_s == 3600


async def test_a_clients_mistake_is_not_tried_again(provider: Provider) -> None:
    provider.default = plain(status="400 Bad")
    async with ChatClient(provider.base_url, retries=SOON) as client:
        with pytest.raises(UpstreamStatusError):
            await client.ask(BODY)
    assert len(provider.requests) == 1


async def test_nothing_is_retried_after_the_first_byte(provider: Provider) -> None:
    provider.default = streamed(event(chunk("Pa")), end=False)
    async with ChatClient(provider.base_url, retries=SOON) as client:
        with pytest.raises(UpstreamUnreachableError):
            async for _ in client.stream(BODY):
                pass
    assert len(provider.requests) == 1


@pytest.mark.parametrize(
    ("limits", "limit"),
    [
        (TimeLimits(first_byte_s=0.2), "first_byte_s"),
        (TimeLimits(whole_s=0.2), "whole_s"),
    ],
)
async def test_a_timeout_names_the_limit(provider: Provider, limits: TimeLimits, limit: str) -> None:
    provider.default = hang
    async with ChatClient(provider.base_url, limits=limits) as client:
        with pytest.raises(UpstreamTimeoutError, match=f"{limit} = 0.2"):
            await client.ask(BODY)


async def test_silence_between_chunks_and_a_drip_without_end_run_out_of_time(provider: Provider) -> None:
    provider.default = streamed(event(chunk("Pa")), 5.0)
    async with ChatClient(provider.base_url, limits=TimeLimits(between_chunks_s=0.2)) as client:
        with pytest.raises(UpstreamTimeoutError, match="between_chunks_s"):
            async for _ in client.stream(BODY):
                pass
    drip = [part for _ in range(50) for part in (event(chunk("x")), 0.05)]
    provider.default = streamed(*drip)
    async with ChatClient(provider.base_url, limits=TimeLimits(whole_s=0.4)) as client:
        with pytest.raises(UpstreamTimeoutError, match="whole_s"):
            async for _ in client.stream(BODY):
                pass


async def test_cancelling_a_call_is_not_taken_for_a_timeout(provider: Provider) -> None:
    provider.default = hang
    async with ChatClient(provider.base_url) as client:
        task = asyncio.create_task(client.ask(BODY))
        await provider.asked()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_nobody_listening_is_unreachable() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    async with ChatClient(url, retries=Retries(most=0)) as client:
        with pytest.raises(UpstreamUnreachableError, match="refused or broke"):
            await client.ask(BODY)


@pytest.mark.parametrize(
    "content", [b"rubbish", b"[1]", b'{"a": "' + b"x" * 5000 + b'"}'], ids=["rubbish", "list", "too-large"]
)
async def test_answers_that_are_not_the_protocol(provider: Provider, content: bytes) -> None:
    provider.default = plain(content)
    async with ChatClient(provider.base_url, max_answer_bytes=4000) as client:
        with pytest.raises(UpstreamProtocolError):
            await client.ask(BODY)


async def test_streams_that_are_not_the_protocol(provider: Provider) -> None:
    for bad in (b"data: rubbish\n\n", event({"error": {"message": "no"}}), b"data: " + b"x" * 5000):
        provider.default = streamed(bad)
        async with ChatClient(provider.base_url, max_event_bytes=4000) as client:
            with pytest.raises(UpstreamError):
                async for _ in client.stream(BODY):
                    pass
    provider.default = plain(status="500 Oops")
    async with ChatClient(provider.base_url, retries=Retries(most=0)) as client:
        with pytest.raises(UpstreamStatusError):
            async for _ in client.stream(BODY):
                pass


async def test_redirects_are_not_followed(provider: Provider) -> None:
    provider.default = plain(status="307 There", headers=[f"Location: {provider.base_url}/elsewhere"])
    async with ChatClient(provider.base_url, api_key="sk-1") as client:
        with pytest.raises(UpstreamStatusError, match="307"):
            await client.ask(BODY)
    assert len(provider.requests) == 1


async def test_a_large_body_goes_out_whole(provider: Provider) -> None:
    body = {**BODY, "padding": "x" * 3_000_000}
    async with ChatClient(provider.base_url) as client:
        await client.ask(body)
    assert provider.requests[0].body == body
