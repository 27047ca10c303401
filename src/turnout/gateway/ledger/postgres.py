"""A ledger in a database of a PostgreSQL server (extra `postgres`)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from turnout.errors import LedgerError, MissingExtraError, UnstorableError
from turnout.gateway.ledger.database import BUSY_S, Connection, Row, Values

_CONNECT_S = 5
_ABOUT_VALUES = frozenset({"22", "23", "54"})
"""The server's classes of errors about data, constraints and sizes."""

_FETCHED_AT_ONCE = 1_000
_ONE_AT_A_TIME = 0x7475726E  # the advisory lock that exclusive transactions take; any number would do


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
