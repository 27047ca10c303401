"""Another configuration while requests are under way: none is lost, and a wrong one changes nothing."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest
from running_gateway import KeywordRouter, RunningGateway, Start
from scripted_provider import Provider, answer, chunk, event, plain, streamed

from turnout.config import Config, parse_config
from turnout.errors import ConfigError

EASY = [{"role": "user", "content": "an easy one"}]


def changed(gateway: RunningGateway, provider: Provider, folder: Path, **tables: Any) -> Config:
    route = {"router": "fake", "strong": "big", "weak": "small", "threshold": 0.5}
    models = {name: {"base_url": provider.base_url} for name in ("big", "small")}
    config = {"models": models, "routes": {"auto": route}, "ledger": {"path": "ledger.sqlite3"}, **tables}
    return parse_config(config, folder=folder)


async def test_the_next_request_gets_the_new_configuration_and_those_under_way_the_old(
    provider: Provider, start: Start, tmp_path: Path
) -> None:
    gateway = await start()
    provider.default = streamed(event(chunk("Pa")), 0.3, event(chunk("ris.")), b"data: [DONE]\n\n")
    under_way = asyncio.create_task(gateway.post({"model": "auto", "messages": EASY, "stream": True}))
    await provider.asked()
    old = gateway.app.routes
    async with Provider(default=plain(answer("from elsewhere"))) as elsewhere:
        await gateway.app.reload(changed(gateway, elsewhere, tmp_path, routes={}))
        assert gateway.app.routes is not old
        status, _, body = await gateway.post({"model": "small", "messages": EASY})
        assert (status, body["choices"][0]["message"]["content"]) == (200, "from elsewhere")
        status, _, body = await gateway.post({"model": "auto", "messages": EASY})
        assert (status, body["error"]["code"]) == (404, "model_not_found")
        async with gateway.http.get(f"{gateway.url}/models") as response:
            assert [model["id"] for model in (await response.json())["data"]] == ["big", "small"]
    status, headers, content = await under_way
    assert (status, headers["x-turnout-model"]) == (200, "small")
    assert content.endswith(b"data: [DONE]\n\n")
    assert gateway.app.counters.reloads == 1


async def test_a_configuration_that_is_wrong_changes_nothing(provider: Provider, start: Start, tmp_path: Path) -> None:
    gateway = await start()
    before = gateway.app.routes
    keyless = {"big": {"base_url": provider.base_url, "api_key_env": "NOT_SET"}, "small": {"base_url": "http://x/v1"}}
    with pytest.raises(ConfigError, match="NOT_SET"):
        await gateway.app.reload(changed(gateway, provider, tmp_path, models=keyless))
    missing = {"auto": {"router": "no-such-router", "strong": "big", "weak": "small", "threshold": 0.5}}
    with pytest.raises(ConfigError, match="no-such-router"):
        await gateway.app.reload(changed(gateway, provider, tmp_path, routes=missing))
    assert gateway.app.routes is before
    status, headers, _ = await gateway.post({"model": "auto", "messages": EASY})
    assert (status, headers["x-turnout-model"]) == (200, "small")


async def test_what_cannot_change_is_named_and_stays(
    provider: Provider, start: Start, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    gateway = await start()
    caplog.set_level(logging.WARNING, logger="turnout")
    tables: dict[str, Any] = {"server": {"port": 1, "max_body_bytes": 10}, "ledger": {"path": "other.sqlite3"}}
    await gateway.app.reload(changed(gateway, provider, tmp_path, **tables))
    assert "[server] port, [ledger]: changes take effect when the gateway is started again" in caplog.text
    assert gateway.app.config.ledger.path == tmp_path / "ledger.sqlite3"
    status, _, _ = await gateway.post({"model": "auto", "messages": EASY})
    assert status == 413, "what can change has changed"


async def test_a_router_whose_files_are_the_same_is_used_again_and_another_is_closed(
    provider: Provider, start: Start, tmp_path: Path
) -> None:
    gateway = await start()
    scorer = gateway.app.routes.routes["auto"].router.scorer
    await gateway.app.reload(changed(gateway, provider, tmp_path))
    assert gateway.app.routes.routes["auto"].router.scorer is scorer
    closed = []
    scorer.close = lambda: closed.append(True)  # type: ignore[method-assign]
    generation = gateway.app._generation
    with generation.request():
        await gateway.app.reload(changed(gateway, provider, tmp_path, routes={}))
        assert not closed, "a request is under way that may yet ask it"
    assert closed == [True]


async def test_no_request_is_lost_while_the_configuration_changes_again_and_again(
    provider: Provider, start: Start, tmp_path: Path
) -> None:
    class InAThread(KeywordRouter):
        """Too slow to run inline."""

        def predict_win_rate(self, queries: Any) -> Any:
            import time

            time.sleep(0.003)
            return super().predict_win_rate(queries)

    gateway = await start(router=InAThread())
    seen: list[tuple[int, str]] = []

    async def client() -> None:
        for _ in range(25):
            status, headers, _ = await gateway.post({"model": "auto", "messages": EASY})
            seen.append((status, headers["x-turnout-reason"]))

    async def operator() -> None:
        for number in range(10):
            await gateway.app.reload(
                changed(gateway, provider, tmp_path, server={"routing_limit_s": 20.0 + number % 2})
            )
            await asyncio.sleep(0.02)

    await asyncio.gather(operator(), *(client() for _ in range(8)))
    assert seen == [(200, "below the threshold")] * 200


async def test_alive_is_not_ready(provider: Provider, start: Start) -> None:
    gateway = await start()
    root = gateway.url.removesuffix("/v1")
    for draining, expected in ((False, 200), (True, 503)):
        gateway.app.draining = draining
        async with gateway.http.get(f"{root}/readyz") as response:
            assert response.status == expected
        async with gateway.http.get(f"{root}/healthz") as response:
            assert response.status == 200
