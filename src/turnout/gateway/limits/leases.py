"""Which worker holds how much of which limit, kept in the ledger so that all workers together stay below each limit.

A worker *holds* a slice of a limit's window (this minute, this day, this month) and spends it in memory. The slices
that are held never add up to more than the limit, so neither does what is spent. Each second a worker reports how much
of its slice it has used. A worker that has not reported for `LAPSE_S` is taken for dead: what it held beyond its last
report is free again. Its own side of the bargain is to spend nothing from a slice that it could not report for
`VALID_S`.
"""

from __future__ import annotations

import calendar
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from turnout.gateway.ledger.database import Connection

Kind = Literal["requests_per_minute", "tokens_per_minute", "usd_per_day", "usd_per_month"]

VALID_S = 20.0
LAPSE_S = 30.0

_MINUTES_KEPT_S = 3_600
_DAYS_KEPT_S = 40 * 86_400
"""How long the slices of a window that is over are kept. Calls under way at its end still settle in it; and if it is
over only because someone set the clock wrong, what was spent in it must be there when the clock is right again."""


@dataclass(frozen=True, slots=True)
class Window:
    """When a limit is counted anew: from `start` until before `end`, in seconds since 1970."""

    start: int
    end: int

    def holds(self, now: float) -> bool:
        """Whether a time lies in it."""
        return self.start <= now < self.end


def window_of(kind: Kind, now: float) -> Window:
    """The calendar's minute, day or month (UTC) that a time lies in.

    >>> window_of("requests_per_minute", 125.0)
    Window(start=120, end=180)
    >>> window_of("usd_per_month", 40 * 86_400.0)  # the tenth of February 1970
    Window(start=2678400, end=5097600)
    """
    length = 86_400 if kind == "usd_per_day" else 60
    if kind != "usd_per_month":
        start = int(now // length * length)
        return Window(start, start + length)
    year, month, *_ = time.gmtime(now)
    start = calendar.timegm((year, month, 1, 0, 0, 0))
    return Window(start, start + calendar.monthrange(year, month)[1] * 86_400)


@dataclass(frozen=True, slots=True)
class Claim:
    """What a worker has used of a limit in a window, and what it would like to have in hand beyond that."""

    key_id: str
    kind: Kind
    window: Window
    limit: float
    used: float
    """Spent, or set aside for calls under way."""
    spare: float
    """0 gives back whatever is not used."""


def lease(connection: Connection, worker: str, claims: Sequence[Claim], *, now: float) -> list[float]:
    """What the worker holds from now on for each claim: between `used` and `used + spare`, as far as there is room.

    It may have used more than it held, where a call cost more than its worst case was thought to be. That counts, and
    no one gets anything until the window is over.

    Raises:
        LedgerError: the ledger cannot be read or written; nothing has changed then.
    """
    with connection.exclusive():
        return [_lease(connection, worker, claim, now) for claim in claims]


def _lease(connection: Connection, worker: str, claim: Claim, now: float) -> float:
    window = (claim.key_id, claim.kind, claim.window.start)
    of_window = "key_id = ? AND kind = ? AND window_start = ?"
    connection.execute(
        f"UPDATE leases SET held = used WHERE {of_window} AND worker <> ? AND reported < ? AND held > used",
        (*window, worker, now - LAPSE_S),
    )
    ((others,),) = connection.execute(
        f"SELECT COALESCE(SUM(held), 0) FROM leases WHERE {of_window} AND worker <> ?", (*window, worker)
    )
    held = max(claim.used, min(claim.used + claim.spare, claim.limit - float(others)))
    connection.execute(
        """
        INSERT INTO leases (key_id, kind, window_start, worker, held, used, reported, window_end)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?)
        ON CONFLICT (key_id, kind, window_start, worker)
        DO UPDATE SET held = excluded.held, used = excluded.used, reported = excluded.reported
        """,
        (*window, worker, held, claim.used, now, claim.window.end),
    )
    return held


def forget_past_windows(connection: Connection, *, now: float) -> None:
    """Delete the slices of windows that have been over for a while."""
    connection.execute(
        "DELETE FROM leases WHERE window_end < ? OR (window_end < ? AND kind IN (?, ?))",
        (now - _DAYS_KEPT_S, now - _MINUTES_KEPT_S, "requests_per_minute", "tokens_per_minute"),
    )


def used_in_window(connection: Connection, key_id: str, kind: Kind, *, now: float) -> float:
    """What all workers reported as used of a key's limit in the present window."""
    ((used,),) = connection.execute(
        "SELECT COALESCE(SUM(used), 0) FROM leases WHERE key_id = ? AND kind = ? AND window_start = ?",
        (key_id, kind, window_of(kind, now).start),
    )
    return float(used)
