"""The gateway beside other work of one event loop: it starts whole or says why not, and always closes."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import aiohttp
import pytest
from running_gateway import KeywordRouter

from turnout import ModelPair
from turnout.config import parse_config
from turnout.errors import LedgerError
from turnout.gateway.app import Gateway, build_app
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
