from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from turnout.config import ModelConfig, load_config, parse_config
from turnout.errors import ConfigError
from turnout.pricing import Price
from turnout.types import ModelPair

WHOLE = """
[server]
port = 9000
max_body_bytes = 1000
forward_headers = ["X-Trace"]

[upstream]
first_byte_s = 20
max_retries = 0

[ledger]
path = "ledgers/turnout.sqlite3"
query_text = "full"
keep_days = 30

[models."gpt-4o"]
base_url = "https://api.openai.com/v1/"
api_key_env = "OPENAI_API_KEY"
upstream_model = "gpt-4o-2024-08-06"
usd_per_million_input_tokens = 2.5
usd_per_million_output_tokens = 10
context_window = 128_000

[models.small]
base_url = "http://127.0.0.1:8000/v1"

[routes.auto]
router = "my-router"
strong = "gpt-4o"
weak = "small"
strong_fraction = 0.3
"""

MODELS = {"big": {"base_url": "http://a/v1"}, "small": {"base_url": "http://b/v1"}}
PAIR = {"router": "mf", "strong": "big", "weak": "small"}
ROUTE = {**PAIR, "threshold": 0.5}


def test_a_whole_file_becomes_dataclasses(tmp_path: Path) -> None:
    (tmp_path / "my-router").mkdir()
    file = tmp_path / "turnout.toml"
    file.write_text(WHOLE)
    config = load_config(file)
    assert (config.server.port, config.server.host, config.server.max_body_bytes) == (9000, "127.0.0.1", 1000)
    assert config.server.forward_headers == ("x-trace",)
    assert (config.upstream.limits.first_byte_s, config.upstream.limits.connect_s) == (20.0, 5.0)
    assert config.upstream.retries.most == 0
    assert config.ledger.place({}) == tmp_path / "ledgers/turnout.sqlite3"
    assert (config.ledger.query_text, config.ledger.keep_days) == ("full", 30)
    big = config.models["gpt-4o"]
    assert big.base_url == "https://api.openai.com/v1"
    assert big.price == Price(2.5, 10.0)
    assert (big.upstream_model, big.context_window) == ("gpt-4o-2024-08-06", 128_000)
    assert (config.models["small"].upstream_model, config.models["small"].price) == ("small", None)
    route = config.routes["auto"]
    assert route.pair == ModelPair("gpt-4o", "small")
    assert (route.strong_fraction, route.threshold) == (0.3, None)
    assert route.router == str(tmp_path / "my-router"), "a folder is found beside the file"


