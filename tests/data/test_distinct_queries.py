import numpy as np
import pytest

from turnout.data.battles import Battles
from turnout.data.distinct_queries import DistinctQueries, held_out_folds
from turnout.errors import InvalidValueError
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


def test_every_query_is_held_out_once_where_there_are_few() -> None:
    folds = held_out_folds(103, seed=1)
    assert sorted(int(fold.sum()) for fold in folds) == [20, 20, 21, 21, 21]
    np.testing.assert_array_equal(np.sum(folds, axis=0), np.ones(103))
    np.testing.assert_array_equal(folds, held_out_folds(103, seed=1))
    assert not np.array_equal(folds, held_out_folds(103, seed=2))


@pytest.mark.parametrize(("n_queries", "n_folds"), [(9, 0), (10, 5), (2_500, 4), (10_000, 1), (60_000, 1)])
def test_large_data_is_held_out_once(n_queries: int, n_folds: int) -> None:
    assert len(held_out_folds(n_queries, seed=0)) == n_folds
