"""Who gets to see /metrics: on loopback whoever asks, elsewhere those whom the operator lets."""

from __future__ import annotations

import pytest
from running_gateway import METRICS_TOKEN, RunningGateway, Start

from turnout.config import host_and_port, parse_config
from turnout.errors import ConfigError
from turnout.gateway.app import build_app

MODELS = {"m": {"base_url": "http://127.0.0.1:9/v1"}}


async def ask(gateway: RunningGateway, **headers: str) -> tuple[int, str]:
    async with gateway.http.get(gateway.url.removesuffix("/v1") + "/metrics", headers=headers) as response:
        return response.status, await response.text()


async def test_on_loopback_whoever_asks_sees_them(start: Start) -> None:
    status, text = await ask(await start())
    assert status == 200
    assert "turnout_info" in text


async def test_elsewhere_no_one_does_unless_the_operator_says_who(start: Start) -> None:
    gateway = await start(server={"host": "0.0.0.0", "require_keys": True})
    status, text = await ask(gateway)
    assert status == 403
    assert "metrics_closed" in text
    assert "metrics_listen" in text
    assert "turnout_info" not in text


async def test_a_proxy_on_the_same_machine_does_not_show_them_to_its_clients(start: Start) -> None:
    gateway = await start(server={"allowed_hosts": ["llm.example"]})
    assert (await ask(gateway, Host="llm.example"))[0] == 403
    assert (await ask(gateway))[0] == 200


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
async def test_a_token_lets_its_bearer_in_and_no_one_else(start: Start, host: str) -> None:
    gateway = await start(server={"host": host}, observe={"metrics_token_env": "METRICS_TOKEN"})
    assert (await ask(gateway, Authorization=f"Bearer {METRICS_TOKEN}"))[0] == 200
    assert (await ask(gateway, Authorization=f"bearer  {METRICS_TOKEN}"))[0] == 200
    for wrong in (
        {},
        {"Authorization": "Bearer other"},
        {"Authorization": METRICS_TOKEN},
        {"Authorization": f"Basic {METRICS_TOKEN}"},
    ):
        status, text = await ask(gateway, **wrong)
        assert status == 401
        assert METRICS_TOKEN not in text


def test_a_token_that_is_not_set_is_named() -> None:
    config = parse_config({"models": MODELS, "observe": {"metrics_token_env": "METRICS_TOKEN"}})
    with pytest.raises(ConfigError, match="METRICS_TOKEN"):
        build_app(config, environment={})


@pytest.mark.parametrize(
    "text", ["9400", ":9400", "127.0.0.1:", "127.0.0.1:70000", "::1:9400", "http://a:1", "[a]:1", "a b:1"]
)
def test_an_address_is_a_host_and_a_port(text: str) -> None:
    with pytest.raises(ConfigError, match="metrics_listen must be HOST:PORT"):
        parse_config({"models": MODELS, "observe": {"metrics_listen": text}})
    assert host_and_port("localhost:0", "it") == ("localhost", 0)
