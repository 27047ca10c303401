from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from turnout.gateway.ledger.schema import open_ledger
from turnout.gateway.ledger.sqlite import SqliteDatabase
from turnout.gateway.limits.keys import KeyRing
from turnout.gateway.limits.leases import Claim, lease, window_of

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "turnout.toml").write_text('[ledger]\npath = "l.sqlite3"\n[models.a]\nbase_url = "http://127.0.0.1:9"')
    return tmp_path / "turnout.toml"


def test_a_key_is_made_shown_once_listed_and_revoked(run: Run, config: Path) -> None:
    code, text, said = run("keys", "create", "--config", config, "--name", "ann", "--route", "a", "--usd-per-day", 5)
    assert code == 0
    assert "only time it is shown" in said
    database = SqliteDatabase(config.parent / "l.sqlite3")
    ring = KeyRing()
    with closing(open_ledger(database)) as connection:
        ring.read(connection)
    key = ring.find(text.strip())
    assert key is not None
    code, listed, _ = run("keys", "list", "--config", config)
    assert code == 0
    assert listed.split("  ")[:2] == [key.id, "ann"]
    assert "routes a  $0.0000 of $5.00 today  then refused" in listed
    assert text.strip() not in listed
    code, _, said = run("keys", "revoke", key.id, "--ledger", database.name)
    assert (code, said) == (0, f"Key {key.id} is revoked.\n")
    assert "REVOKED" in run("keys", "list", "--config", config)[1]


def test_json_says_the_same(run: Run, config: Path) -> None:
    made = json.loads(run("keys", "create", "--config", config, "--requests-per-minute", 60, "--json")[1])
    assert made.pop("key").startswith(f"tk-{made['id']}-")
    assert (made["requests_per_minute"], made["at_limit"], made["routes"]) == (60, "reject", None)
    (listed,) = run("keys", "list", "--config", config, "--json")[1].splitlines()
    assert json.loads(listed) == {**made, "used_requests_per_minute": 0.0}
    revoked = json.loads(run("keys", "revoke", made["id"], "--config", config, "--json")[1])
    assert revoked["id"] == made["id"]
    assert json.loads(run("keys", "list", "--config", config, "--json")[1])["revoked"] is not None


def test_what_is_used_is_shown(run: Run, config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time", lambda: 1_764_076_800.0)
    made = json.loads(
        run("keys", "create", "--config", config, "--usd-per-month", 50, "--at-limit", "weak", "--json")[1]
    )
    window = window_of("usd_per_month", 1_764_076_800.0)
    with closing(open_ledger(SqliteDatabase(config.parent / "l.sqlite3"))) as connection:
        lease(connection, "w", [Claim(made["id"], "usd_per_month", window, 50.0, 12.5, 1.0)], now=1_764_076_800.0)
    assert "$12.5000 of $50.00 this month  then weak only" in run("keys", "list", "--config", config)[1]


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["create", "--usd-per-day", "0"], "usd_per_day must be above 0, got 0. To shut a key out, revoke it"),
        (["create", "--route", "aa"], "No route or model in this configuration named 'aa'. Did you mean 'a'?"),
        (["revoke", "nobody"], "No key named 'nobody'. Known: none."),
        (["list", "--ledger", "absent.sqlite3"], "There is no ledger at absent.sqlite3"),
    ],
)
def test_mistakes_are_one_clear_line(run: Run, config: Path, words: list[str], problem: str) -> None:
    open_ledger(SqliteDatabase(config.parent / "l.sqlite3"), create=True).close()
    code, out, err = run("keys", *words, "--config", config)
    assert (code, out) == (2, "")
    assert problem in err
    assert len(err.splitlines()) == 1


def test_a_configuration_without_a_ledger_says_so(run: Run, config: Path) -> None:
    config.write_text('[models.a]\nbase_url = "http://127.0.0.1:9"')
    code, _, err = run("keys", "create", "--config", config)
    assert code == 2
    assert "keeps no ledger. Give [ledger] a path" in err
    assert run("keys", "list", "--config", "absent.toml")[0] == 2


def test_no_key_yet(run: Run, config: Path) -> None:
    open_ledger(SqliteDatabase(config.parent / "l.sqlite3"), create=True).close()
    assert "lets everyone in" in run("keys", "list", "--config", config)[2]
