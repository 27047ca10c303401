import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from turnout.errors import InvalidValueError
from turnout.evaluation.metrics import (
    apgr,
    apgr_ten_point_grid,
    cpt,
    oracle_win_rates,
    pgr,
    random_apgr_interval,
    savings,
    tied_share,
)
from turnout.types import FloatArray

SCORES = st.sampled_from([0.0, 0.5, 1.0])
PAIRS = st.lists(st.tuples(SCORES, SCORES, st.floats(0, 1)), min_size=2, max_size=40)


def columns(table: list[tuple[float, float, float]]) -> tuple[FloatArray, FloatArray, FloatArray]:
    strong, weak, rates = np.array(table).T
    assume(strong.mean() > weak.mean() + 1e-9)
    return rates, strong, weak


def test_pgr_is_0_for_weak_and_1_for_strong() -> None:
    assert pgr(8.0, strong_quality=9.0, weak_quality=8.0) == 0
    assert pgr(9.0, strong_quality=9.0, weak_quality=8.0) == 1
    assert pgr(7.5, strong_quality=9.0, weak_quality=8.0) == -0.5


def test_four_queries_by_hand() -> None:
    # Strong gains on the queries ranked first and third, loses on the last: mean gain (1 + 0 + 1 - 1) / 4 = 0.25.
    rates, strong, weak = [0.9, 0.7, 0.4, 0.2], [1.0, 1.0, 1.0, 0.0], [0.0, 1.0, 0.0, 1.0]
    # PGR at 0, 1/4, 2/4, 3/4, 1 is 0, 1, 1, 2, 1: four trapezia of width 1/4.
    assert apgr(rates, strong, weak) == pytest.approx((0.5 + 1 + 1.5 + 1.5) / 4)
    assert cpt(rates, strong, weak, 0.5).strong_fraction == pytest.approx(1 / 8)
    assert cpt(rates, strong, weak, 0.5).reachable_strong_fraction == 1 / 4
    assert cpt(rates, strong, weak, 0.5).threshold == 0.9


def test_a_useless_half_costs_what_it_costs() -> None:
    # The router sends the three useless queries first: PGR stays 0 until the last quarter.
    rates, strong, weak = [0.1, 0.9, 0.8, 0.7], [1.0, 1.0, 1.0, 1.0], [0.0, 1.0, 1.0, 1.0]
    assert apgr(rates, strong, weak) == pytest.approx(0.125)
    assert cpt(rates, strong, weak, 0.8).strong_fraction == pytest.approx(0.95)


@given(PAIRS)
def test_constant_win_rates_are_random_routing(table: list[tuple[float, float, float]]) -> None:
    rates, strong, weak = columns(table)
    constant = np.full(len(rates), 0.3)
    assert apgr(constant, strong, weak) == pytest.approx(0.5)
    assert cpt(constant, strong, weak, 0.8).strong_fraction == pytest.approx(0.8)
    assert cpt(constant, strong, weak, 0.8).reachable_strong_fraction == 1
    assert apgr_ten_point_grid(constant, strong, weak) == pytest.approx(0.55)


@given(PAIRS)
def test_only_the_order_of_win_rates_counts(table: list[tuple[float, float, float]]) -> None:
    rates, strong, weak = columns(table)
    ranks = np.unique(rates, return_inverse=True)[1].astype(float)
    assert apgr(ranks, strong, weak) == apgr(rates, strong, weak)


@given(PAIRS)
def test_reversing_the_order_mirrors_the_area(table: list[tuple[float, float, float]]) -> None:
    rates, strong, weak = columns(table)
    assert apgr(1 - np.argsort(np.argsort(rates)) / 100, strong, weak) + apgr(
        np.argsort(np.argsort(rates)) / 100, strong, weak
    ) == pytest.approx(1)


@given(PAIRS)
def test_no_router_beats_the_oracle(table: list[tuple[float, float, float]]) -> None:
    rates, strong, weak = columns(table)
    oracle = oracle_win_rates(strong, weak)
    assert apgr(rates, strong, weak) <= apgr(oracle, strong, weak) + 1e-9
    for share in (0.5, 0.8, 1.0):
        assert (
            cpt(oracle, strong, weak, share).strong_fraction <= cpt(rates, strong, weak, share).strong_fraction + 1e-9
        )


@given(PAIRS, st.floats(0, 1))
def test_the_reachable_fraction_is_reached_and_not_below_the_crossing(
    table: list[tuple[float, float, float]], share: float
) -> None:
    rates, strong, weak = columns(table)
    point = cpt(rates, strong, weak, share)
    to_strong = rates >= point.threshold
    reached = np.where(to_strong, strong, weak).mean()
    assert pgr(reached, strong.mean(), weak.mean()) >= share - 1e-9
    assert point.strong_fraction <= point.reachable_strong_fraction == pytest.approx(to_strong.mean())


@given(PAIRS)
def test_all_strong_always_recovers_the_whole_gap(table: list[tuple[float, float, float]]) -> None:
    rates, strong, weak = columns(table)
    point = cpt(rates, strong, weak, 1.0)  # so that no CPT is ever out of reach
    assert 0 < point.strong_fraction <= point.reachable_strong_fraction <= 1
    assert cpt(rates, strong, weak, 0.0).strong_fraction == 0


def test_half_of_an_even_gap_is_reached_where_it_is() -> None:
    """Of 1,307 queries strong gains 288: (144 / 1307) / (288 / 1307) must not fall short of one half."""
    strong, weak = np.ones(1307), np.repeat([0.0, 1.0], [288, 1307 - 288])
    assert cpt(-np.arange(1307.0), strong, weak, 0.5).reachable_strong_fraction == 144 / 1307


def test_single_random_routers_lie_in_their_interval() -> None:
    random = np.random.default_rng(4)
    strong, weak = (random.random(60) < 0.9).astype(float), (random.random(60) < 0.4).astype(float)
    low, high = random_apgr_interval(strong, weak)
    values = [apgr(random.random(60), strong, weak) for _ in range(2_000)]
    assert 0.93 < np.mean([low <= value <= high for value in values]) < 0.97


def test_equal_models_leave_nothing_to_recover() -> None:
    with pytest.raises(InvalidValueError, match=r"0\.3 against 0\.3"):
        apgr([0.1, 0.2, 0.3], [0.1, 0.2, 0.6], [0.6, 0.2, 0.1])


def test_a_share_in_per_cent_is_taken_for_the_slip_it_is() -> None:
    with pytest.raises(InvalidValueError, match=r"got 50\. For 50 % write 0.5"):
        cpt([0.1, 0.2], [1, 1], [0, 1], 50)


def test_tied_share() -> None:
    assert tied_share([0.1, 0.2, 0.3]) == 0
    assert tied_share([0.4, 0.4, 0.4]) == 1


def test_savings_name_what_they_compare_with() -> None:
    # Strong costs 10 times weak; the router finds the one query in four that needs strong.
    result = savings([0.9, 0.3, 0.2, 0.1], [1, 1, 1, 1], [0, 1, 1, 1], [10.0] * 4, [1.0] * 4, strong_fraction=0.25)
    assert (result.quality, result.cost_usd) == (1.0, 3.25)
    assert (result.random_strong_fraction, result.random_cost_usd) == (1.0, 10.0)
    assert result.against_random == result.against_always_strong == pytest.approx(0.675)
