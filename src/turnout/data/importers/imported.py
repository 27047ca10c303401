"""What an importer gives: the data, and an account of what it left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from turnout.data.battles import Battles
from turnout.data.outcomes import Outcomes


@dataclass(frozen=True)
class Imported:
    """Data from a source, with the rows left out counted by reason, so that nothing is lost in silence."""

    data: Battles | Outcomes
    dropped: Mapping[str, int] = field(default_factory=Counter)
    """Reason → rows left out for it."""

    def summary(self) -> str:
        """One line for people.

        >>> Imported(Battles.from_columns(["q"], "a", "b", [1.0]), {"no winner given": 2}).summary()
        '1 battles kept; left out: 2 no winner given.'
        """
        kind = "battles" if isinstance(self.data, Battles) else "queries"
        left_out = ", ".join(f"{count:,} {reason}" for reason, count in self.dropped.items())
        return f"{len(self.data):,} {kind} kept" + (f"; left out: {left_out}." if left_out else ".")
