"""The ledger: one row a request, written off the event loop in batches, read back as data.

`record` only appends to a queue in memory. A thread of its own takes whatever is queued, a few times a second,
and writes it with a single statement: Python's lock is then given up and taken back once a batch instead of once
a row, which on a busy event loop is the difference between keeping up and falling behind.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, fields
from operator import attrgetter

from turnout.config import QueryText
from turnout.errors import LedgerError
from turnout.gateway.database import Connection, Database
from turnout.gateway.schema import open_ledger

MAX_QUEUED = 100_000
"""Entries that wait in memory, about a minute of full load; beyond it new ones are dropped, and counted."""

DAY_S = 86_400

_BATCH_ROWS = 500  # SQLite takes 32,766 values in one statement
_PAUSE_S = 0.2
_SWEEP_EVERY_S = 3_600.0
_SWEPT_AT_ONCE = 5_000
_logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Entry:
    """One request: what was decided, what came of it, and what it cost. The table `decisions` has the same columns."""

    id: str
    """The decision id that the client was told."""
    time: float
    """When the request arrived, in seconds since 1970 (UTC)."""
    key_id: str | None
    """The public part of the client's key; None where no key was asked for."""
    route: str
    """The model name that the client asked for."""
    model: str
    """The model that answered."""
    strong: str | None
    """The two models that the decision was between; None where a model was asked for by its own name."""
    weak: str | None
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


COLUMNS = tuple(field.name for field in fields(Entry))
_values_of = attrgetter(*COLUMNS)
_ONE_ROW = f"({', '.join('?' for _ in COLUMNS)})"


def _insert(rows: int) -> str:
    values = ", ".join([_ONE_ROW] * rows)
    return f"INSERT INTO decisions ({', '.join(COLUMNS)}) VALUES {values} ON CONFLICT DO NOTHING"


class Ledger:
    """Writes entries to a database from a thread of its own. Never raises into a request."""

    def __init__(
        self,
        database: Database,
        *,
        query_text: QueryText = "hash",
        keep_days: float | None = None,
        max_queued: int = MAX_QUEUED,
    ) -> None:
        self.database = database
        self.query_text = query_text
        self.keep_days = keep_days
        """Entries older than this are deleted, with their feedback; None keeps all."""
        self.max_queued = max_queued
        self.written = 0
        self.dropped = 0
        """Entries that found the queue full, or that could not be written at the end."""
        self._queue: deque[Entry] = deque()
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._connection: Connection | None = None
        self._failed_before = False
        self._swept = float("-inf")

    def start(self) -> None:
        """Open the database, bring it up to date and start the thread.

        Raises:
            LedgerError: it cannot be opened or written, or is something else.
        """
        self._connection = open_ledger(self.database, create=True)
        self._closing.clear()
        if self.keep_days is not None:
            self._wake.set()
        self._thread = threading.Thread(target=self._run, name="turnout-ledger", daemon=True)
        self._thread.start()

    def record(self, entry: Entry) -> None:
        """Queue an entry. Takes a microsecond, and drops it (and counts that) if the queue is full."""
        if len(self._queue) >= self.max_queued:
            if not self.dropped:
                _logger.error("the ledger cannot keep up: entries are being dropped")
            self.dropped += 1
            return
        self._queue.append(entry)
        if not self._wake.is_set():
            self._wake.set()

    def kept_of(self, query: str) -> tuple[str | None, str | None]:
        """What `query_text` allows to be kept of a query: its text, and its SHA-256."""
        if self.query_text == "off":
            return None, None
        digest = query_sha256(query)
        return (query if self.query_text == "full" else None), digest

    @property
    def queued(self) -> int:
        """How many entries wait to be written."""
        return len(self._queue)

    def close(self) -> None:
        """Write all that is queued, and stop. Blocks until it is done."""
        if self._thread is None:
            return
        self._closing.set()
        self._wake.set()
        self._thread.join()
        self._thread = None

    def _run(self) -> None:
        while True:
            self._wake.wait(None if self.keep_days is None else _SWEEP_EVERY_S)
            # What comes in meanwhile goes into the same transaction.
            self._closing.wait(_PAUSE_S)
            self._wake.clear()
            closing_now = self._closing.is_set()
            emptied = self._try(self._write_queued)
            if closing_now:
                if not emptied:
                    self.dropped += len(self._queue)
                    _logger.error("%d entries of the ledger could not be written", len(self._queue))
                self._disconnect()
                return
            if self.keep_days is not None and time.monotonic() - self._swept > _SWEEP_EVERY_S:
                self._swept = time.monotonic()
                self._try(self._sweep)
            if not emptied:
                self._wake.set()

    def _try(self, step: Callable[[Connection], None]) -> bool:
        """Whether the step could be done. If not, the connection is given up: it may be what is broken."""
        try:
            self._connection = self._connection or self.database.connect()
            step(self._connection)
        except LedgerError as error:
            if not self._failed_before:
                _logger.error("%s Trying again.", error)
            self._failed_before = True
            self._disconnect()
            return False
        self._failed_before = False
        return True

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _write_queued(self, connection: Connection) -> None:
        while self._queue:
            batch = [self._queue[i] for i in range(min(len(self._queue), _BATCH_ROWS))]
            # A statement is a transaction of its own here: the batch is in the ledger whole or not at all. Should
            # its confirmation be lost, the ids keep the second attempt from writing it twice.
            connection.execute(_insert(len(batch)), [value for entry in batch for value in _values_of(entry)])
            for _ in batch:
                self._queue.popleft()
            self.written += len(batch)

    def _sweep(self, connection: Connection) -> None:
        assert self.keep_days is not None
        delete_before(connection, time.time() - self.keep_days * DAY_S)


def delete_before(connection: Connection, before: float) -> int:
    """Delete the entries that arrived before a time, with their feedback; gives how many entries that were.

    A few thousand at a time, so that no one waits for long.
    """
    oldest = "SELECT id FROM decisions WHERE time < ? ORDER BY time LIMIT ?"
    deleted = 0
    while True:
        with connection.exclusive():
            chosen = (before, _SWEPT_AT_ONCE)
            connection.execute(f"DELETE FROM feedback WHERE decision_id IN ({oldest})", chosen)
            gone = connection.execute(f"DELETE FROM decisions WHERE id IN ({oldest}) RETURNING 1", chosen)
        deleted += len(gone)
        if len(gone) < _SWEPT_AT_ONCE:
            return deleted


def query_sha256(query: str) -> str:
    """What stands for a query where its text is not kept, in hexadecimal."""
    return hashlib.sha256(query.encode("utf-8", "surrogatepass")).hexdigest()
