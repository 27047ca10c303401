import numpy as np
import pytest

from turnout.data.battles import Battles
from turnout.errors import InvalidValueError
from turnout.routers.distinct_queries import DistinctQueries
from turnout.types import ModelPair

PAIR = ModelPair("big", "small")


def test_votes_on_one_query_are_one_row() -> None:
    battles = Battles.from_columns(
        ["Hi there", "bye", "hi  THERE"], ["big", "big", "small"], ["small", "small", "big"], [1.0, 0.5, 0.6],
        weight=[1.0, 2.0, 3.0], pair=PAIR,
    )  # fmt: skip
    known = DistinctQueries.of(battles)
    assert known.texts == ["Hi there", "bye"]
    assert known.shares.tolist() == pytest.approx([(1 * 1.0 + 3 * 0.4) / 4, 0.5])
    assert known.weights.tolist() == [2.0, 1.0]  # in units of the mean weight, 2
    assert known.mean_share == pytest.approx((1 * 1.0 + 2 * 0.5 + 3 * 0.4) / 6)


def test_battles_of_other_models_are_refused() -> None:
    battles = Battles.from_columns(["a", "b"], ["big", "other"], "small", [1.0, 0.0], pair=PAIR)
    with pytest.raises(InvalidValueError, match="Row 1 is between 'other' and 'small'"):
        DistinctQueries.of(battles)


def test_folds_are_of_equal_size_and_seeded() -> None:
    battles = Battles.from_columns([f"q{row}" for row in range(103)], "big", "small", [1.0] * 103, pair=PAIR)
    known = DistinctQueries.of(battles)
    folds = known.folds(5, seed=1)
    assert sorted(np.bincount(folds).tolist()) == [20, 20, 21, 21, 21]
    np.testing.assert_array_equal(folds, known.folds(5, seed=1))
    assert not np.array_equal(folds, known.folds(5, seed=2))
