"""The ledger's tables, and the steps that brought them about. The same for SQLite and PostgreSQL."""

from __future__ import annotations

import time
from collections.abc import Callable

from turnout.errors import LedgerError
from turnout.gateway.ledger.database import Connection, Database

Migration = Callable[[Connection, Database], None]


def create_decisions(connection: Connection, database: Database) -> None:
    """One row a request: see `turnout.gateway.ledger.writing.Entry`."""
    connection.execute(
        f"""
        CREATE TABLE decisions (
            number {database.identity},
            id TEXT NOT NULL UNIQUE,
            time DOUBLE PRECISION NOT NULL,
            key_id TEXT,
            route TEXT NOT NULL,
            model TEXT NOT NULL,
            strong TEXT,
            weak TEXT,
            side TEXT,
            win_rate DOUBLE PRECISION,
            threshold DOUBLE PRECISION,
            reason TEXT NOT NULL,
            query TEXT,
            query_sha256 TEXT,
            stream BOOLEAN NOT NULL,
            status INTEGER NOT NULL,
            error TEXT,
            latency_s DOUBLE PRECISION NOT NULL,
            upstream_first_byte_s DOUBLE PRECISION,
            upstream_latency_s DOUBLE PRECISION,
            input_tokens BIGINT,
            output_tokens BIGINT,
            cost_usd DOUBLE PRECISION,
            cost_usd_if_strong DOUBLE PRECISION
        )
        """
    )
    connection.execute("CREATE INDEX decisions_by_time ON decisions (time)")


def create_feedback(connection: Connection, database: Database) -> None:
    """What clients said of answers, the latest of each kind: see `turnout.gateway.ledger.feedback.Feedback`."""
    connection.execute(
        """
        CREATE TABLE feedback (
            decision_id TEXT NOT NULL,
            kind TEXT NOT NULL,
            time DOUBLE PRECISION NOT NULL,
            score DOUBLE PRECISION,
            preferred TEXT,
            PRIMARY KEY (decision_id, kind)
        )
        """
    )


def create_client_keys(connection: Connection, database: Database) -> None:
    """The clients' keys, as hashes, and what each may spend: see `turnout.gateway.limits.keys.ClientKey`.

    `change` grows with every change of any key, so that a worker sees by the largest one whether to read again.
    """
    connection.execute(
        """
        CREATE TABLE client_keys (
            id TEXT PRIMARY KEY,
            secret_sha256 TEXT NOT NULL,
            name TEXT,
            created DOUBLE PRECISION NOT NULL,
            revoked DOUBLE PRECISION,
            routes TEXT,
            requests_per_minute BIGINT,
            tokens_per_minute BIGINT,
            usd_per_day DOUBLE PRECISION,
            usd_per_month DOUBLE PRECISION,
            at_limit TEXT NOT NULL,
            change BIGINT NOT NULL UNIQUE
        )
        """
    )


def create_leases(connection: Connection, database: Database) -> None:
    """Which worker holds how much of which limit: see `turnout.gateway.limits.leases`."""
    connection.execute(
        """
        CREATE TABLE leases (
            key_id TEXT NOT NULL,
            kind TEXT NOT NULL,
            window_start BIGINT NOT NULL,
            worker TEXT NOT NULL,
            held DOUBLE PRECISION NOT NULL,
            used DOUBLE PRECISION NOT NULL,
            reported DOUBLE PRECISION NOT NULL,
            window_end BIGINT NOT NULL,
            PRIMARY KEY (key_id, kind, window_start, worker)
        )
        """
    )


def create_sessions(connection: Connection, database: Database) -> None:
    """What is remembered of conversations for an hour: see `turnout.gateway.choosing.sessions.Session`."""
    connection.execute(
        """
        CREATE TABLE sessions (
            id TEXT PRIMARY KEY,
            model TEXT NOT NULL,
            time DOUBLE PRECISION NOT NULL,
            cached_tokens BIGINT NOT NULL,
            output_tokens BIGINT NOT NULL
        )
        """
    )
    connection.execute("CREATE INDEX sessions_by_time ON sessions (time)")


def add_pace_of_sessions(connection: Connection, database: Database) -> None:
    """How fast a conversation's tool loops run."""
    connection.execute("ALTER TABLE sessions ADD COLUMN pace_s DOUBLE PRECISION NOT NULL DEFAULT 0")


def create_stored_responses(connection: Connection, database: Database) -> None:
    """Which model holds a stored response: see `turnout.gateway.choosing.stored_responses.StoredResponse`."""
    connection.execute(
        """
        CREATE TABLE stored_responses (
            id TEXT PRIMARY KEY,
            model TEXT NOT NULL,
            time DOUBLE PRECISION NOT NULL,
            address TEXT NOT NULL
        )
        """
    )
    connection.execute("CREATE INDEX stored_responses_by_time ON stored_responses (time)")


def add_cost_of_staying_to_sessions(connection: Connection, database: Database) -> None:
    """What it has cost so far to keep a conversation's prompt cache."""
    connection.execute("ALTER TABLE sessions ADD COLUMN stay_usd DOUBLE PRECISION NOT NULL DEFAULT 0")


MIGRATIONS: tuple[Migration, ...] = (
    create_decisions,
    create_feedback,
    create_client_keys,
    create_leases,
    create_sessions,
    add_pace_of_sessions,
    create_stored_responses,
    add_cost_of_staying_to_sessions,
)
"""In order. Which ones a ledger has seen stands in its table `migrations`, by their names."""


def migrate(connection: Connection, database: Database) -> None:
    """Bring a ledger up to this version.

    Raises:
        LedgerError: a later version wrote it, or it is another program's database.
    """
    with connection.exclusive():
        connection.execute(
            "CREATE TABLE IF NOT EXISTS migrations (name TEXT PRIMARY KEY, applied DOUBLE PRECISION NOT NULL)"
        )
        applied = {name for (name,) in connection.execute("SELECT name FROM migrations")}
        known = [step.__name__ for step in MIGRATIONS]
        if unknown := sorted(applied.difference(known)):
            raise LedgerError(
                f"The ledger {database.name} was written by a later version of Turnout (it has seen "
                f"'{unknown[0]}'). Update Turnout, or name another ledger."
            )
        for step in MIGRATIONS:
            if step.__name__ not in applied:
                step(connection, database)
                connection.execute("INSERT INTO migrations VALUES (?, ?)", (step.__name__, time.time()))


def open_ledger(database: Database, *, create: bool = False) -> Connection:
    """A connection to a ledger that is up to date.

    Args:
        database: where it is.
        create: whether to make one where none is; never done to a place that one only wants to read.

    Raises:
        LedgerError: there is none, or the place holds something else.
    """
    if create:
        database.create()
    elif not database.exists():
        raise LedgerError(f"There is no ledger at {database.name}. The gateway keeps one if [ledger] says where.")
    connection = database.connect()
    try:
        if not create:
            try:
                connection.execute("SELECT name FROM migrations")
            except LedgerError:
                raise LedgerError(f"{database.name} holds no ledger of Turnout's.") from None
        migrate(connection, database)
    except BaseException:
        connection.close()
        raise
    return connection
