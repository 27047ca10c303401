"""What tests of the ledger share: databases of both kinds, and an entry."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from turnout.gateway.ledger.database import Database
from turnout.gateway.ledger.postgres import PostgresDatabase
from turnout.gateway.ledger.sqlite import SqliteDatabase
from turnout.gateway.ledger.writing import Entry

ENTRY = Entry(
    id="dec-0",
    time=1_700_000_000.25,
    key_id="k1",
    route="auto",
    model="big",
    strong="big",
    weak="small",
    side="strong",
    win_rate=0.1 + 0.2,
    threshold=0.3,
    reason="at or above the threshold",
    query='é "quoted" \n\'; DROP TABLE decisions; -- % ? %s end',
    query_sha256="00",
    stream=True,
    status=200,
    error=None,
    latency_s=0.5,
    upstream_first_byte_s=0.1,
    upstream_latency_s=0.4,
    input_tokens=2**40,
    output_tokens=0,
    cost_usd=1e-7,
    cost_usd_if_strong=None,
)

POSTGRES_URL = os.environ.get("TURNOUT_TEST_POSTGRES_URL", "")
"""A PostgreSQL server's database in which tests may make schemas; without it the tests that need one are skipped."""

KINDS = [
    "sqlite",
    pytest.param("postgres", marks=pytest.mark.skipif(not POSTGRES_URL, reason="TURNOUT_TEST_POSTGRES_URL is not set")),
]


@contextmanager
def empty_database(kind: str, folder: Path) -> Iterator[Database]:
    """A database without a table."""
    if kind == "sqlite":
        yield SqliteDatabase(folder / "sub" / "ledger.sqlite3")
        return
    schema = f"test_{secrets.token_hex(8)}"
    with closing(PostgresDatabase(POSTGRES_URL).connect()) as admin:
        admin.execute(f"CREATE SCHEMA {schema}")
        try:
            yield PostgresDatabase(f"{POSTGRES_URL}?options=-csearch_path%3D{schema}")
        finally:
            admin.execute(f"DROP SCHEMA {schema} CASCADE")
