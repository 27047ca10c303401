from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Barrier

import pytest

from turnout.write_ahead_log import keep_write_ahead_log


def journal(path: Path) -> str:
    with closing(sqlite3.connect(path)) as connection:
        return str(connection.execute("PRAGMA journal_mode").fetchone()[0])


def test_several_may_begin_on_a_new_file_together(tmp_path: Path) -> None:
    """Of a hundred files about ten would be refused to one of the four, if SQLite's first answer were taken."""

    def begin(path: Path, together: Barrier) -> None:
        with closing(sqlite3.connect(path)) as connection:
            together.wait()
            keep_write_ahead_log(connection, wait_s=5.0)

    for number in range(100):
        path, together = tmp_path / f"{number}.sqlite3", Barrier(4)
        with ThreadPoolExecutor(4) as threads:
            for begun in [threads.submit(begin, path, together) for _ in range(4)]:
                begun.result()
        assert journal(path) == "wal"


def test_a_file_that_stays_locked_is_given_up(tmp_path: Path) -> None:
    path = tmp_path / "locked.sqlite3"
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with closing(sqlite3.connect(path, timeout=0.05)) as connection:
            with pytest.raises(sqlite3.OperationalError, match="locked"):
                keep_write_ahead_log(connection, wait_s=0.05)
            other.execute("ROLLBACK")
            keep_write_ahead_log(connection, wait_s=0.05)
    assert journal(path) == "wal"


def test_a_file_that_is_none_of_sqlites_is_refused_at_once(tmp_path: Path) -> None:
    path = tmp_path / "other.sqlite3"
    path.write_text("far too long to be taken for an empty database, and no database " * 20)
    with closing(sqlite3.connect(path)) as connection, pytest.raises(sqlite3.DatabaseError, match="not a database"):
        keep_write_ahead_log(connection, wait_s=3600.0)
