import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnout.errors import EmptyDataError, InvalidValueError
from turnout.evaluation.curve import routing_curve
from turnout.policy import sends_to_strong

# Few distinct values, so that ties are common.
RATES = st.one_of(st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0, float("nan")]), st.floats(0, 1))
SCORES = st.sampled_from([0.0, 0.5, 1.0, 7.25])
TABLES = st.lists(st.tuples(RATES, SCORES, SCORES), min_size=1, max_size=40)


@given(TABLES)
def test_the_curve_is_the_rule_at_every_threshold(table: list[tuple[float, float, float]]) -> None:
    rates, strong, weak = np.array(table).T
    curve = routing_curve(rates, strong, weak)
    for fraction, quality, threshold in zip(curve.strong_fraction, curve.quality, curve.threshold, strict=True):
        to_strong = sends_to_strong(rates, threshold)
        if threshold == np.inf and fraction == 0:
            to_strong = np.zeros(len(rates), dtype=bool)  # all-weak is reached by no threshold if a rate is NaN
        assert to_strong.mean() == pytest.approx(fraction)
        assert np.where(to_strong, strong, weak).mean() == pytest.approx(quality)


@given(TABLES)
def test_it_has_a_point_for_every_distinct_threshold(table: list[tuple[float, float, float]]) -> None:
    rates, strong, weak = np.array(table).T
    curve = routing_curve(rates, strong, weak)
    assert len(curve.threshold) == 1 + len({*np.where(np.isnan(rates), np.inf, rates).tolist()})
    assert curve.strong_fraction[0] == 0
    assert curve.strong_fraction[-1] == 1
    assert (np.diff(curve.strong_fraction) > 0).all()


@given(TABLES, st.floats(-0.5, 1.5))
def test_routing_by_any_threshold_lands_on_the_curve(table: list[tuple[float, float, float]], threshold: float) -> None:
    rates, strong, weak = np.array(table).T
    fraction, quality = routing_curve(rates, strong, weak).at_threshold(threshold)
    to_strong = sends_to_strong(rates, threshold)
    assert fraction == pytest.approx(to_strong.mean())
    assert quality == pytest.approx(np.where(to_strong, strong, weak).mean())


def test_tied_queries_are_split_at_random_in_expectation() -> None:
    curve = routing_curve([0.9, 0.6, 0.6, 0.1], strong_scores=[1, 1, 0, 1], weak_scores=[0, 0, 0, 1])
    assert curve.quality_at(0.5) == pytest.approx((0.5 + 0.75) / 2)


def test_no_query_is_refused() -> None:
    with pytest.raises(EmptyDataError):
        routing_curve([], [], [])


def test_scores_that_are_not_numbers_are_refused() -> None:
    with pytest.raises(InvalidValueError, match="1 of 2 scores of the weak model are not numbers"):
        routing_curve([0.1, 0.2], [1, 1], [0, float("nan")])


def test_columns_of_different_length_are_refused() -> None:
    with pytest.raises(InvalidValueError, match="one length"):
        routing_curve([0.1, 0.2], [1, 1], [0])


def test_a_swapped_pair_has_no_gap_to_recover() -> None:
    with pytest.raises(InvalidValueError, match="0.5 against 1. There is no gap"):
        routing_curve([0.1, 0.2], strong_scores=[1, 0], weak_scores=[1, 1]).pgr()
