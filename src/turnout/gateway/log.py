"""The log of decisions: one row a request in SQLite, written off the event loop, read back as data.

`record` only appends to a queue in memory. A thread of its own takes whatever is queued, a few times a second,
and writes it with a single statement: Python's lock is then given up and taken back once a batch instead of once
a row, which on a busy event loop is the difference between keeping up and falling behind.
"""

from __future__ import annotations

import hashlib
import logging
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, fields
from operator import attrgetter
from pathlib import Path

from turnout.config import QueryText
from turnout.errors import ConfigError, DataError

MAX_QUEUED = 100_000
"""Rows that wait in memory, about a minute of full load; beyond it new rows are dropped, and counted."""

_BATCH_ROWS = 500  # SQLite takes 32,766 values in one statement
_PAUSE_S = 0.2
_BUSY_S = 5.0
_logger = logging.getLogger(__name__)


@dataclass(slots=True)
class LogRow:
    """One request: what was decided, what came of it, and what it cost. The table has the same columns."""

    id: str
    """The decision id that the client was told."""
    time: float
    """When the request arrived, in seconds since 1970 (UTC)."""
    route: str
    """The model name that the client asked for."""
    model: str
    side: str | None
    """'strong' or 'weak'; None where a model was asked for by its own name."""
    win_rate: float | None
    threshold: float | None
    reason: str
    query: str | None
    """The query's text, if query_text is 'full'."""
    query_sha256: str | None
    """In hexadecimal, if query_text is 'full' or 'hash'."""
    stream: bool
    status: int
    """What the client saw; 499 if it left before the end."""
    error: str | None
    """What went wrong after the decision, as a code."""
    latency_s: float
    """From the request's arrival to the last byte of its answer."""
    upstream_first_byte_s: float | None
    """From the call of the provider to the beginning of its answer."""
    upstream_latency_s: float | None
    """From the call of the provider to the end of its answer."""
    input_tokens: int | None
    output_tokens: int | None
    cost_usd: float | None
    cost_usd_if_strong: float | None
    """What the same tokens would have cost with the route's strong model."""


_COLUMNS = [field.name for field in fields(LogRow)]
_values_of = attrgetter(*_COLUMNS)
_ONE_ROW = f"({', '.join('?' for _ in _COLUMNS)})"


def _insert(rows: int) -> str:
    return f"INSERT OR IGNORE INTO decisions ({', '.join(_COLUMNS)}) VALUES {', '.join([_ONE_ROW] * rows)}"


def _create_decisions(connection: sqlite3.Connection) -> None:
    connection.execute(
        """
        CREATE TABLE decisions (
            number INTEGER PRIMARY KEY,
            id TEXT NOT NULL UNIQUE,
            time REAL NOT NULL,
            route TEXT NOT NULL,
            model TEXT NOT NULL,
            side TEXT,
            win_rate REAL,
            threshold REAL,
            reason TEXT NOT NULL,
            query TEXT,
            query_sha256 TEXT,
            stream INTEGER NOT NULL,
            status INTEGER NOT NULL,
            error TEXT,
            latency_s REAL NOT NULL,
            upstream_first_byte_s REAL,
            upstream_latency_s REAL,
            input_tokens INTEGER,
            output_tokens INTEGER,
            cost_usd REAL,
            cost_usd_if_strong REAL
        )
        """
    )


MIGRATIONS: tuple[Callable[[sqlite3.Connection], None], ...] = (_create_decisions,)
"""In order. The number that were applied is kept in the file's user_version."""


