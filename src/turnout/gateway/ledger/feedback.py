"""What clients said of answers, kept beside the decisions that brought them."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Literal

from turnout.gateway.ledger.database import Connection
from turnout.gateway.ledger.writing import Entry


@dataclass(frozen=True, slots=True)
class Feedback:
    """What a client says of one answer: how good it was, or which model's would have been better."""

    decision_id: str
    kind: Literal["score", "preferred"]
    score: float | None = None
    """How good the answer was, in [0, 1]: a thumb up is 1, a thumb down 0."""
    preferred: str | None = None
    """The model whose answer to the same query is the better one; it may be the one that answered."""


def keep(connection: Connection, feedback: Feedback) -> None:
    """Keep what was said, in place of what was said before."""
    connection.execute(
        """
        INSERT INTO feedback (decision_id, kind, time, score, preferred) VALUES (?, ?, ?, ?, ?)
        ON CONFLICT (decision_id, kind)
        DO UPDATE SET time = excluded.time, score = excluded.score, preferred = excluded.preferred
        """,
        (feedback.decision_id, feedback.kind, time.time(), feedback.score, feedback.preferred),
    )


def rival(entry: Entry, preferred: str) -> str | None:
    """The model that a preferred one was better than: the one that answered, or else the other of its pair."""
    if preferred != entry.model:
        return entry.model
    return next((model for model in (entry.strong, entry.weak) if model not in (None, entry.model)), None)


def feedback_of(connection: Connection, decision_id: str) -> list[Feedback]:
    """What was said of one decision's answer."""
    rows = connection.execute(
        "SELECT decision_id, kind, score, preferred FROM feedback WHERE decision_id = ? ORDER BY kind", (decision_id,)
    )
    return [_feedback(row) for row in rows]


def _feedback(row: tuple[Any, ...]) -> Feedback:
    return Feedback(*row)
