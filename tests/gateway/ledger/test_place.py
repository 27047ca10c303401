"""Which database a place stands for, and what is said of one that cannot be had."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from turnout.errors import LedgerError, MissingExtraError
from turnout.gateway.ledger.place import open_database
from turnout.gateway.ledger.sqlite import SqliteDatabase


def test_a_path_is_a_file_of_sqlites(tmp_path: Path) -> None:
    database = open_database(tmp_path / "ledger.sqlite3")
    assert isinstance(database, SqliteDatabase)
    assert database.path == tmp_path / "ledger.sqlite3"
    assert not database.exists()


def test_postgres_without_its_driver_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(MissingExtraError, match=r"turnout\[postgres\]"):
        open_database("postgresql://localhost/turnout")


def test_a_url_is_never_shown_with_its_password() -> None:
    pytest.importorskip("psycopg")
    database = open_database("postgresql://me:s3cret@127.0.0.1:1/turnout?connect_timeout=1")
    assert "s3cret" not in repr(database) + database.name
    with pytest.raises(LedgerError, match="cannot be reached") as caught:
        database.connect()
    assert "s3cret" not in str(caught.value)
