"""Where a ledger is kept, as it is written in the configuration: a path is SQLite's, a URL PostgreSQL's."""

from __future__ import annotations

from pathlib import Path

from turnout.gateway.ledger.database import Database
from turnout.gateway.ledger.postgres import PostgresDatabase
from turnout.gateway.ledger.sqlite import SqliteDatabase


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
