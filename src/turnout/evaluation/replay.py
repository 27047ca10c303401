"""A router replayed over a table's queries: its win rates, and for which rows they stand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from turnout.errors import InvalidValueError
from turnout.evaluation.pair_table import PairTable
from turnout.routers.base import KnowsWhatIsNew, Router, predict_for_pair
from turnout.types import BoolArray, FloatArray, IntArray


@dataclass(frozen=True, eq=False)
class Replay:
    """Win rates on some of a table's rows, by one fitted router."""

    win_rates: FloatArray
    """Shape (n,)."""
    rows: IntArray
    """Shape (n,): which of the table's rows."""
    seed: int | None = None
    """The training seed, where there are several."""
    drawn_to_mean: BoolArray | None = None
    """Shape (n,): whether the router took the query for unlike its training data, and drew its win rate to the training
    mean; None where the router does not say."""

    def __post_init__(self) -> None:
        if self.win_rates.shape != self.rows.shape:
            raise InvalidValueError(f"{len(self.rows)} rows have win rates of shape {self.win_rates.shape}.")

    @classmethod
    def of_all(cls, win_rates: FloatArray | Sequence[float]) -> Replay:
        """Win rates on every row of a table, in its order."""
        rates = np.asarray(win_rates, dtype=np.float64)
        return cls(rates, np.arange(len(rates)))

    @classmethod
    def of(cls, router: Router, table: PairTable, rows: IntArray | None = None, seed: int | None = None) -> Replay:
        """A fitted router's win rates on these of the table's rows, by default on all."""
        rows = np.arange(len(table)) if rows is None else rows
        queries = [table.outcomes.queries[row] for row in rows]
        if isinstance(router, KnowsWhatIsNew):
            estimates = router.predict_with_uncertainty(queries)
            return cls(estimates.win_rates, rows, seed, estimates.novelty > 1)
        return cls(predict_for_pair(router, queries, table.pair).win_rates, rows, seed)

    def take(self, rows: IntArray, seed: int | None) -> Replay:
        """Of a replay on a whole table, the part on these rows, as a training seed's."""
        drawn = None if self.drawn_to_mean is None else self.drawn_to_mean[rows]
        return Replay(self.win_rates[rows], rows, seed, drawn)

    def scores(self, table: PairTable) -> tuple[FloatArray, FloatArray]:
        """(strong's, weak's) scores on these rows, each of shape (n,)."""
        return table.strong_scores[self.rows], table.weak_scores[self.rows]