def test_defaults_are_loopback_no_ledger_and_hashed_queries() -> None:
    config = parse_config({"models": MODELS})
    assert config.server.is_loopback
    assert config.ledger.place({}) is None
    assert (config.ledger.query_text, config.ledger.keep_days) == ("hash", None)
    assert not parse_config({"models": MODELS, "server": {"host": "0.0.0.0"}}).server.is_loopback


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"modles": MODELS}, r"unknown key 'modles'\. Did you mean 'models'"),
        ({"models": {"a": {"base_ur": "http://a"}}}, r"\[models.a\]: base_url is missing\. Is 'base_ur' meant"),
        ({"models": {"a": {"base_url": "http://a", "prise": 1}}}, r"\[models.a\]: unknown key 'prise'"),
        ({"models": MODELS, "server": {"prot": 1}}, "Did you mean 'port'"),
        ({}, "There is no model"),
        ({"models": []}, r"models must be tables named \[models.NAME\], got a list"),
        ({"models": {"a": 3}}, r"\[models.a\] must be a table, got a whole number"),
        ({"models": {"a b": {"base_url": "http://a"}}}, "cannot be sent in a header"),
        ({"models": {"a": {"base_url": "a.example"}}}, "base_url must be an address"),
        ({"models": {"a": {"base_url": "file:///etc/passwd"}}}, "base_url must be an address"),
        ({"models": {"a": {"base_url": "http://me:secret@a/v1"}}}, "must hold no user or password"),
        ({"models": {"a": {"base_url": "http://a/v1?x=1"}}}, "without '\\?'"),
        ({"models": {"a": {"base_url": "http://a", "usd_per_million_input_tokens": 1}}}, "a price needs both"),
        (
            {
                "models": {
                    "a": {
                        "base_url": "http://a",
                        "usd_per_million_input_tokens": -1,
                        "usd_per_million_output_tokens": 1,
                    }
                }
            },
            "at least 0",
        ),
        ({"models": MODELS, "server": {"port": "80"}}, "port must be a whole number, got text"),
        ({"models": MODELS, "server": {"port": True}}, "port must be a whole number, got true or false"),
        ({"models": MODELS, "server": {"port": 70_000}}, "from 0 to 65535"),
        ({"models": MODELS, "server": {"forward_headers": ["Authorization"]}}, "must not hold 'authorization'"),
        ({"models": MODELS, "upstream": {"first_byte_s": 0}}, "above 0"),
        ({"models": MODELS, "upstream": {"first_byte_s": float("nan")}}, "finite"),
        ({"models": MODELS, "ledger": {"query_text": "ful"}}, "Did you mean 'full'"),
        ({"models": MODELS, "ledger": {"keep_days": 0}}, "keep_days must be above 0, got 0"),
        ({"models": MODELS, "ledger": {"path": "a", "url_env": "B"}}, "not both"),
        ({"models": MODELS, "ledger": {"path": "postgresql://a/b"}}, 'url_env = "TURNOUT_LEDGER_URL"'),
        ({"models": MODELS, "log": {"path": "a"}}, r"\[log\] is called \[ledger\]"),
        ({"models": MODELS, "routes": {"big": ROUTE}}, "'big' is both a model and a route"),
        ({"models": MODELS, "routes": {"r": {**ROUTE, "strong": "bigg"}}}, "Did you mean 'big'"),
        ({"models": MODELS, "routes": {"r": {**ROUTE, "weak": "big"}}}, "two different models"),
        ({"models": MODELS, "routes": {"r": {**ROUTE, "strong_fraction": 0.5}}}, "not both"),
        (
            {"models": MODELS, "routes": {"r": PAIR}},
            "give either threshold or strong_fraction",
        ),
        (
            {
                "models": MODELS,
                "routes": {"r": {"router": "mf", "strong": "big", "weak": "small", "strong_fraction": 50}},
            },
            r"must be in \[0, 1\], got 50\. For 50 % write 0\.5",
        ),
    ],
)
def test_a_mistake_names_its_place_and_the_way_out(content: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_config(content)


@pytest.mark.parametrize(
    "model",
    [
        {"base_url": "http://a", "api_key": "sk-very-secret"},
        {"base_url": "http://a", "api_key_env": "sk-very-secret"},
    ],
)
def test_a_key_in_the_file_is_refused_and_not_shown(model: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="environment variable") as caught:
        parse_config({"models": {"a": model}})
    assert "secret" not in str(caught.value).replace("secrets do not belong", "")


def test_a_key_is_read_from_the_environment_when_it_is_asked_for() -> None:
    model = ModelConfig("a", "http://a", api_key_env="A_KEY")
    assert model.api_key({"A_KEY": " sk-1\n"}) == "sk-1"
    with pytest.raises(ConfigError, match="A_KEY"):
        model.api_key({})
    with pytest.raises(ConfigError, match="line break"):
        model.api_key({"A_KEY": "sk\n1"})
    assert ModelConfig("a", "http://a").api_key({}) is None


def test_a_ledgers_url_is_read_from_the_environment_and_not_shown() -> None:
    ledger = parse_config({"models": MODELS, "ledger": {"url_env": "LEDGER_URL"}}).ledger
    assert ledger.place({"LEDGER_URL": "postgresql://me:secret@db/turnout\n"}) == "postgresql://me:secret@db/turnout"
    with pytest.raises(ConfigError, match=r"LEDGER_URL \(url_env\) is not set"):
        ledger.place({})
    with pytest.raises(ConfigError, match="does not hold a postgresql:// URL") as caught:
        ledger.place({"LEDGER_URL": "mysql://me:secret@db/turnout"})
    assert "secret" not in str(caught.value)
    with pytest.raises(ConfigError, match="and not the URL itself") as caught:
        parse_config({"models": MODELS, "ledger": {"url_env": "postgresql://me:secret@db/turnout"}})
    assert "secret" not in str(caught.value)


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="absent.toml cannot be read"):
        load_config(tmp_path / "absent.toml")
    broken = tmp_path / "broken.toml"
    broken.write_text("[server\n")
    with pytest.raises(ConfigError, match=r"broken.toml is not TOML: .*line 1"):
        load_config(broken)
    broken.write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load_config(broken)
    broken.write_text("[server]\nprot = 1\n[models.a]\nbase_url = 'http://a'")
    with pytest.raises(ConfigError, match=r"broken.toml: \[server\]: unknown key 'prot'"):
        load_config(broken)


def test_the_reference_names_every_key_and_no_other() -> None:
    page = (Path(__file__).parents[1] / "docs/reference/configuration.md").read_text()
    sections = dict(re.findall(r"^## `\[(\w+)[^\n]*\n(.*?)(?=^## |\Z)", page, flags=re.MULTILINE | re.DOTALL))
    documented = {name: set(re.findall(r"^\| `(\w+)` \|", text, flags=re.MULTILINE)) for name, text in sections.items()}
    assert documented == {
        name: _known_keys(name) for name in ("server", "upstream", "ledger", "observe", "models", "routes")
    }


def _known_keys(table: str) -> set[str]:
    """The keys that an unknown one is answered with."""
    complete: dict[str, Any] = {"models": {"a": {"base_url": "http://a"}}}
    content = {
        "models": {"models": {"a": {"base_url": "http://a", "unknown": 1}}},
        "routes": {"models": MODELS, "routes": {"r": {**ROUTE, "unknown": 1}}},
    }.get(table, {**complete, table: {"unknown": 1}})
    with pytest.raises(ConfigError) as caught:
        parse_config(content)
    return set(str(caught.value).split("Known: ")[1].rstrip(".").split(", "))


def test_a_byte_order_mark_is_no_part_of_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "plain.toml").write_text(WHOLE)
    (tmp_path / "marked.toml").write_bytes(b"\xef\xbb\xbf" + WHOLE.replace("\n", "\r\n").encode())
    assert load_config(tmp_path / "marked.toml") == load_config(tmp_path / "plain.toml")
