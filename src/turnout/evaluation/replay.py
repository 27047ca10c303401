"""A router replayed over a table's queries: its win rates, and for which rows they stand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from turnout.errors import InvalidValueError
from turnout.evaluation.pair_table import PairTable
from turnout.types import FloatArray, IntArray


@dataclass(frozen=True, eq=False)
class Replay:
    """Win rates on some of a table's rows, by one fitted router."""

    win_rates: FloatArray
    """Shape (n,)."""
    rows: IntArray
    """Shape (n,): which of the table's rows."""
    seed: int | None = None
    """The training seed, where there are several."""

    def __post_init__(self) -> None:
        if self.win_rates.shape != self.rows.shape:
            raise InvalidValueError(f"{len(self.rows)} rows have win rates of shape {self.win_rates.shape}.")

    @classmethod
    def of_all(cls, win_rates: FloatArray | Sequence[float]) -> Replay:
        """Win rates on every row of a table, in its order."""
        rates = np.asarray(win_rates, dtype=np.float64)
        return cls(rates, np.arange(len(rates)))

    def scores(self, table: PairTable) -> tuple[FloatArray, FloatArray]:
        """(strong's, weak's) scores on these rows, each of shape (n,)."""
        return table.strong_scores[self.rows], table.weak_scores[self.rows]
