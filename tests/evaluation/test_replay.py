from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from made_up_outcomes import FirstWord

from turnout.errors import InvalidValueError
from turnout.evaluation.pair_table import PairTable
from turnout.evaluation.replay import Replay
from turnout.types import FloatArray


@dataclass
class Estimated:
    win_rates: FloatArray
    novelty: FloatArray


class SureOfHard(FirstWord):
    """Takes every query that does not begin with 'hard' for new."""

    def predict_with_uncertainty(self, queries: Sequence[str]) -> Estimated:
        new = [0.5 if query.startswith("hard") else 1.5 for query in queries]
        return Estimated(self.predict_win_rate(queries), np.array(new))


def test_a_router_is_asked_for_these_rows(table: PairTable) -> None:
    router = FirstWord().fit(table.outcomes.battles(table.pair))
    rows = np.array([5, 3])
    replay = Replay.of(router, table, rows, seed=2)
    np.testing.assert_array_equal(replay.win_rates, router.predict_win_rate([table.outcomes.queries[r] for r in rows]))
    assert (replay.rows.tolist(), replay.seed, replay.drawn_to_mean) == ([5, 3], 2, None)
    assert len(Replay.of(router, table).rows) == len(table)


def test_what_a_router_takes_for_new_is_kept(table: PairTable) -> None:
    whole = Replay.of(SureOfHard().fit(table.outcomes.battles(table.pair)), table)
    hard = np.array([query.startswith("hard") for query in table.outcomes.queries])
    assert whole.drawn_to_mean is not None
    np.testing.assert_array_equal(whole.drawn_to_mean, ~hard)
    part = whole.take(np.array([0, 1]), seed=4)
    assert part.drawn_to_mean is not None
    assert (part.drawn_to_mean.tolist(), part.rows.tolist(), part.seed) == ([False, True], [0, 1], 4)
    np.testing.assert_array_equal(part.win_rates, whole.win_rates[:2])


def test_as_many_win_rates_as_rows() -> None:
    with pytest.raises(InvalidValueError, match="3 rows"):
        Replay(np.zeros(2), np.arange(3))
