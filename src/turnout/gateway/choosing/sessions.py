"""What is remembered of a conversation between its requests, and only where the request itself does not show it.

A tool loop shows it: its query is that of the request before, and so is its decision. What no request shows is that
the strong model was there for another reason, what it has in its prompt cache, and what keeping that has cost. That is
kept in the ledger's database, for all workers, until `KEPT_S` after the last answer; without a ledger in this process's
memory alone.
"""

from __future__ import annotations

from dataclasses import dataclass

from turnout.gateway.ledger.remembered import Remembered, Table

KEPT_S = 3_600.0
"""Longer than any provider keeps a prompt cache unless it is paid for."""


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
    stay_usd: float = 0.0
    """What its answers since the last turn that wanted strong have cost beyond what weak would have taken for them."""


class Sessions(Remembered[Session]):
    """Remembers sessions by the hashes that `SessionName` gives."""

    table = Table("sessions", Session, KEPT_S)
