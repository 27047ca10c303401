"""Web pages that have a browser ask on their behalf."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from running_gateway import Start
from scripted_provider import Provider

from turnout.config import ServerConfig, parse_config
from turnout.errors import ConfigError
from turnout.gateway.browsers import BrowserGuard
from turnout.gateway.errors import RequestError
from turnout.gateway.ledger.schema import open_ledger
from turnout.gateway.ledger.sqlite import SqliteDatabase
from turnout.gateway.limits.keys import create_key

EASY = [{"role": "user", "content": "an easy one"}]
BODY = {"model": "auto", "messages": EASY}
EVERYWHERE = ServerConfig(host="0.0.0.0")


def scope(**headers: str) -> dict[str, Any]:
    return {"headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]}


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "localhost:8400",
        "LOCALHOST.:1",
        "127.0.0.1:8400",
        "127.8.9.1",
        "[::1]:8400",
        "[::1]",
        "llm.example:9",
    ],
)
def test_its_own_names_are_answered_at_any_port(host: str) -> None:
    BrowserGuard(ServerConfig(allowed_hosts=("llm.example",))).check_host(scope(host=host))


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8400",
        "localhost.evil.example",
        "127.0.0.1.evil.example:8400",
        "evil.example:80@localhost",
        "localhost:80@evil.example",
        "10.0.0.7",
        "[fd00::1]:8400",
        "",
        "\xff",
    ],
)
def test_no_other_name_is_answered_on_loopback(host: str) -> None:
    with pytest.raises(RequestError, match="allowed_hosts"):
        BrowserGuard(ServerConfig()).check_host(scope(host=host))


def test_a_request_for_no_host_is_not_answered_on_loopback() -> None:
    with pytest.raises(RequestError, match="names no host"):
        BrowserGuard(ServerConfig()).check_host(scope())


def test_beyond_loopback_hosts_count_once_they_are_named() -> None:
    BrowserGuard(EVERYWHERE).check_host(scope(host="whatever.example"))
    guard = BrowserGuard(ServerConfig(host="0.0.0.0", allowed_hosts=("llm.example",)))
    for host in ("llm.example", "10.0.0.7:8400", "127.0.0.1:8400"):  # probes ask for addresses
        guard.check_host(scope(host=host))
    with pytest.raises(RequestError):
        guard.check_host(scope(host="whatever.example"))


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"origin": "http://localhost:3000"},
        {"origin": "http://127.0.0.1"},
        {"origin": "app://llm.example"},
        {"origin": "https://intranet.example:8400"},  # the page's own site, which is asked
        {"sec_fetch_site": "same-origin"},
        {"sec_fetch_site": "none"},
    ],
)
def test_pages_of_its_own_site_may_ask(headers: dict[str, str]) -> None:
    guard = BrowserGuard(ServerConfig(host="0.0.0.0", allowed_hosts=("llm.example",)))
    guard.check_page(scope(host="intranet.example:8400", **headers))


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "https://intranet.example"},
        {"origin": "http://localhost.evil.example"},
        {"origin": "http://localhost@evil.example"},
        {"origin": "null"},
        {"origin": "http://[::1"},
        {"origin": ""},
        {"sec_fetch_site": "cross-site"},
    ],
)
def test_pages_of_other_sites_may_not(headers: dict[str, str]) -> None:
    with pytest.raises(RequestError, match="web pages of other sites"):
        BrowserGuard(EVERYWHERE).check_page(scope(host="intranet.example:8400", **headers))


@pytest.mark.parametrize("path", ["/models", "/route", "/chat/completions", "/responses", "/messages"])
async def test_a_rebound_name_gets_no_answer_whatever_it_asks_for(provider: Provider, start: Start, path: str) -> None:
    gateway = await start()
    method = "GET" if path == "/models" else "POST"
    headers = {"Host": "evil.example:8400", "Origin": "http://evil.example:8400", "Content-Type": "application/json"}
    body = None if method == "GET" else json.dumps(BODY)
    async with gateway.http.request(method, gateway.url + path, data=body, headers=headers) as answer:
        assert answer.status == 403
        error = await answer.json()
    if path == "/messages":
        assert (error["type"], error["error"]["type"]) == ("error", "permission_error")
    else:
        assert error["error"]["code"] == "host_not_allowed"
    assert "evil.example" in error["error"]["message"]
    assert provider.requests == []


async def test_a_name_in_the_configuration_is_answered(provider: Provider, start: Start) -> None:
    gateway = await start(server={"allowed_hosts": ["LLM.example"]})
    status, _, _ = await gateway.post(BODY, headers={"Host": "llm.example"})
    assert status == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "https://a.example", "Content-Type": "text/plain"}, 403),
        ({"Origin": "null", "Content-Type": "multipart/form-data"}, 403),
        ({"Origin": "https://a.example", "Content-Type": "application/json"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Content-Type": "text/plain"}, 403),
        ({"Origin": "http://localhost:5173", "Content-Type": "application/json"}, 200),
        ({"Content-Type": "text/plain"}, 200),
    ],
)
async def test_a_web_page_cannot_spend_what_its_reader_may(
    provider: Provider, start: Start, headers: dict[str, str], status: int
) -> None:
    gateway = await start()
    seen, _, _ = await gateway.post(BODY, headers=headers)
    assert seen == status
    assert len(provider.requests) == (status == 200)


async def test_a_page_that_has_a_key_may_ask(provider: Provider, start: Start, tmp_path: Path) -> None:
    with closing(open_ledger(SqliteDatabase(tmp_path / "ledger.sqlite3"), create=True)) as connection:
        _, key = create_key(connection)
    gateway = await start()
    headers = {"Origin": "https://a.example", "Content-Type": "application/json"}
    assert (await gateway.post(BODY, headers=headers))[0] == 401
    status, _, _ = await gateway.post(BODY, headers={**headers, "Authorization": f"Bearer {key}"})
    assert status == 200


async def test_browsers_that_ask_first_are_told_no(start: Start) -> None:
    gateway = await start()
    asked = {"Origin": "https://a.example", "Access-Control-Request-Method": "POST"}
    async with gateway.http.options(f"{gateway.url}/chat/completions", headers=asked) as response:
        assert response.status == 405
        assert not [name for name in response.headers if name.lower().startswith("access-control-")]


@pytest.mark.parametrize("name", ["http://llm.example", "llm.example:8400", "*", "", "a/b"])
def test_allowed_hosts_are_names(name: str) -> None:
    with pytest.raises(ConfigError, match="allowed_hosts must be names"):
        parse_config({"models": {"m": {"base_url": "http://a"}}, "server": {"allowed_hosts": [name]}})
