"""A ledger in a file of SQLite's."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from turnout.errors import LedgerError, UnstorableError
from turnout.gateway.ledger.database import BUSY_S, Connection, Row, Values
from turnout.write_ahead_log import keep_write_ahead_log

_TIDY_WAIT_MS = 100
_TIDY_ROUNDS = 4
_LARGE_LOG_PAGES = 16_384  # 64 MiB


class SqliteDatabase:
    """One file (and beside it, while it is open, those of its write-ahead log)."""

    identity = "INTEGER PRIMARY KEY"
    tidies_itself = False

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = str(path)

    def connect(self) -> Connection:
        """A new connection to the file, which must be there: see `create`."""
        try:
            connection = sqlite3.connect(
                f"{self.path.absolute().as_uri()}?mode=rw",
                uri=True,
                timeout=BUSY_S,
                isolation_level=None,
                cached_statements=16,
                check_same_thread=False,
            )
            try:
                keep_write_ahead_log(connection, wait_s=BUSY_S)
                # Whoever filled the log's thousandth page would wait for the disk; `tidy` does that instead.
                connection.execute("PRAGMA wal_autocheckpoint = 0")
            except sqlite3.Error:
                connection.close()
                raise
        except sqlite3.Error as error:
            raise LedgerError(f"{self.path} cannot be used as a ledger ({error}).") from error
        return SqliteConnection(connection, self.path)

    def create(self) -> None:
        """The file and its folder. What a ledger holds is for its owner alone: queries, and who asked them."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if not self.path.exists():
                self.path.touch(mode=0o600)
        except OSError as error:
            raise LedgerError(f"{self.path} cannot be used as a ledger ({error.strerror}).") from error

    def exists(self) -> bool:
        """Whether there is a file."""
        return self.path.is_file()

    def day_of(self, column: str) -> str:
        """SQL for the UTC day."""
        return f"date({column}, 'unixepoch')"


class SqliteConnection:
    """A connection to a file."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = connection
        self._path = path
        self._file = _file_at(path)

    def execute(self, sql: str, values: Values = ()) -> list[Row]:
        """The rows that the statement gives."""
        try:
            return self._connection.execute(sql, values).fetchall()
        except (sqlite3.Error, OverflowError, UnicodeEncodeError) as error:
            raise self._failed(error) from error

    def stream(self, sql: str, values: Values = ()) -> Iterator[Row]:
        """The rows one by one."""
        try:
            with closing(self._connection.cursor()) as cursor:
                yield from cursor.execute(sql, values)
        except sqlite3.Error as error:
            raise self._failed(error) from error

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """A write transaction, of which SQLite allows one at a time."""
        self.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._connection.rollback()
            raise
        self.execute("COMMIT")

    def is_in_place(self) -> bool:
        """Whether the file is still at its path: one that was deleted or moved away takes writes as if nothing were."""
        return self._file is not None and _file_at(self._path) == self._file

    def tidy(self) -> None:
        """Copy the write-ahead log into the file, so that it can begin anew and does not grow for ever.

        Other writers go on meanwhile, so what they have added is copied in another round. Only if they keep ahead, or
        someone reads for long, until the log is large are they stopped for a moment.
        """
        self.execute(f"PRAGMA busy_timeout = {_TIDY_WAIT_MS}")
        for _ in range(_TIDY_ROUNDS):
            ((_, pages, copied),) = self.execute("PRAGMA wal_checkpoint(PASSIVE)")
            if copied == pages:
                return
        if pages > _LARGE_LOG_PAGES:
            self.execute("PRAGMA wal_checkpoint(RESTART)")

    def close(self) -> None:
        """Close it."""
        self._connection.close()

    def _failed(self, error: Exception) -> LedgerError:
        if _is_about_values(error):
            return UnstorableError(f"The ledger {self._path} cannot hold this: {error}.")
        return LedgerError(f"The ledger {self._path} failed: {error}.")


def _is_about_values(error: Exception) -> bool:
    if isinstance(error, (sqlite3.InterfaceError, sqlite3.ProgrammingError)):
        return "binding" in str(error)  # a type that SQLite does not know
    # Whole numbers have 64 bits there, and texts are Unicode's.
    return isinstance(error, (sqlite3.IntegrityError, sqlite3.DataError, OverflowError, UnicodeEncodeError))


def _file_at(path: Path) -> tuple[int, int] | None:
    """What tells a file from another that comes to its path; None if there is none."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino
