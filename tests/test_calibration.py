import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnout.calibration import MAX_KEPT, Calibration, calibrate
from turnout.errors import ArtifactError, EmptyDataError, InvalidValueError
from turnout.policy import sends_to_strong

# Few distinct values, so that ties are common.
RATES = st.lists(st.one_of(st.sampled_from([0.0, 0.25, 0.5, 1.0]), st.floats(0, 1)), min_size=1, max_size=60)


@given(RATES, st.floats(0, 1))
def test_the_rule_does_what_the_calibration_says(rates: list[float], wish: float) -> None:
    point = calibrate(rates, wish)
    assert sends_to_strong(rates, point.threshold).mean() == pytest.approx(point.strong_fraction)


@given(RATES, st.floats(0, 1))
def test_it_is_the_largest_reachable_fraction_not_above_the_wish(rates: list[float], wish: float) -> None:
    point = calibrate(rates, wish)
    reachable = [sends_to_strong(rates, threshold).mean() for threshold in [*rates, 2.0]]
    assert point.strong_fraction == pytest.approx(max(f for f in reachable if f <= wish + 1e-9))


def test_the_threshold_is_midway_between_two_win_rates() -> None:
    assert calibrate([0.1, 0.2, 0.4, 0.8], 0.5).threshold == pytest.approx(0.3)


def test_neighbouring_floating_point_numbers_are_told_apart() -> None:
    low, high = 0.5, math.nextafter(0.5, 1)
    assert sends_to_strong([low, high], calibrate([low, high], 0.5).threshold).tolist() == [False, True]


def test_a_wish_that_floating_point_rounds_down_still_counts() -> None:
    assert calibrate(np.arange(10) / 10, 0.1 + 0.2).strong_fraction == 0.3
    assert calibrate(np.arange(100) / 100, 0.29).strong_fraction == 0.29  # 0.29 * 100 is 28.999999999999996


def test_a_constant_router_reaches_only_0_and_1() -> None:
    calibration = Calibration.from_win_rates([0.5] * 7, data="")
    assert calibration.is_constant
    assert [calibration.operating_point(wish).strong_fraction for wish in (0, 0.99, 1)] == [0, 0, 1]
    assert not Calibration.from_win_rates([0.5, 0.6], data="").is_constant


@pytest.mark.parametrize("wish", [-0.1, 1.1, math.nan])
def test_a_wish_outside_0_to_1_is_refused(wish: float) -> None:
    with pytest.raises(InvalidValueError, match=r"strong_fraction must be in \[0, 1\]"):
        calibrate([0.5], wish)


def test_per_cent_is_taken_for_the_slip_it_is() -> None:
    with pytest.raises(InvalidValueError, match=r"got 50\. For 50 % write 0\.5\."):
        calibrate([0.5], 50)


def test_win_rates_that_are_not_numbers_are_refused() -> None:
    with pytest.raises(InvalidValueError, match="2 of 3 win rates are not numbers"):
        calibrate([math.nan, 0.5, math.inf], 0.5)


def test_no_query_is_refused() -> None:
    with pytest.raises(EmptyDataError):
        Calibration.from_win_rates([], data="")


@pytest.mark.parametrize("decimals", [1, 3, 12])
def test_many_queries_are_kept_in_few_points_that_are_exact(decimals: int) -> None:
    rates = np.round(np.random.default_rng(0).beta(2, 5, 50_000), decimals)
    calibration = Calibration.from_win_rates(rates, data="")
    assert len(calibration.thresholds) <= MAX_KEPT
    assert (calibration.lowest, calibration.highest) == (rates.min(), rates.max())
    for wish in np.linspace(0, 1, 101):
        point = calibration.operating_point(wish)
        assert point.strong_fraction == sends_to_strong(rates, point.threshold).mean() <= wish + 1e-12
        assert point.strong_fraction >= calibrate(rates, wish).strong_fraction - 1 / (MAX_KEPT - 1)


@given(RATES)
def test_it_comes_back_from_json_to_the_bit(rates: list[float]) -> None:
    calibration = Calibration.from_win_rates(rates, data="some queries")
    again = Calibration.from_json(json.loads(json.dumps(calibration.to_json())))
    assert again.to_json() == calibration.to_json()
    assert (again.lowest, again.highest, again.n_queries) == (min(rates), max(rates), len(rates))


def test_it_covers_the_win_rates_that_it_saw() -> None:
    calibration = Calibration.from_win_rates([0.2, 0.4], data="")
    assert [calibration.covers(t) for t in (0.19, 0.2, 0.3, 0.4, 0.41)] == [False, True, True, True, False]


GOOD = Calibration.from_win_rates([0.1, 0.5], data="").to_json()


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        ({"n_queries": "many"}, "ValueError"),
        ({"thresholds": [0.1, 0.3, 0.6]}, "must descend"),
        ({"thresholds": [0.6, 0.6, 0.1]}, "must descend"),
        ({"thresholds": [0.6, math.nan, 0.1]}, "must descend"),
        ({"thresholds": [0.6, 0.1]}, "shapes"),
        ({"n_strong": [0, 2, 2]}, "must ascend from 0 to 2"),
        ({"n_queries": 3}, "must ascend from 0 to 3"),
    ],
)
def test_damage_is_told(damage: dict[str, object], problem: str) -> None:
    with pytest.raises(ArtifactError, match=problem):
        Calibration.from_json({**GOOD, **damage})
    with pytest.raises(ArtifactError, match="turnout calibrate"):
        Calibration.from_json({})
