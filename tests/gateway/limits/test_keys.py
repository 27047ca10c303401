from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from ledgers import KINDS, empty_database

from turnout.errors import InvalidValueError, UnknownNameError
from turnout.gateway.ledger.database import Connection
from turnout.gateway.ledger.schema import open_ledger
from turnout.gateway.ledger.sqlite import SqliteDatabase
from turnout.gateway.limits.keys import KeyRing, Limits, create_key, list_keys, revoke_key


@pytest.fixture(params=KINDS)
def connection(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Connection]:
    with empty_database(request.param, tmp_path) as database, closing(open_ledger(database, create=True)) as connection:
        yield connection


def ring_of(connection: Connection) -> KeyRing:
    ring = KeyRing()
    ring.read(connection)
    return ring


def test_a_key_comes_back_with_all_that_was_said_of_it(connection: Connection) -> None:
    limits = Limits(60, 100_000, 0.5, 12.25, "weak")
    key, text = create_key(connection, name="Ann", routes=["auto", "big"], limits=limits)
    assert list_keys(connection) == [key]
    assert ring_of(connection).find(text) == key
    assert (key.name, key.limits, key.routes, key.revoked) == ("Ann", limits, {"auto", "big"}, None)
    assert key.allows("auto")
    assert not key.allows("small")
    plain, _ = create_key(connection)
    assert plain.allows("anything")
    assert plain.limits == Limits()


def test_only_the_whole_key_is_the_key(connection: Connection) -> None:
    key, text = create_key(connection)
    other, other_text = create_key(connection)
    ring = ring_of(connection)
    assert text.startswith(f"tk-{key.id}-")
    wrong = [
        "",
        "tk-",
        key.id,
        text[:-1],
        text + "x",
        text.upper(),
        text.replace("tk-", "sk-"),
        text.replace(key.id, other.id),
        f"tk-{key.id}-",
        f"tk-{key.id}-{key.secret_sha256.hex()}",
        "tk-" + "x" * 10_000,
        "tk-\ud800-\ud800",
    ]
    assert [ring.find(presented) for presented in wrong] == [None] * len(wrong)
    assert ring.find(other_text) == other


def test_the_secret_is_nowhere_in_the_ledger(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path / "ledger.sqlite3")
    with closing(open_ledger(database, create=True)) as connection:
        key, text = create_key(connection, name="Ann")
    secret = text.removeprefix(f"tk-{key.id}-")
    assert len(secret) == 43, "256 bits in base64"
    for file in tmp_path.iterdir():
        assert secret.encode() not in file.read_bytes()
    assert key.secret_sha256.hex() not in repr(key)


def test_no_two_keys_are_alike(connection: Connection) -> None:
    made = [create_key(connection) for _ in range(20)]
    assert len({key.id for key, _ in made}) == len({text for _, text in made}) == 20


def test_a_revoked_key_opens_nothing_and_stays_listed(connection: Connection) -> None:
    key, text = create_key(connection)
    ring = ring_of(connection)
    revoked = revoke_key(connection, key.id)
    assert revoked == replace(key, revoked=revoked.revoked)
    assert revoked.revoked is not None
    assert ring.find(text) == key, "not told yet"
    ring.read(connection)
    assert ring.find(text) is None
    assert ring.ever_held_one
    assert list_keys(connection) == [revoked] == [revoke_key(connection, f"tk-{key.id}")]


def test_a_ring_is_read_again_only_after_a_change(connection: Connection) -> None:
    create_key(connection)
    ring = ring_of(connection)
    before = ring.__dict__["_keys"]
    ring.read(connection)
    assert ring.__dict__["_keys"] is before
    _, text = create_key(connection)
    ring.read(connection)
    assert ring.find(text) is not None


def test_an_unknown_key_is_answered_without_its_secret(connection: Connection) -> None:
    key, text = create_key(connection)
    wrong = text.replace(key.id, key.id[:-1] + ("0" if key.id[-1] != "0" else "1"))
    with pytest.raises(UnknownNameError, match=f"Did you mean '{key.id}'") as caught:
        revoke_key(connection, wrong)
    assert text.split("-", 2)[2] not in str(caught.value)


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"requests_per_minute": 0}, "requests_per_minute must be above 0, got 0. To shut a key out, revoke it"),
        ({"tokens_per_minute": -5}, "tokens_per_minute must be above 0"),
        ({"usd_per_day": float("nan")}, "usd_per_day must be above 0, got nan"),
        ({"usd_per_month": float("inf")}, "usd_per_month must be above 0, got inf"),
        ({"at_limit": "strong"}, "'reject' or 'weak', got 'strong'"),
    ],
)
def test_limits_that_mean_nothing_are_refused(limits: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidValueError, match=message):
        Limits(**limits)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["", "a\nb", "x" * 101])
def test_names_that_cannot_be_shown_are_refused(connection: Connection, name: str) -> None:
    with pytest.raises(InvalidValueError, match="printable"):
        create_key(connection, name=name)


def test_losing_the_ledger_does_not_open_the_gateway(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    ring, texts = KeyRing(), []
    for number in range(2):
        database = SqliteDatabase(tmp_path / f"{number}.sqlite3")
        with closing(open_ledger(database, create=True)) as connection:
            ring.read(connection)
            assert [ring.find(text) for text in texts] == [None] * number
            assert ring.ever_held_one == bool(number)
            texts.append(create_key(connection)[1])
            ring.read(connection)
            assert ring.find(texts[-1]) is not None, "another ledger's first change is a change"
    assert caplog.text.count("holds no keys any more") == 1
