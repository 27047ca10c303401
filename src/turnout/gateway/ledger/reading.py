"""Reads the ledger back: entries, the queries in them, and what routing saved. The gateway may go on writing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from turnout.errors import DataError, InvalidValueError
from turnout.gateway.ledger.database import Connection, Database
from turnout.gateway.ledger.place import open_database
from turnout.gateway.ledger.schema import open_ledger
from turnout.gateway.ledger.writing import COLUMNS, Entry

Grouping = Literal["route", "model", "key", "day"]
"""What savings are told apart by."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which entries; by default all."""

    route: str | None = None
    model: str | None = None
    key_id: str | None = None
    since: float | None = None
    """Arrived at this time or later, in seconds since 1970."""
    until: float | None = None
    """Arrived before this time."""
    failed: bool = False
    """Only those whose client saw no 200, or whose stream broke."""

    def where(self) -> tuple[str, list[Any]]:
        """A condition on `decisions` in SQL, and its values."""
        conditions, values = [], []
        for condition, value in (
            ("decisions.route = ?", self.route),
            ("decisions.model = ?", self.model),
            ("decisions.key_id = ?", self.key_id),
            ("decisions.time >= ?", self.since),
            ("decisions.time < ?", self.until),
        ):
            if value is not None:
                conditions.append(condition)
                values.append(value)
        if self.failed:
            conditions.append("(status <> 200 OR error IS NOT NULL)")
        return " AND ".join(conditions) or "1 = 1", values


ALL = Selection()


def read_entries(place: str | Path | Database, selection: Selection = ALL) -> Iterator[Entry]:
    """The entries of a ledger, oldest first.

    Raises:
        LedgerError: there is no ledger.
    """
    with closing(open_ledger(_database(place))) as connection:
        where, values = selection.where()
        for row in connection.stream(
            f"SELECT {', '.join(COLUMNS)} FROM decisions WHERE {where} ORDER BY number", values
        ):
            yield entry_of(row)


def last_entries(
    connection: Connection, count: int, selection: Selection = ALL, *, after: int = 0
) -> list[tuple[int, Entry]]:
    """(number, entry) of the latest entries behind a number, oldest first, at most `count`."""
    where, values = selection.where()
    rows = connection.execute(
        f"SELECT number, {', '.join(COLUMNS)} FROM decisions WHERE {where} AND number > ? ORDER BY number DESC LIMIT ?",
        [*values, after, count],
    )
    return [(row[0], entry_of(row[1:])) for row in reversed(rows)]


def find_entry(connection: Connection, id: str) -> Entry | None:
    """The entry with this decision id."""
    rows = connection.execute(f"SELECT {', '.join(COLUMNS)} FROM decisions WHERE id = ?", (id,))
    return entry_of(rows[0]) if rows else None


def read_queries(place: str | Path | Database, selection: Selection = ALL) -> list[str]:
    """The texts of the queries in a ledger, oldest first, for calibrating on what users really ask.

    Raises:
        LedgerError: there is no ledger.
        DataError: it was written without the queries' text.
    """
    seen, queries = 0, []
    for entry in read_entries(place, selection):
        seen += 1
        if entry.query:
            queries.append(entry.query)
    if seen and not queries:
        raise DataError(
            'none of its entries holds a query\'s text. Set query_text = "full" under [ledger] and serve for a while.',
            path=str(place) if isinstance(place, str | Path) else place.name,
        )
    return queries


@dataclass(frozen=True, slots=True)
class Savings:
    """What one group of requests cost, beside what it would have cost had all that were routed gone to strong."""

    group: str
    """The route, the model, the key's id or the day (UTC); empty for requests without a key."""
    requests: int
    routed: int
    """Those for which there was a decision to take."""
    strong: int
    """Of the routed ones, those decided for strong."""
    spent_usd: float
    all_strong_usd: float
    """A request for a model by its own name costs here what it cost."""
    unpriced: int
    """Answered requests whose cost is not known (no price, or no token counts); they stand in neither sum."""

    @property
    def saved_usd(self) -> float:
        """The difference; below 0 where strong would have been cheaper."""
        return self.all_strong_usd - self.spent_usd

    @property
    def strong_fraction(self) -> float | None:
        """In [0, 1]; None where nothing was routed."""
        return self.strong / self.routed if self.routed else None


def savings(place: str | Path | Database, by: Grouping = "route", selection: Selection = ALL) -> list[Savings]:
    """Savings by group, those who spent most first; by day in their order.

    Raises:
        LedgerError: there is no ledger.
    """
    if by not in get_args(Grouping):
        raise InvalidValueError(f"Savings are told apart by one of {', '.join(get_args(Grouping))}, got '{by}'.")
    database = _database(place)
    group = {"key": "key_id", "day": database.day_of("time")}.get(by, by)
    where, values = selection.where()
    order = "1" if by == "day" else "5 DESC, 1"
    # Only what has both costs counts in the sums, so that their difference is what was saved.
    priced = "cost_usd IS NOT NULL AND (side IS NULL OR cost_usd_if_strong IS NOT NULL)"
    with closing(open_ledger(database)) as connection:
        rows = connection.execute(
            f"""
            SELECT COALESCE({group}, ''), COUNT(*), COUNT(side), COUNT(CASE WHEN side = 'strong' THEN 1 END),
                COALESCE(SUM(CASE WHEN {priced} THEN cost_usd END), 0),
                COALESCE(SUM(CASE WHEN {priced} THEN COALESCE(cost_usd_if_strong, cost_usd) END), 0),
                COUNT(CASE WHEN status = 200 AND NOT ({priced}) THEN 1 END)
            FROM decisions WHERE {where} GROUP BY 1 ORDER BY {order}
            """,
            values,
        )
    return [Savings(*row) for row in rows]


def total(parts: list[Savings]) -> Savings:
    """All groups together."""
    return Savings(
        "all",
        requests=sum(part.requests for part in parts),
        routed=sum(part.routed for part in parts),
        strong=sum(part.strong for part in parts),
        spent_usd=sum(part.spent_usd for part in parts),
        all_strong_usd=sum(part.all_strong_usd for part in parts),
        unpriced=sum(part.unpriced for part in parts),
    )


def _database(place: str | Path | Database) -> Database:
    return open_database(place) if isinstance(place, str | Path) else place


def entry_of(row: tuple[Any, ...]) -> Entry:
    """The entry in a row of the columns `COLUMNS`."""
    values = dict(zip(COLUMNS, row, strict=True))
    return Entry(**{**values, "stream": bool(values["stream"])})
