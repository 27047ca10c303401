"""What is remembered of a conversation between its requests, and only where the request itself does not show it.

A tool loop shows it: its query is that of the request before, and so is its decision. What no request shows is that
the strong model was there for another reason, and what it has in its prompt cache. That is kept in the ledger's
database, for all workers, until `KEPT_S` after the last answer; without a ledger in this process's memory alone.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import astuple, dataclass
from functools import partial

from turnout.errors import LedgerError
from turnout.gateway.database import Connection
from turnout.gateway.ledger_calls import LedgerCalls

KEPT_S = 3_600.0
"""Longer than any provider keeps a prompt cache unless it is paid for."""

MAX_REMEMBERED = 20_000
"""Sessions in memory, a few megabytes; beyond that those not seen for longest are forgotten."""

READ_LIMIT_S = 0.2
"""How long a request waits for what others know of its session."""

_PAUSE_S = 1.0
_SWEEP_EVERY_S = 60.0
_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Session:
    """A conversation that the strong model answered last."""

    model: str
    time: float
    """When that answer ended, in seconds since 1970."""
    cached_tokens: int
    """What its provider said it had read from its prompt cache or written to it."""
    output_tokens: int
    """How long the answer was."""
    pace_s: float
    """From one answer to the next while a tool loop runs, as the last two were; else how long the answer took."""


class Sessions:
    """Remembers sessions; reads and writes happen off the event loop."""

    def __init__(
        self,
        calls: LedgerCalls | None = None,
        *,
        shared: bool = False,
        max_remembered: int = MAX_REMEMBERED,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """
        Args:
            calls: to the ledger's database; without it memory is all there is.
            shared: whether other processes write there, too, so that memory is not trusted.
            max_remembered: sessions in memory.
            clock: seconds since 1970.
        """
        self.clock = clock
        self._calls = calls
        self._shared = shared
        self._max_remembered = max_remembered
        self._memory: OrderedDict[str, Session] = OrderedDict()
        self._started = clock()
        self._swept = 0.0
        self._unwritten: dict[str, Session | None] = {}
        self._writing: asyncio.Task[None] | None = None
        self._failed_before = False
        self._no_reads_until = 0.0

    async def find(self, id: str) -> Session | None:
        """What is remembered of a session that was seen in the last hour."""
        session = self._memory.get(id)
        if self._calls is not None and (self._shared or (session is None and self._may_be_stored())):
            if id in self._unwritten:
                session = self._unwritten[id]
            else:
                session = await self._read(self._calls, id, session)
        return session if session is not None and self.clock() - session.time <= KEPT_S else None

    def known_here(self, id: str) -> Session | None:
        """What this process remembers, without a look at what others know."""
        return self._memory.get(id)

    def keep(self, id: str, session: Session) -> None:
        """Remember it."""
        self._remember(id, session)
        self._write(id, session)

    def forget(self, id: str) -> None:
        """The strong model has it no longer."""
        if self._memory.pop(id, None) is not None:
            self._write(id, None)

    async def written(self) -> None:
        """Wait until all that was kept so far can be read by others."""
        if self._writing is not None:
            await self._writing

    async def aclose(self) -> None:
        """Write what is not written yet."""
        await self.written()
        if self._calls is not None:
            await self._calls.aclose()

    async def _read(self, calls: LedgerCalls, id: str, known: Session | None) -> Session | None:
        """What the store holds, or what is known here if it cannot be read."""
        if time.monotonic() < self._no_reads_until:
            return known
        try:
            async with asyncio.timeout(READ_LIMIT_S):
                session = await calls.run(partial(_read, id=id))
        except LedgerError as error:
            self._note_failure(error)
            return known
        except TimeoutError:
            self._no_reads_until = time.monotonic() + _PAUSE_S
            self._note_failure(LedgerError("The ledger takes too long to read."))
            return known
        self._failed_before = False
        if session is None:
            self._memory.pop(id, None)
        else:
            self._remember(id, session)
        return session

    def _may_be_stored(self) -> bool:
        """Whether the store may know of a session what memory does not: from before the start, or from long ago."""
        return self.clock() - self._started <= KEPT_S or len(self._memory) >= self._max_remembered

    def _remember(self, id: str, session: Session) -> None:
        self._memory[id] = session
        self._memory.move_to_end(id)
        if len(self._memory) > self._max_remembered:
            self._memory.popitem(last=False)

    def _write(self, id: str, session: Session | None) -> None:
        if self._calls is None or (len(self._unwritten) >= self._max_remembered and id not in self._unwritten):
            return
        self._unwritten[id] = session
        if self._writing is None:
            self._writing = asyncio.create_task(self._write_all())

    async def _write_all(self) -> None:
        assert self._calls is not None
        try:
            while self._unwritten:
                batch = dict(self._unwritten)
                now = self.clock()
                sweep = now - self._swept > _SWEEP_EVERY_S
                await self._calls.run(partial(_store, sessions=batch, older_than=now - KEPT_S if sweep else None))
                if sweep:
                    self._swept = now
                for id, session in batch.items():
                    if self._unwritten.get(id) is session:
                        del self._unwritten[id]
                self._failed_before = False
        except LedgerError as error:
            self._unwritten.clear()
            self._note_failure(error)
        finally:
            self._writing = None

    def _note_failure(self, error: LedgerError) -> None:
        if not self._failed_before:
            _logger.error("%s Sessions are remembered by this process alone until it is back.", error)
        self._failed_before = True


def _read(connection: Connection, id: str) -> Session | None:
    rows = connection.execute(
        "SELECT model, time, cached_tokens, output_tokens, pace_s FROM sessions WHERE id = ?", (id,)
    )
    return Session(*rows[0]) if rows else None


def _store(connection: Connection, sessions: Mapping[str, Session | None], older_than: float | None) -> None:
    with connection.exclusive():
        for id, session in sessions.items():
            if session is None:
                connection.execute("DELETE FROM sessions WHERE id = ?", (id,))
                continue
            connection.execute(
                """
                INSERT INTO sessions (id, model, time, cached_tokens, output_tokens, pace_s) VALUES (?, ?, ?, ?, ?, ?)
                ON CONFLICT (id) DO UPDATE SET model = excluded.model, time = excluded.time,
                    cached_tokens = excluded.cached_tokens, output_tokens = excluded.output_tokens,
                    pace_s = excluded.pace_s
                """,
                (id, *astuple(session)),
            )
        if older_than is not None:
            connection.execute("DELETE FROM sessions WHERE time < ?", (older_than,))