def migrate(connection: sqlite3.Connection) -> None:
    """Bring a log up to this version, or refuse one that a later version wrote."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version > len(MIGRATIONS):
            raise ConfigError(
                f"The log has schema version {version}, but this version of Turnout knows {len(MIGRATIONS)}. "
                "Update Turnout, or name another file."
            )
        for step in MIGRATIONS[version:]:
            step(connection)
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
    except BaseException:
        connection.rollback()
        raise
    connection.commit()


class DecisionLog:
    """Writes rows to one SQLite file (WAL) from a thread of its own. Never raises into a request."""

    def __init__(self, path: Path, *, query_text: QueryText = "hash", max_queued: int = MAX_QUEUED) -> None:
        self.path = path
        self.query_text = query_text
        self.max_queued = max_queued
        self.written = 0
        self.dropped = 0
        """Rows that found the queue full, or that could not be written at the end."""
        self._queue: deque[LogRow] = deque()
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._failed_before = False

    def start(self) -> None:
        """Open the file, bring it up to date and start the thread.

        Raises:
            ConfigError: the file cannot be opened or written, or is not a log.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with closing(self._connect()) as connection:
                migrate(connection)
        except (OSError, sqlite3.Error) as error:
            raise ConfigError(f"[log]: {self.path} cannot be used as a log ({error}).") from error
        self._closing.clear()
        self._thread = threading.Thread(target=self._run, name="turnout-log", daemon=True)
        self._thread.start()

    def record(self, row: LogRow) -> None:
        """Queue a row. Takes a microsecond, and drops the row (counting it) if the queue is full."""
        if len(self._queue) >= self.max_queued:
            if not self.dropped:
                _logger.error("the decision log cannot keep up: rows are being dropped")
            self.dropped += 1
            return
        self._queue.append(row)
        if not self._wake.is_set():
            self._wake.set()

    def kept_of(self, query: str) -> tuple[str | None, str | None]:
        """What `query_text` allows to be kept of a query: its text, and its SHA-256."""
        if self.query_text == "off":
            return None, None
        digest = hashlib.sha256(query.encode("utf-8", "surrogatepass")).hexdigest()
        return (query if self.query_text == "full" else None), digest

    @property
    def queued(self) -> int:
        """How many rows wait to be written."""
        return len(self._queue)

    def close(self) -> None:
        """Write all that is queued, and stop. Blocks until it is done."""
        if self._thread is None:
            return
        self._closing.set()
        self._wake.set()
        self._thread.join()
        self._thread = None

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=_BUSY_S, isolation_level=None, cached_statements=4)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        return connection

    def _run(self) -> None:
        with closing(self._connect()) as connection:
            while True:
                self._wake.wait()
                # What comes in meanwhile goes into the same transaction.
                self._closing.wait(_PAUSE_S)
                self._wake.clear()
                closing_now = self._closing.is_set()
                emptied = self._write_queued(connection)
                if closing_now:
                    if not emptied:
                        self.dropped += len(self._queue)
                        _logger.error("%d rows of the decision log could not be written", len(self._queue))
                    return
                if not emptied:
                    self._wake.set()

    def _write_queued(self, connection: sqlite3.Connection) -> bool:
        """Whether all that was queued is written."""
        while self._queue:
            batch = [self._queue[i] for i in range(min(len(self._queue), _BATCH_ROWS))]
            try:
                # A statement is a transaction of its own here: the batch is in the file whole or not at all.
                connection.execute(_insert(len(batch)), [value for row in batch for value in _values_of(row)])
            except sqlite3.Error as error:
                if not self._failed_before:
                    _logger.error("the decision log cannot be written (%s); trying again", error)
                self._failed_before = True
                return False
            self._failed_before = False
            for _ in batch:
                self._queue.popleft()
            self.written += len(batch)
        return True


def read_rows(path: str | Path, *, route: str | None = None) -> Iterator[LogRow]:
    """The rows of a log, oldest first; of one route if it is named. The gateway may go on writing.

    Raises:
        DataError: the file is absent, or not a log.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError("there is no such log. The gateway writes one if its configuration has [log] path.", path=path)
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            where, values = ("", ()) if route is None else ("WHERE route = ?", (route,))
            rows = connection.execute(f"SELECT {', '.join(_COLUMNS)} FROM decisions {where} ORDER BY number", values)
            for row in rows:
                values_by_name = dict(zip(_COLUMNS, row, strict=True))
                yield LogRow(**{**values_by_name, "stream": bool(values_by_name["stream"])})
    except sqlite3.Error as error:
        raise DataError(f"this is not a log of decisions ({error}).", path=path) from error


def read_queries(path: str | Path, *, route: str | None = None) -> list[str]:
    """The texts of the queries in a log, oldest first, for calibrating on what users really ask.

    Raises:
        DataError: the file is not a log, or it was written without the queries' text.
    """
    rows = list(read_rows(path, route=route))
    queries = [row.query for row in rows if row.query]
    if rows and not queries:
        raise DataError(
            'none of its rows holds a query\'s text. Set query_text = "full" under [log], serve for a while, and '
            "calibrate on the log then.",
            path=path,
        )
    return queries
