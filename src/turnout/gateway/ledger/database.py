"""The seam to the ledger's database: one dialect of SQL, written for every kind of database that may hold a ledger.

Statements mark values with `?`. They use only what all kinds understand; the two differences that remain are members of
`Database` (`identity`, `day_of`). A connection belongs to one thread at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

Row = tuple[Any, ...]
Values = Sequence[Any]

BUSY_S = 5.0
"""How long a statement waits for another one's lock."""


class Connection(Protocol):
    """An open connection. Outside of a transaction each statement is one of its own."""

    def execute(self, sql: str, values: Values = ()) -> list[Row]:
        """The rows that the statement gives, if any.

        Raises:
            UnstorableError: it will never hold these values.
            LedgerError: the database does not do it.
        """
        ...

    def stream(self, sql: str, values: Values = ()) -> Iterator[Row]:
        """The rows one by one, however many there are."""
        ...

    def exclusive(self) -> AbstractContextManager[None]:
        """A transaction that no other exclusive one overlaps; undone if the block raises."""
        ...

    def is_in_place(self) -> bool:
        """Whether what is written here is found by whoever opens the database now."""
        ...

    def tidy(self) -> None:
        """Put what was written where it stays, while others go on writing. To be called every few seconds."""
        ...

    def close(self) -> None:
        """Close it."""
        ...


class Database(Protocol):
    """Where a ledger is kept."""

    name: str
    """For people: the file, or the address without user and password."""
    identity: str
    """The type of a column that numbers the rows itself."""
    tidies_itself: bool
    """Whether `Connection.tidy` has nothing to do."""

    def connect(self) -> Connection:
        """A new connection.

        Raises:
            LedgerError: there is none to be had.
        """
        ...

    def create(self) -> None:
        """Make the place that `connect` needs, if it is absent and can be made."""
        ...

    def exists(self) -> bool:
        """Whether there may be a ledger; False if there is certainly none."""
        ...

    def day_of(self, column: str) -> str:
        """SQL for the UTC day, such as '2026-11-25', of a column in seconds since 1970."""
        ...
