"""Runs short reads and writes of the ledger off the event loop, one after another, on a connection of their own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from turnout.errors import LedgerError
from turnout.gateway.ledger.database import Connection, Database

Result = TypeVar("Result")


class LedgerCalls:
    """A thread with a connection, for whatever must know its result: keys, limits, feedback."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._thread: ThreadPoolExecutor | None = None
        self._connection: Connection | None = None

    async def run(self, step: Callable[[Connection], Result]) -> Result:
        """What the step gives.

        Raises:
            LedgerError: the ledger cannot be read or written. The next call tries a new connection.
        """
        if self._thread is None:
            self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="turnout-ledger-calls")
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._run, step)

    async def aclose(self) -> None:
        """Let what was asked for end, then close the connection. Another call opens it again."""
        thread, self._thread = self._thread, None
        if thread is not None:
            await asyncio.get_running_loop().run_in_executor(thread, self._disconnect)
            thread.shutdown(wait=True)

    def _run(self, step: Callable[[Connection], Result]) -> Result:
        if self._connection is not None and not self._connection.is_in_place():
            self._disconnect()
        try:
            self._connection = self._connection or self._database.connect()
            return step(self._connection)
        except LedgerError:
            self._disconnect()
            raise

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
