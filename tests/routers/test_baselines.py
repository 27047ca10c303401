import numpy as np

from turnout.data.battles import Battles
from turnout.routers.baselines import QueryLength
from turnout.types import ModelPair


def fitted(share: float = 1.0) -> QueryLength:
    return QueryLength().fit(Battles.from_columns(["q"], "big", "small", [share]).for_pair(ModelPair("big", "small")))


def test_the_longer_query_goes_to_strong_first() -> None:
    queries = ["What is it?", "Why?", "Why is it so, and what follows from that?", ""]
    assert np.argsort(-fitted().predict_win_rate(queries)).tolist() == [2, 0, 1, 3]


def test_nothing_is_learned() -> None:
    assert fitted(1.0).predict_win_rate(["a query"]) == fitted(0.0).predict_win_rate(["a query"])


def test_any_two_lengths_are_told_apart_and_equal_ones_tie() -> None:
    short, long, longer = fitted().predict_win_rate(["x", "x" * 1_000_000, "x" * 1_000_001])
    assert 0 < short < long < longer < 1
    one, other = fitted().predict_win_rate(["four", "five"])
    assert one == other
