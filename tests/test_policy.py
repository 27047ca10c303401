import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnout.errors import InvalidValueError
from turnout.policy import Policy, sends_to_strong
from turnout.types import ModelPair

PAIR = ModelPair("big", "small")


def test_a_win_rate_at_the_threshold_goes_to_strong() -> None:
    assert sends_to_strong([0.4999, 0.5, 0.5001], threshold=0.5).tolist() == [False, True, True]


@pytest.mark.parametrize("threshold", [-1.0, 0.5, 2.0, math.inf])
def test_no_win_rate_goes_to_strong_at_every_threshold(threshold: float) -> None:
    assert sends_to_strong([math.nan], threshold).tolist() == [True]


@given(st.lists(st.floats(0, 1)), st.floats(0, 1), st.floats(0, 1))
def test_a_higher_threshold_never_sends_more_to_strong(rates: list[float], one: float, other: float) -> None:
    at_low, at_high = sends_to_strong(rates, min(one, other)), sends_to_strong(rates, max(one, other))
    assert not (at_high & ~at_low).any()


@given(st.lists(st.one_of(st.floats(0, 1), st.just(math.nan))), st.floats(-0.5, 1.5))
def test_decisions_are_the_rule(rates: list[float], threshold: float) -> None:
    decisions = Policy(PAIR, threshold).decide(rates)
    assert [d.side == "strong" for d in decisions] == sends_to_strong(rates, threshold).tolist()
    assert all(d.model == (PAIR.strong if d.side == "strong" else PAIR.weak) for d in decisions)


def test_a_decision_says_why() -> None:
    decisions = Policy(PAIR, 0.5, route="auto").decide(np.array([0.7, 0.3, math.nan]))
    assert [d.reason for d in decisions] == ["at or above the threshold", "below the threshold", "no win rate"]
    assert {(d.threshold, d.route) for d in decisions} == {(0.5, "auto")}


def test_every_decision_has_an_id_of_its_own() -> None:
    decisions = Policy(PAIR, 0.5).decide([0.5] * 100)
    assert len({d.id for d in decisions}) == 100


def test_a_threshold_that_is_not_a_number_is_refused() -> None:
    with pytest.raises(InvalidValueError, match="NaN"):
        Policy(PAIR, math.nan)


def test_ids_grow_and_never_repeat() -> None:
    ids = [decision.id for decision in Policy(PAIR, 0.5).decide([0.5] * 1_000)]
    assert len(set(ids)) == 1_000
    assert all(len(id) == len("dec-") + 24 for id in ids)
    moments = [id[: len("dec-") + 14] for id in ids]
    assert moments == sorted(moments)
