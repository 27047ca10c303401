"""What a ledger needs from time to time, off the thread that writes entries: tidying, and deleting what is old."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from turnout.errors import LedgerError
from turnout.gateway.ledger.database import Connection, Database

DAY_S = 86_400

TIDY_EVERY_S = 5.0
SWEEP_EVERY_S = 3_600.0

_STEP_S = 60.0
"""A clock that moved by so much more or less than time did was set."""
_SWEPT_AT_ONCE = 500
_BREATH_S = 0.05
_logger = logging.getLogger(__name__)


class LedgerUpkeep:
    """A thread with a connection of its own, which nothing waits for."""

    def __init__(
        self,
        database: Database,
        *,
        keep_days: float | None = None,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Args:
        database: with its tables.
        keep_days: entries older than this are deleted; None keeps all.
        clock: seconds since 1970.
        monotonic: seconds that no one can set.
        """
        self._database = database
        self._keep_days = keep_days
        self._clock = clock
        self._monotonic = monotonic
        self._connection: Connection | None = None
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._swept = float("-inf")
        self._offset = clock() - monotonic()
        self._failed_before = False

    def start(self) -> None:
        """Begin."""
        self._thread = threading.Thread(target=self._run, name="turnout-ledger-upkeep", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop, at the latest once the statement under way has ended."""
        self._closing.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def step(self) -> None:
        """Do what is due."""
        try:
            if self._connection is not None and not self._connection.is_in_place():
                self._disconnect()
            self._connection = self._connection or self._database.connect()
            self._connection.tidy()
            if self._keep_days is not None and self._monotonic() - self._swept > SWEEP_EVERY_S:
                self._swept = self._monotonic()
                self._sweep(self._connection, self._keep_days)
        except LedgerError as error:
            if not self._failed_before:
                _logger.error("%s It is not tidied until it can be.", error)
            self._failed_before = True
            self._disconnect()
            return
        self._failed_before = False

    def _run(self) -> None:
        self.step()
        while not self._closing.wait(TIDY_EVERY_S):
            self.step()
        self._disconnect()

    def _sweep(self, connection: Connection, keep_days: float) -> None:
        now = self._clock()
        offset, self._offset = self._offset, now - self._monotonic()
        if abs(self._offset - offset) > _STEP_S:
            # If it was set wrongly, an hour is enough to set it right before anything is deleted by it.
            _logger.warning("the clock was set: nothing old is deleted from the ledger for another hour")
            return
        delete_before(connection, now - keep_days * DAY_S, go_on=lambda: not self._closing.wait(_BREATH_S))

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def delete_before(connection: Connection, before: float, *, go_on: Callable[[], bool] = lambda: True) -> int:
    """Delete the entries that arrived before a time, with their feedback; gives how many entries that were.

    A few hundred at a time, between which others write and `go_on` is asked.
    """
    oldest = "SELECT id FROM decisions WHERE time < ? ORDER BY time LIMIT ?"
    deleted = 0
    while True:
        with connection.exclusive():
            chosen = (before, _SWEPT_AT_ONCE)
            connection.execute(f"DELETE FROM feedback WHERE decision_id IN ({oldest})", chosen)
            gone = connection.execute(f"DELETE FROM decisions WHERE id IN ({oldest}) RETURNING 1", chosen)
        deleted += len(gone)
        if len(gone) < _SWEPT_AT_ONCE or not go_on():
            return deleted
