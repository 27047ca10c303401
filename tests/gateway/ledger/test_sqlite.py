"""A ledger's file beside its write-ahead log."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path

from ledgers import ENTRY

from turnout.gateway.ledger.schema import open_ledger
from turnout.gateway.ledger.sqlite import SqliteDatabase
from turnout.gateway.ledger.writing import write_entries


def test_the_log_is_copied_into_the_file_and_begins_anew(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path / "ledger.sqlite3")
    with closing(open_ledger(database, create=True)) as connection, closing(database.connect()) as keeper:
        log = tmp_path / "ledger.sqlite3-wal"
        sizes = []
        for round in range(6):
            for n in range(20):
                write_entries(connection, [replace(ENTRY, id=f"dec-{round}-{n}-{m}") for m in range(20)])
            keeper.tidy()
            sizes.append(log.stat().st_size)
        assert sizes[-1] < 2 * sizes[0], "it does not grow with what is written"
