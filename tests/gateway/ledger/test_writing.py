from __future__ import annotations

import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from threading import Barrier
from typing import Any
from urllib.parse import urlsplit

import pytest
from ledgers import ENTRY, KINDS, POSTGRES_URL, empty_database

from turnout.errors import LedgerError
from turnout.gateway.ledger import sqlite as sqlite_module
from turnout.gateway.ledger import upkeep as upkeep_module
from turnout.gateway.ledger import writing as ledger_module
from turnout.gateway.ledger.database import Connection, Database
from turnout.gateway.ledger.postgres import PostgresDatabase
from turnout.gateway.ledger.reading import last_entries, read_entries
from turnout.gateway.ledger.schema import MIGRATIONS, open_ledger
from turnout.gateway.ledger.sqlite import SqliteDatabase
from turnout.gateway.ledger.upkeep import DAY_S, LedgerUpkeep, delete_before
from turnout.gateway.ledger.writing import BATCH_ROWS, COLUMNS, Entry, Ledger


@pytest.fixture(params=KINDS)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    with empty_database(request.param, tmp_path) as database:
        yield database


def entries(count: int) -> list[Entry]:
    return [replace(ENTRY, id=f"dec-{n}", route="auto" if n % 2 else "other") for n in range(count)]


def write(database: Database, written: list[Entry]) -> Ledger:
    ledger = Ledger(database)
    ledger.start()
    for entry in written:
        ledger.record(entry)
    ledger.close()
    return ledger


def test_entries_come_back_as_they_went_in(database: Database) -> None:
    write(database, [ENTRY])
    assert list(read_entries(database)) == [ENTRY]


def test_a_nul_in_a_query_loses_nothing_else(database: Database) -> None:
    write(database, [replace(ENTRY, query="a\0b")])
    (entry,) = read_entries(database)
    assert entry.query is not None
    assert replace(entry, query=entry.query.replace("\ufffd", "\0")) == replace(ENTRY, query="a\0b")


def test_closing_loses_nothing(database: Database) -> None:
    written = entries(2_600)
    ledger = write(database, written)
    assert list(read_entries(database)) == written
    assert (ledger.written, ledger.queued, ledger.dropped) == (2_600, 0, 0)


def test_workers_may_begin_on_a_new_file_together(tmp_path: Path) -> None:
    """Of a hundred files a dozen would be refused to one of the four, if SQLite's first answer were taken."""
    for number in range(100):
        database = SqliteDatabase(tmp_path / f"{number}.sqlite3")
        database.create()
        together = Barrier(4)

        def begin(database: Database = database, together: Barrier = together) -> None:
            together.wait()
            database.connect().close()

        with ThreadPoolExecutor(4) as workers:
            for worker in [workers.submit(begin) for _ in range(4)]:
                worker.result()


def test_a_ledger_is_written_on_after_a_restart(database: Database) -> None:
    for id in ("dec-1", "dec-2"):
        write(database, [replace(ENTRY, id=id)])
    assert [entry.id for entry in read_entries(database)] == ["dec-1", "dec-2"]


def test_a_batch_that_is_sent_twice_is_written_once(database: Database) -> None:
    write(database, entries(3))
    write(database, entries(4))
    assert [entry.id for entry in read_entries(database)] == ["dec-0", "dec-1", "dec-2", "dec-3"]


def test_a_full_queue_drops_and_counts(tmp_path: Path) -> None:
    ledger = Ledger(SqliteDatabase(tmp_path / "ledger.sqlite3"), max_queued=3)
    for entry in entries(5):
        ledger.record(entry)
    ledger.start()
    ledger.close()
    assert ledger.dropped == 2
    assert len(list(read_entries(ledger.database))) == 3


