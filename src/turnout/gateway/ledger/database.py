"""The ledger's database: SQLite by default, PostgreSQL by a URL. One dialect of SQL, written for both.

Statements mark values with `?`. They use only what both databases understand; the two differences that remain are
methods here (`identity`, `day_of`). A connection belongs to one thread at a time.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from turnout.errors import LedgerError, MissingExtraError, UnstorableError
from turnout.write_ahead_log import keep_write_ahead_log

Row = tuple[Any, ...]
Values = Sequence[Any]

BUSY_S = 5.0
"""How long a statement waits for another one's lock."""

_CONNECT_S = 5
_ABOUT_VALUES = frozenset({"22", "23", "54"})
"""PostgreSQL's classes of errors about data, constraints and sizes."""

_TIDY_WAIT_MS = 100
_TIDY_ROUNDS = 4
_LARGE_LOG_PAGES = 16_384  # 64 MiB
_FETCHED_AT_ONCE = 1_000
_ONE_AT_A_TIME = 0x7475726E  # the advisory lock that exclusive transactions of PostgreSQL take; any number would do


class Connection(Protocol):
    """An open connection. Outside of a transaction each statement is one of its own."""

    def execute(self, sql: str, values: Values = ()) -> list[Row]:
        """The rows that the statement gives, if any.

        Raises:
            UnstorableError: it will never hold these values.
            LedgerError: the database does not do it.
        """
        ...

    def stream(self, sql: str, values: Values = ()) -> Iterator[Row]:
        """The rows one by one, however many there are."""
        ...

    def exclusive(self) -> AbstractContextManager[None]:
        """A transaction that no other exclusive one overlaps; undone if the block raises."""
        ...

    def is_in_place(self) -> bool:
        """Whether what is written here is found by whoever opens the database now."""
        ...

    def tidy(self) -> None:
        """Put what was written where it stays, while others go on writing. To be called every few seconds."""
        ...

    def close(self) -> None:
        """Close it."""
        ...


class Database(Protocol):
    """Where a ledger is kept."""

    name: str
    """For people: the file, or the address without user and password."""
    identity: str
    """The type of a column that numbers the rows itself."""
    tidies_itself: bool
    """Whether `Connection.tidy` has nothing to do."""

    def connect(self) -> Connection:
        """A new connection.

        Raises:
            LedgerError: there is none to be had.
        """
        ...

    def create(self) -> None:
        """Make the place that `connect` needs, if it is absent and can be made."""
        ...

    def exists(self) -> bool:
        """Whether there may be a ledger; False if there is certainly none."""
        ...

    def day_of(self, column: str) -> str:
        """SQL for the UTC day, such as '2026-11-25', of a column in seconds since 1970."""
        ...


def open_database(place: str | Path) -> Database:
    """The database at a path (SQLite) or at a `postgresql://` URL.

    Raises:
        MissingExtraError: PostgreSQL is asked for, and its driver is not installed.
    """
    if is_url(place):
        return PostgresDatabase(str(place))
    return SqliteDatabase(Path(place))


def is_url(place: str | Path) -> bool:
    """Whether a place is a URL of PostgreSQL's.

    >>> is_url("postgresql://db/turnout"), is_url("turnout.sqlite3")
    (True, False)
    """
    return str(place).startswith(("postgresql://", "postgres://"))


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


class PostgresDatabase:
    """A database of a PostgreSQL server."""

    identity = "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY"
    tidies_itself = True

    def __init__(self, url: str) -> None:
        self._url = url
        self._psycopg = _psycopg()
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
        self.name = f"postgresql://{parts.hostname or ''}{port}{parts.path}"

    def __repr__(self) -> str:
        return f"PostgresDatabase({self.name!r})"

    def connect(self) -> Connection:
        """A new connection."""
        try:
            connection = self._psycopg.connect(self._url, autocommit=True, connect_timeout=_CONNECT_S)
            connection.execute(f"SET lock_timeout = '{BUSY_S:g}s'")
        except self._psycopg.Error as error:
            raise LedgerError(f"The ledger {self.name} cannot be reached: {self._reason(error)}") from None
        return PostgresConnection(connection, self)

    def create(self) -> None:
        """Nothing: a database is its administrator's to create."""

    def exists(self) -> bool:
        """Always: connecting will tell."""
        return True

    def day_of(self, column: str) -> str:
        """SQL for the UTC day."""
        return f"to_char(to_timestamp({column}) AT TIME ZONE 'UTC', 'YYYY-MM-DD')"

    def _reason(self, error: Exception) -> str:
        # What psycopg says of a URL that it cannot read repeats it, password included.
        secret = urlsplit(self._url).password
        text = _sentence(error)
        return "its URL cannot be read." if (secret and secret in text) else text


class PostgresConnection:
    """A connection to a server."""

    def __init__(self, connection: Any, database: PostgresDatabase) -> None:
        self._connection = connection
        self._database = database
        self._error: type[Exception] = database._psycopg.Error

    def execute(self, sql: str, values: Values = ()) -> list[Row]:
        """The rows that the statement gives."""
        try:
            cursor = self._connection.execute(_in_percent(sql), _storable(values))
            return [] if cursor.description is None else cursor.fetchall()
        except (self._error, UnicodeEncodeError) as error:
            raise self._failed(error) from None

    def stream(self, sql: str, values: Values = ()) -> Iterator[Row]:
        """The rows one by one, fetched a thousand at a time."""
        try:
            with self._connection.transaction(), self._connection.cursor(name="ledger") as cursor:
                cursor.itersize = _FETCHED_AT_ONCE
                yield from cursor.execute(_in_percent(sql), _storable(values))
        except self._error as error:
            raise self._failed(error) from None

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """A transaction that holds a lock which all exclusive ones take."""
        try:
            with self._connection.transaction():
                self.execute("SELECT pg_advisory_xact_lock(?)", (_ONE_AT_A_TIME,))
                yield
        except self._error as error:
            raise self._failed(error) from None

    def is_in_place(self) -> bool:
        """Always: a server whose database is gone says so."""
        return True

    def tidy(self) -> None:
        """Nothing: the server does."""

    def close(self) -> None:
        """Close it."""
        self._connection.close()

    def _failed(self, error: Exception) -> LedgerError:
        if self._is_about_values(error):
            return UnstorableError(f"The ledger {self._database.name} cannot hold this: {_main_part(error)}")
        return LedgerError(f"The ledger {self._database.name} failed: {_main_part(error)}")

    def _is_about_values(self, error: Exception) -> bool:
        if (state := getattr(error, "sqlstate", None)) is not None:
            return state[:2] in _ABOUT_VALUES
        # What the driver itself refuses never gets as far as the server.
        psycopg = self._database._psycopg
        return isinstance(error, (UnicodeEncodeError, psycopg.DataError, psycopg.ProgrammingError))


def _psycopg() -> Any:
    try:
        import psycopg
    except ImportError:
        raise MissingExtraError("psycopg", extra="postgres", purpose="A ledger in PostgreSQL") from None
    return psycopg


def _main_part(error: Exception) -> str:
    """What the server says without its details, which may repeat the values."""
    diagnosis = getattr(error, "diag", None)
    return _sentence((diagnosis.message_primary if diagnosis is not None else None) or error)


def _sentence(error: Exception | str) -> str:
    return " ".join(str(error).split()).rstrip(".") + "."


def _in_percent(sql: str) -> str:
    return sql.replace("%", "%%").replace("?", "%s")


def _storable(values: Values) -> list[Any]:
    # PostgreSQL's text holds no NUL; queries may.
    return [value.replace("\0", "\ufffd") if isinstance(value, str) else value for value in values]
