"""The gateway beside other work of one event loop: it starts whole or says why not, and always closes."""

from __future__ import annotations

import asyncio
import sys
import threading
from pathlib import Path

import aiohttp
import pytest
from running_gateway import KeywordRouter, Start
from scripted_provider import Provider, chunk, event, streamed

from turnout import ModelPair
from turnout.config import parse_config
from turnout.errors import LedgerError
from turnout.gateway import server
from turnout.gateway.app import Gateway, build_app
from turnout.gateway.ledger.reading import read_entries
from turnout.gateway.server import listen, running


def gateway(folder: Path, ledger: str) -> Gateway:
    router = KeywordRouter()
    router.pair_ = ModelPair("big", "small")
    models = {name: {"base_url": "http://127.0.0.1:9/v1"} for name in ("big", "small")}
    routes = {"auto": {"router": "fake", "strong": "big", "weak": "small", "threshold": 0.5}}
    config = parse_config({"models": models, "routes": routes, "ledger": {"path": ledger}}, folder=folder)
    return build_app(config, routers={"fake": router})


def ledger_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "turnout-ledger"]


async def test_it_serves_while_the_block_runs(tmp_path: Path) -> None:
    opened = listen("127.0.0.1", 0)
    async with running(gateway(tmp_path, "ledger.sqlite3"), opened) as address, aiohttp.ClientSession() as http:
        assert address == f"http://127.0.0.1:{opened.getsockname()[1]}/v1"
        async with http.get(f"{address}/models") as answer:
            assert answer.status == 200
        assert ledger_threads()
    assert opened.fileno() == -1
    assert not ledger_threads()


async def test_what_cannot_start_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    opened = listen("127.0.0.1", 0)
    with pytest.raises(LedgerError, match="folder"):
        async with running(gateway(tmp_path, "folder"), opened):
            pytest.fail("it must not run")
    assert opened.fileno() == -1


async def test_being_cancelled_while_it_starts_leaves_nothing_open(tmp_path: Path) -> None:
    opened = listen("127.0.0.1", 0)

    async def serve() -> None:
        async with running(gateway(tmp_path, "ledger.sqlite3"), opened):
            await asyncio.Event().wait()

    serving = asyncio.create_task(serve())
    await asyncio.sleep(0)
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving
    assert opened.fileno() == -1
    assert not ledger_threads()


async def talk(gateway_url: str, *parts: bytes) -> bytes:
    """What a server says until it closes, to a client that sends these and waits."""
    host, port = gateway_url.removeprefix("http://").removesuffix("/v1").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
        return await asyncio.wait_for(reader.read(), 30)
    finally:
        writer.close()


async def test_headers_without_end_are_refused(start: Start) -> None:
    gateway = await start()
    try:
        said = await talk(gateway.url, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: ", *[b"a" * 1_000_000] * 20)
    except ConnectionError:
        return  # it was closed while we wrote
    assert said.startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n",
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{",
        b"GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\nGET /readyz HTTP/1.1\r\n",
    ],
    ids=["nothing", "half-a-head", "half-a-body", "a-second-half"],
)
async def test_a_request_that_does_not_arrive_in_time_is_not_waited_for(
    start: Start, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr(server, "ARRIVAL_LIMIT_S", 0.7)
    gateway = await start()
    said = await talk(gateway.url, sent)
    assert said.count(b"HTTP/1.1 200 OK") == sent.count(b"\r\n\r\nGET")
    async with gateway.http.get(f"{gateway.url}/models") as answer:
        assert answer.status == 200


async def test_a_request_that_arrived_may_take_its_time(
    provider: Provider, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "ARRIVAL_LIMIT_S", 0.7)
    gateway = await start()
    provider.default = streamed(event(chunk("Pa")), 1.0, event(chunk(finish="stop")), b"data: [DONE]\n\n")
    body = {"model": "small", "messages": [{"role": "user", "content": "Hi"}], "stream": True}
    _, _, content = await gateway.post(body)
    assert content.endswith(b"[DONE]\n\n")


async def test_a_stream_that_outlasts_the_drain_is_told_and_recorded(
    provider: Provider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "DRAIN_S", 1)
    provider.default = streamed(event(chunk("Pa")), 20.0)
    models = {"small": {"base_url": provider.base_url}}
    config = parse_config({"models": models, "ledger": {"path": "ledger.sqlite3"}}, folder=tmp_path)
    body = {"model": "small", "messages": [{"role": "user", "content": "Hi"}], "stream": True}
    async with aiohttp.ClientSession() as http:
        async with running(build_app(config), listen("127.0.0.1", 0)) as url:
            answer = await http.post(f"{url}/chat/completions", json=body)
            first = await answer.content.readany()
        rest = first + await answer.content.read()
    assert b"gateway_stopping" in rest
    (entry,) = read_entries(tmp_path / "ledger.sqlite3")
    assert (entry.status, entry.error) == (200, "gateway_stopping")


async def test_a_defect_is_an_error_of_the_clients_protocol(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    gateway = await start()

    def fail(*_: object) -> None:
        raise KeyError("a defect")

    monkeypatch.setattr(gateway.app.routes, "find", fail, raising=False)
    status, _, answer = await gateway.post({"model": "auto", "messages": [{"role": "user", "content": "Hi"}]})
    assert (status, answer["error"]["code"]) == (500, "internal_error")


@pytest.mark.skipif(sys.platform == "win32", reason="needs permissions")
async def test_a_new_ledger_is_for_its_owner_alone(start: Start, tmp_path: Path) -> None:
    await start()
    for file in tmp_path.glob("ledger.sqlite3*"):
        assert file.stat().st_mode & 0o077 == 0, file.name