def test_a_locked_file_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_module, "BUSY_S", 0.05)
    database = SqliteDatabase(tmp_path / "ledger.sqlite3")
    ledger = Ledger(database)
    ledger.start()
    with closing(sqlite3.connect(database.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        ledger.record(ENTRY)
        threading.Event().wait(0.6)
        assert ledger.written == 0
        other.execute("ROLLBACK")
    ledger.close()
    assert (ledger.written, ledger.dropped) == (1, 0)


@pytest.mark.parametrize(
    ("query_text", "kept"),
    [
        ("full", ("hé\0", sha256("hé\0".encode()).hexdigest())),
        ("hash", (None, sha256("hé\0".encode()).hexdigest())),
        ("off", (None, None)),
    ],
)
def test_query_text_says_what_is_kept(tmp_path: Path, query_text: str, kept: tuple[str, str]) -> None:
    ledger = Ledger(SqliteDatabase(tmp_path / "l"), query_text=query_text)  # type: ignore[arg-type]
    assert ledger.kept_of("hé\0") == kept


def test_old_entries_go_with_their_feedback(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep_module, "_SWEPT_AT_ONCE", 2)
    write(database, [replace(ENTRY, id=f"dec-{day}", time=day * DAY_S) for day in range(7)])
    with closing(open_ledger(database)) as connection:
        for id in ("dec-1", "dec-6"):
            connection.execute("INSERT INTO feedback VALUES (?, 'score', ?, ?, NULL)", (id, 1.0, 1.0))
        assert delete_before(connection, 5 * DAY_S) == 5
        assert [id for (id,) in connection.execute("SELECT id FROM decisions ORDER BY number")] == ["dec-5", "dec-6"]
        assert connection.execute("SELECT decision_id FROM feedback") == [("dec-6",)]


def test_a_gateway_deletes_what_is_older_than_keep_days(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path / "ledger.sqlite3")
    now = time.time()
    write(database, [replace(ENTRY, id="old", time=now - 3 * DAY_S), replace(ENTRY, id="new", time=now - DAY_S)])
    ledger = Ledger(database, keep_days=2)
    ledger.start()
    until(lambda: len(list(read_entries(database))) == 1)
    ledger.close()
    assert [entry.id for entry in read_entries(database)] == ["new"]


def test_the_table_has_the_columns_of_an_entry(database: Database) -> None:
    write(database, [])
    with closing(open_ledger(database)) as connection:
        assert last_entries(connection, 1) == []
        connection.execute(f"SELECT number, {', '.join(COLUMNS)} FROM decisions")


def test_a_later_schema_is_refused(database: Database) -> None:
    with closing(open_ledger(database, create=True)) as connection:
        connection.execute("INSERT INTO migrations VALUES ('add_telepathy', 0)")
    with pytest.raises(LedgerError, match=r"add_telepathy.*Update Turnout"):
        Ledger(database).start()


def test_migrations_are_applied_once_and_by_name(database: Database) -> None:
    for _ in range(2):
        with closing(open_ledger(database, create=True)) as connection:
            applied = connection.execute("SELECT name FROM migrations")
    assert sorted(name for (name,) in applied) == sorted(step.__name__ for step in MIGRATIONS)


def test_places_that_hold_no_ledger_are_refused(tmp_path: Path) -> None:
    rubbish = SqliteDatabase(tmp_path / "rubbish.sqlite3")
    rubbish.path.write_bytes(b"not a database, whatever its name says, and long enough to tell" * 20)
    with pytest.raises(LedgerError, match="cannot be used as a ledger"):
        Ledger(rubbish).start()
    with pytest.raises(LedgerError, match="There is no ledger at"):
        list(read_entries(tmp_path / "absent"))
    assert not (tmp_path / "absent").exists()
    with pytest.raises(LedgerError, match="cannot be used as a ledger"):
        Ledger(SqliteDatabase(rubbish.path / "below" / "ledger.sqlite3")).start()
    other = tmp_path / "other.sqlite3"
    with closing(sqlite3.connect(other)) as connection:
        connection.execute("CREATE TABLE decisions (x)")
    with pytest.raises(LedgerError, match="holds no ledger of Turnout's"):
        list(read_entries(other))


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("bad", [{"route": None}, {"input_tokens": 2**70}, {"query": "secret \ud800"}])
def test_an_entry_that_cannot_be_stored_takes_no_other_with_it(
    database: Database, bad: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    written = entries(300)
    first, second = (replace(ENTRY, **{"id": f"dec-bad-{n}", "query": "a secret", **bad}) for n in range(2))
    ledger = write(database, [*written[:100], first, *written[100:], second])
    assert list(read_entries(database)) == written
    assert (ledger.written, ledger.refused, ledger.queued, ledger.dropped) == (300, 2, 0, 0)
    assert (ledger.failures, ledger.failing) == (0, False)
    for entry in (first, second):
        assert f"decision {entry.id} is not in the ledger" in caplog.text
    assert "secret" not in caplog.text


class Flooded(SqliteDatabase):
    """A file on a disk that is full once it has so many pages."""

    pages = 40

    def connect(self) -> Connection:
        connection = super().connect()
        connection.execute(f"PRAGMA max_page_count = {self.pages}")
        return connection


def test_a_full_disk_is_waited_for_and_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(ledger_module, "_LONGEST_PAUSE_S", 0.1)
    database = Flooded(tmp_path / "ledger.sqlite3")
    ledger = Ledger(database, max_queued=1_200)
    ledger.start()
    written = entries(1_500)
    for entry in written[:1_000]:
        ledger.record(entry)
    until(lambda: ledger.failures > 2)
    assert ledger.failing
    for entry in written[1_000:]:
        ledger.record(entry)
    assert ledger.queued <= 1_200, "the queue is bounded"
    dropped = ledger.dropped
    database.pages = 10_000
    until(lambda: not ledger.failing)
    ledger.close()
    assert ledger.written == 1_500 - dropped
    assert [entry.id for entry in read_entries(database)] == [entry.id for entry in written[: ledger.written]]
    assert caplog.text.count("database or disk is full") == 1
    assert caplog.text.count("is written again after") == 1
    assert f"{dropped} entries were dropped" in caplog.text


class Way:
    """A way to a server that can be cut and mended."""

    def __init__(self, host: str, port: int) -> None:
        self._server = (host, port)
        self._ends: list[socket.socket] = []
        self._door: socket.socket | None = None
        self.port = 0
        self.mend()

    def mend(self) -> None:
        self._door = door = socket.create_server(("127.0.0.1", self.port))
        self.port = door.getsockname()[1]
        threading.Thread(target=self._admit, args=(door,), daemon=True).start()

    def cut(self) -> None:
        assert self._door is not None
        self._door.shutdown(socket.SHUT_RDWR)
        self._door.close()
        for end in self._ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        self._ends.clear()

    def _admit(self, door: socket.socket) -> None:
        with suppress(OSError):
            while True:
                near, far = door.accept()[0], socket.create_connection(self._server)
                self._ends += [near, far]
                for source, sink in ((near, far), (far, near)):
                    threading.Thread(target=self._carry, args=(source, sink), daemon=True).start()

    def _carry(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65_536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)


@pytest.mark.skipif(not POSTGRES_URL, reason="TURNOUT_TEST_POSTGRES_URL is not set")
def test_a_server_that_goes_away_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(ledger_module, "_LONGEST_PAUSE_S", 0.3)
    with empty_database("postgres", tmp_path) as database:
        assert isinstance(database, PostgresDatabase)
        parts = urlsplit(database._url)
        way = Way(parts.hostname or "localhost", parts.port or 5432)
        user = f"{parts.username}{f':{parts.password}' if parts.password else ''}@" if parts.username else ""
        through = PostgresDatabase(parts._replace(netloc=f"{user}127.0.0.1:{way.port}").geturl())
        ledger = Ledger(through)
        ledger.start()
        written = entries(60)
        for entry in written[:20]:
            ledger.record(entry)
        until(lambda: ledger.written == 20)
        way.cut()
        for entry in written[20:40]:
            ledger.record(entry)
        until(lambda: ledger.failures > 1)
        assert (ledger.failing, ledger.queued) == (True, 20)
        way.mend()
        until(lambda: not ledger.failing)
        for entry in written[40:]:
            ledger.record(entry)
        ledger.close()
        way.cut()
        assert list(read_entries(database)) == written
        assert caplog.text.count("Entries wait in memory") == caplog.text.count("is written again after") == 1


def test_a_file_that_is_deleted_or_replaced_while_in_use_is_made_anew(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    database = SqliteDatabase(tmp_path / "ledger.sqlite3")
    ledger = Ledger(database)
    ledger.start()
    ledger.record(replace(ENTRY, id="dec-before"))
    until(lambda: ledger.written == 1)
    for file in tmp_path.iterdir():
        file.unlink()
    ledger.record(replace(ENTRY, id="dec-after"))
    until(lambda: ledger.written == 2)
    ledger.close()
    assert [entry.id for entry in read_entries(database)] == ["dec-after"]
    assert database.path.stat().st_mode & 0o777 == 0o600
    assert "was deleted or moved away" in caplog.text


def test_what_is_queued_when_the_gateway_stops_goes_into_the_new_file(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path / "sub" / "ledger.sqlite3")
    ledger = Ledger(database)
    ledger.start()
    ledger.record(replace(ENTRY, id="dec-before"))
    until(lambda: ledger.written == 1)
    shutil.rmtree(database.path.parent)
    ledger.record(replace(ENTRY, id="dec-after"))
    ledger.close()
    assert [entry.id for entry in read_entries(database)] == ["dec-after"]
    assert (ledger.written, ledger.dropped, ledger.queued) == (2, 0, 0)


def test_a_folder_that_cannot_be_written_is_refused_at_the_start(tmp_path: Path) -> None:
    folder = tmp_path / "read-only"
    folder.mkdir()
    folder.chmod(0o500)
    nobody = 65534
    is_root = os.geteuid() == 0  # to whom permissions mean nothing
    if is_root:
        os.seteuid(nobody)
    try:
        with pytest.raises(LedgerError, match="cannot be used as a ledger"):
            Ledger(SqliteDatabase(folder / "ledger.sqlite3")).start()
    finally:
        if is_root:
            os.seteuid(0)


def test_delays_are_measured_from_the_end_of_the_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = Ledger(SqliteDatabase(tmp_path / "ledger.sqlite3"))
    for entry in entries(BATCH_ROWS - 1):
        ledger.record(entry)
    ledger.start()
    until(lambda: ledger.written > 0)
    counts = ledger.delays.counts[()]
    assert sum(counts) == BATCH_ROWS - 1
    assert not any(counts[: ledger.delays.bounds.index(0.2)]), "what comes in meanwhile goes into the same batch"
    monkeypatch.setattr(ledger_module, "_PAUSE_S", 600)  # but a batch that is full is not kept waiting
    for entry in [replace(ENTRY, id=f"dec-full-{n}") for n in range(BATCH_ROWS)]:
        ledger.record(entry)
    until(lambda: ledger.written == 2 * BATCH_ROWS - 1)
    ledger.close()


def test_the_clock_deletes_nothing_in_the_hour_after_it_was_set(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    database = SqliteDatabase(tmp_path / "ledger.sqlite3")
    now, ticks = 1_000 * DAY_S, 0.0
    write(database, [replace(ENTRY, id=f"dec-{age}", time=now - age * DAY_S) for age in (9, 4, 0)])
    upkeep = LedgerUpkeep(database, keep_days=7, clock=lambda: now, monotonic=lambda: ticks)

    def left_after(hours: float) -> list[str]:
        nonlocal now, ticks
        now, ticks = now + 3_600 * hours, ticks + 3_600 * hours
        upkeep.step()
        return [entry.id for entry in read_entries(database)]

    assert left_after(0.0) == ["dec-4", "dec-0"]
    now += 365 * DAY_S  # someone mistypes the year
    assert left_after(1.1) == ["dec-4", "dec-0"]
    assert "the clock was set" in caplog.text
    now -= 365 * DAY_S
    assert left_after(1.1) == ["dec-4", "dec-0"]
    now += 5 * DAY_S  # as after a long sleep
    assert left_after(1.1) == ["dec-4", "dec-0"]
    assert left_after(1.1) == ["dec-0"]
    upkeep.close()


WRITER = """
import sys, time
from dataclasses import replace
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from ledgers import ENTRY
from turnout.gateway.ledger.sqlite import SqliteDatabase
from turnout.gateway.ledger.writing import Ledger

ledger = Ledger(SqliteDatabase(Path(sys.argv[1])))
ledger.start()
for number in range(10**9):
    ledger.record(replace(ENTRY, id=f"dec-{number}", time=time.time()))
    if number % 50 == 0:
        print(ledger.written, flush=True)
    time.sleep(0.0005)
"""


def test_a_kill_loses_nothing_that_was_written_and_corrupts_nothing(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite3"
    command = [sys.executable, "-c", WRITER, str(path), str(Path(__file__).parents[1])]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        written = 0
        while written < 2 * BATCH_ROWS:
            written = int(writer.stdout.readline())
        writer.kill()
    ids = [entry.id for entry in read_entries(path)]
    assert ids == [f"dec-{number}" for number in range(len(ids))], "whole batches, in order"
    assert len(ids) >= written
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    write(SqliteDatabase(path), [replace(ENTRY, id="dec-after")])
    assert next(reversed(list(read_entries(path)))).id == "dec-after"
