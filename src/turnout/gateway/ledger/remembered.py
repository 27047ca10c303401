"""Memory between requests: kept by this process, and in the ledger's database for all others and for the next start.

Reads and writes happen off the event loop. Where the database fails, what this process remembers has to do.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from turnout.errors import LedgerError
from turnout.gateway.ledger.calls import LedgerCalls
from turnout.gateway.ledger.database import Connection

MAX_REMEMBERED = 20_000
"""Of each kind in memory, a few megabytes; beyond that those not seen for longest are forgotten."""

READ_LIMIT_S = 0.2
"""How long a request waits for what others remember."""

_LOOK_AGAIN_S = 0.1
_PAUSE_S = 1.0
_SWEEP_EVERY_S = 60.0
_ROWS_AT_ONCE = 500
_logger = logging.getLogger(__name__)


class Timed(Protocol):
    """A frozen dataclass whose fields are the columns of a table, behind its `id`."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def time(self) -> float:
        """In seconds since 1970."""
        ...


Item = TypeVar("Item", bound=Timed)
Part = TypeVar("Part")


@dataclass(frozen=True)
class Table(Generic[Item]):
    """Where items of one kind are kept, and for how long."""

    name: str
    kind: type[Item]
    kept_s: float

    def read(self, connection: Connection, id: str) -> Item | None:
        """The item, or None."""
        columns = ", ".join(self._columns())
        rows = connection.execute(f"SELECT {columns} FROM {self.name} WHERE id = ?", (id,))
        return self.kind(*rows[0]) if rows else None

    def store(self, connection: Connection, items: Mapping[str, Item | None], older_than: float | None) -> None:
        """Keep these (None deletes one), and delete what is older than a time, in seconds since 1970.

        In a few statements, however many there are: others' writes wait while one is under way.
        """
        columns = ("id", *self._columns())
        marks = f"({', '.join('?' for _ in columns)})"
        changes = ", ".join(f"{column} = excluded.{column}" for column in columns[1:])
        kept = [
            (id, *(getattr(item, column) for column in columns[1:])) for id, item in items.items() if item is not None
        ]
        for rows in _parts(kept):
            connection.execute(
                f"INSERT INTO {self.name} ({', '.join(columns)}) VALUES {', '.join([marks] * len(rows))} "
                f"ON CONFLICT (id) DO UPDATE SET {changes}",
                [value for row in rows for value in row],
            )
        for ids in _parts([id for id, item in items.items() if item is None]):
            connection.execute(f"DELETE FROM {self.name} WHERE id IN ({', '.join('?' for _ in ids)})", ids)
        if older_than is not None:
            connection.execute(f"DELETE FROM {self.name} WHERE time < ?", (older_than,))

    def _columns(self) -> list[str]:
        return [column.name for column in fields(self.kind)]


def _parts(rows: Sequence[Part]) -> Iterator[Sequence[Part]]:
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        yield rows[start : start + _ROWS_AT_ONCE]


class Remembered(Generic[Item]):
    """Remembers items of one kind by their ids."""

    table: Table[Item]
    """Set by the subclass."""

    def __init__(
        self,
        calls: LedgerCalls | None = None,
        *,
        shared: bool = False,
        max_remembered: int = MAX_REMEMBERED,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Args:
            calls: to the ledger's database; without it memory is all there is.
            shared: whether other processes write there, too, so that memory is not trusted.
            max_remembered: items in memory.
            clock: seconds since 1970.
            monotonic: seconds that no one can set.
        """
        self.clock = clock
        self._monotonic = monotonic
        self._calls = calls
        self._shared = shared
        self._max_remembered = max_remembered
        self._memory: OrderedDict[str, Item] = OrderedDict()
        self._started = monotonic()
        self._swept = float("-inf")
        self._unwritten: dict[str, Item | None] = {}
        self._writing: asyncio.Task[None] | None = None
        self._failed_before = False
        self._no_reads_until = 0.0

    async def find(self, id: str) -> Item | None:
        """What is remembered under this id, unless it is too old."""
        item = self._memory.get(id)
        if self._calls is not None and (self._shared or (item is None and self._may_be_stored())):
            if id in self._unwritten:
                item = self._unwritten[id]
            else:
                item = await self._read(self._calls, id, item)
        return item if item is not None and self.clock() - item.time <= self.table.kept_s else None

    async def find_soon(self, id: str, *, looks: int = 1) -> Item | None:
        """The same, but where others write there, too, with more looks: what they keep is read a moment later."""
        item = await self.find(id)
        for _ in range(looks if self._shared else 0):
            if item is None:
                await asyncio.sleep(_LOOK_AGAIN_S)
                item = await self.find(id)
        return item

    @property
    def is_failing(self) -> bool:
        """Whether what others know could not be read, or not be told to them, when it was last tried."""
        return self._failed_before

    def known_here(self, id: str) -> Item | None:
        """What this process remembers, without a look at what others know."""
        return self._memory.get(id)

    def keep(self, id: str, item: Item) -> None:
        """Remember it."""
        self._remember(id, item)
        self._write(id, item)

    def forget(self, id: str) -> None:
        """Remember it no longer."""
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

    async def _read(self, calls: LedgerCalls, id: str, known: Item | None) -> Item | None:
        """What the store holds, or what is known here if it cannot be read."""
        if self._monotonic() < self._no_reads_until:
            return known
        try:
            async with asyncio.timeout(READ_LIMIT_S):
                item = await calls.run(partial(self.table.read, id=id))
        except LedgerError as error:
            self._note_failure(error)
            return known
        except TimeoutError:
            self._no_reads_until = self._monotonic() + _PAUSE_S
            self._note_failure(LedgerError("The ledger takes too long to read."))
            return known
        self._failed_before = False
        if item is None:
            self._memory.pop(id, None)
        else:
            self._remember(id, item)
        return item

    def _may_be_stored(self) -> bool:
        """Whether the store may know what memory does not: from before the start, or from long ago."""
        return self._monotonic() - self._started <= self.table.kept_s or len(self._memory) >= self._max_remembered

    def _remember(self, id: str, item: Item) -> None:
        self._memory[id] = item
        self._memory.move_to_end(id)
        if len(self._memory) > self._max_remembered:
            self._memory.popitem(last=False)

    def _write(self, id: str, item: Item | None) -> None:
        if self._calls is None or (len(self._unwritten) >= self._max_remembered and id not in self._unwritten):
            return
        self._unwritten[id] = item
        if self._writing is None:
            self._writing = asyncio.create_task(self._write_all())

    async def _write_all(self) -> None:
        assert self._calls is not None
        try:
            while self._unwritten:
                batch = dict(self._unwritten)
                sweep = self._monotonic() - self._swept > _SWEEP_EVERY_S
                older_than = self.clock() - self.table.kept_s if sweep else None
                await self._calls.run(partial(self.table.store, items=batch, older_than=older_than))
                if sweep:
                    self._swept = self._monotonic()
                for id, item in batch.items():
                    if self._unwritten.get(id) is item:
                        del self._unwritten[id]
                self._failed_before = False
        except LedgerError as error:
            self._unwritten.clear()
            self._note_failure(error)
        finally:
            self._writing = None

    def _note_failure(self, error: LedgerError) -> None:
        if not self._failed_before:
            _logger.error(
                "%s What belongs to conversations is remembered by this process alone until it is back.", error
            )
        self._failed_before = True
