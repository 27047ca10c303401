"""The ledger: one row a request, written off the event loop in batches, read back as data.

`record` only appends to a queue in memory. A thread of its own takes whatever is queued, a few times a second or once
there is a batch, and writes it with a single statement: Python's lock is then given up and taken back once a batch
instead of once a row, which on a busy event loop is the difference between keeping up and falling behind. What takes
longer has a thread and a connection of its own (upkeep.py).
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, fields
from operator import attrgetter

from turnout.config import QueryText
from turnout.errors import LedgerError, UnstorableError
from turnout.gateway.ledger.database import Connection, Database
from turnout.gateway.ledger.schema import open_ledger
from turnout.gateway.ledger.upkeep import LedgerUpkeep
from turnout.gateway.metrics import Histogram

MAX_QUEUED = 100_000
"""Entries that wait in memory, about a minute of full load; beyond it new ones are dropped, and counted."""

BATCH_ROWS = 500
"""Entries that one statement writes; SQLite takes 32,766 values in one."""

DELAYS_S = (0.05, 0.1, 0.2, 0.25, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5, 10, 30, 60, 300)

_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 5.0
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


class Ledger:
    """Writes entries to a database from a thread of its own. Never raises into a request.

    What the database cannot hold is dropped, entry by entry. What it cannot do at present (it is locked, full, gone) is
    tried again, with longer and longer pauses, for as long as it takes; meanwhile entries wait in memory.
    """

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
        self.refused = 0
        """Entries that the database cannot hold."""
        self.failures = 0
        """Times that the database could not be written."""
        self.delays = Histogram(DELAYS_S, [()])
        """Seconds from the end of each request until its entry was written."""
        self._queue: deque[tuple[float, Entry]] = deque()
        self._wake = threading.Event()
        self._hurry = threading.Event()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._upkeep: LedgerUpkeep | None = None
        self._connection: Connection | None = None
        self._outage: _Outage | None = None

    def start(self) -> None:
        """Open the database, bring it up to date and start the thread.

        Raises:
            LedgerError: it cannot be opened or written, or is something else.
        """
        self._connection = open_ledger(self.database, create=True)
        self._closing.clear()
        self._thread = threading.Thread(target=self._run, name="turnout-ledger", daemon=True)
        self._thread.start()
        if self.keep_days is not None or not self.database.tidies_itself:
            self._upkeep = LedgerUpkeep(self.database, keep_days=self.keep_days)
            self._upkeep.start()

    def record(self, entry: Entry) -> None:
        """Queue an entry. Takes a microsecond, and drops it (and counts that) if the queue is full."""
        queued = len(self._queue)
        if queued >= self.max_queued:
            if not self.dropped:
                _logger.error("%d entries wait to be written to the ledger: further ones are dropped", queued)
            self.dropped += 1
            return
        self._queue.append((time.monotonic(), entry))
        if not self._wake.is_set():
            self._wake.set()
        if queued + 1 == BATCH_ROWS:
            self._hurry.set()

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

    @property
    def failing(self) -> bool:
        """Whether the database cannot be written at present."""
        return self._outage is not None

    def close(self) -> None:
        """Write all that is queued, and stop. Blocks until it is done."""
        if self._thread is None:
            return
        if self._upkeep is not None:
            self._upkeep.close()
            self._upkeep = None
        self._closing.set()
        self._hurry.set()
        self._wake.set()
        self._thread.join()
        self._thread = None

    def _run(self) -> None:
        while True:
            self._wake.wait()
            # What comes in meanwhile goes into the same transaction.
            self._hurry.wait(_PAUSE_S)
            self._wake.clear()
            self._hurry.clear()
            closing_now = self._closing.is_set()
            emptied = self._try_to_write()
            if closing_now:
                # Once more, on a new connection: the file may have been moved away since the last batch.
                emptied = emptied or self._try_to_write()
                if not emptied:
                    self.dropped += len(self._queue)
                    _logger.error("%d entries of the ledger could not be written", len(self._queue))
                self._disconnect()
                return
            if self._outage is not None:
                self._closing.wait(self._outage.pause_s())
                self._wake.set()

    def _try_to_write(self) -> bool:
        """Whether all that was queued is written. If not, the connection is given up: it may be what is broken."""
        try:
            # Should the file be gone, there is one again, with its tables.
            self._connection = self._connection or open_ledger(self.database, create=True)
            self._write_queued(self._connection)
        except LedgerError as error:
            self._disconnect()
            self.failures += 1
            if self._outage is None:
                self._outage = _Outage(self.dropped)
                _logger.error("%s Entries wait in memory, %d at most.", error, self.max_queued)
            return False
        if self._outage is not None:
            lasted_s, dropped = self._outage.lasted_s(), self.dropped - self._outage.dropped_before
            _logger.warning("The ledger is written again after %.1f s; %d entries were dropped.", lasted_s, dropped)
            self._outage = None
        return True

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _write_queued(self, connection: Connection) -> None:
        while self._queue:
            batch = [self._queue[i] for i in range(min(len(self._queue), BATCH_ROWS))]
            unstorable = write_entries(connection, [entry for _, entry in batch])
            if not connection.is_in_place():
                raise LedgerError(f"The ledger {self.database.name} was deleted or moved away while it was in use.")
            for entry, reason in unstorable:
                _logger.error("decision %s is not in the ledger: %s", entry.id, reason)
            now = time.monotonic()
            for ended, _ in batch:
                self._queue.popleft()
                self.delays.observe((), now - ended)
            self.written += len(batch) - len(unstorable)
            self.refused += len(unstorable)


class _Outage:
    """A time in which the database cannot be written."""

    def __init__(self, dropped_before: int) -> None:
        self.dropped_before = dropped_before
        self._began = time.monotonic()
        self._pause_s = _PAUSE_S

    def pause_s(self) -> float:
        """How long to wait before the next try: longer each time."""
        self._pause_s = min(_LONGEST_PAUSE_S, 2 * self._pause_s)
        return self._pause_s

    def lasted_s(self) -> float:
        """Since the first failure."""
        return time.monotonic() - self._began


def write_entries(connection: Connection, entries: Sequence[Entry]) -> list[tuple[Entry, str]]:
    """Write them all, but for those that the database cannot hold; gives these, each with the reason.

    A batch that holds one is halved until it stands alone, so that no other is lost with it.

    Raises:
        LedgerError: the database cannot be written at present; some may have been.
    """
    if not entries:
        return []
    try:
        # A statement is a transaction of its own here: the batch is in the ledger whole or not at all. Should its
        # confirmation be lost, the ids keep the second attempt from writing it twice.
        connection.execute(_insert(len(entries)), [value for entry in entries for value in _values_of(entry)])
    except UnstorableError as error:
        if len(entries) == 1:
            return [(entries[0], str(error))]
        half = len(entries) // 2
        return write_entries(connection, entries[:half]) + write_entries(connection, entries[half:])
    return []


def _insert(rows: int) -> str:
    values = ", ".join([_ONE_ROW] * rows)
    return f"INSERT INTO decisions ({', '.join(COLUMNS)}) VALUES {values} ON CONFLICT DO NOTHING"


def query_sha256(query: str) -> str:
    """What stands for a query where its text is not kept, in hexadecimal."""
    return hashlib.sha256(query.encode("utf-8", "surrogatepass")).hexdigest()
