import numpy as np
import pytest

from turnout.errors import InvalidValueError
from turnout.evaluation.bootstrap import Interval, Replicates, bootstrap, over_seeds, paired_difference
from turnout.evaluation.curve import routing_curve
from turnout.evaluation.metrics import apgr, cpt
from turnout.types import FloatArray, IntArray


@pytest.fixture
def table() -> tuple[FloatArray, FloatArray, FloatArray]:
    random = np.random.default_rng(5)
    strong, weak = (random.random(300) < 0.8).astype(float), (random.random(300) < 0.5).astype(float)
    rates = np.round(0.5 + 0.2 * (strong - weak) + 0.3 * random.standard_normal(300), 1)  # with many ties
    return rates, strong, weak


def drawn_counts(n: int, n_replicates: int, seed: int) -> list[IntArray]:
    random = np.random.default_rng(seed)
    return [np.bincount(random.integers(0, n, size=n), minlength=n) for _ in range(n_replicates)]


def test_a_replicate_is_the_metric_on_the_drawn_queries(table: tuple[FloatArray, FloatArray, FloatArray]) -> None:
    replicates = bootstrap(*table, n_replicates=20, seed=7, shares=(0.5,), strong_fractions=(0.3, 0.9))
    for row, counts in enumerate(drawn_counts(300, 20, seed=7)):
        rates, strong, weak = (np.repeat(column, counts) for column in table)
        curve = routing_curve(rates, strong, weak)
        assert replicates.apgr[row] == pytest.approx(apgr(rates, strong, weak))
        assert replicates.cpt[0.5][row] == pytest.approx(cpt(rates, strong, weak, 0.5).strong_fraction)
        assert replicates.quality[row, 0] == pytest.approx(curve.quality_at(0.3))
        assert replicates.pgr[row, 1] == pytest.approx(np.interp(0.9, curve.strong_fraction, curve.pgr()))


def test_a_part_of_a_benchmark_is_measured_on_draws_of_the_whole(
    table: tuple[FloatArray, FloatArray, FloatArray],
) -> None:
    rows = np.random.default_rng(1).permutation(300)[:120]
    part = tuple(column[rows] for column in table)
    replicates = bootstrap(*part, rows=rows, n_queries=300, n_replicates=20, seed=7)
    for row, counts in enumerate(drawn_counts(300, 20, seed=7)):
        assert replicates.apgr[row] == pytest.approx(apgr(*(np.repeat(column, counts[rows]) for column in part)))


def test_the_same_queries_in_another_order_give_the_same_interval(
    table: tuple[FloatArray, FloatArray, FloatArray],
) -> None:
    rates, strong, weak = table
    rows = np.random.default_rng(1).permutation(300)
    straight = bootstrap(rates, strong, weak)
    shuffled = bootstrap(rates[rows], strong[rows], weak[rows], rows=rows, n_queries=300)
    np.testing.assert_allclose(shuffled.apgr, straight.apgr)


def test_draws_do_not_depend_on_how_they_are_chunked(
    table: tuple[FloatArray, FloatArray, FloatArray], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = bootstrap(*table, n_replicates=50)
    monkeypatch.setattr("turnout.evaluation.bootstrap._CHUNK_VALUES", 300 * 7)
    np.testing.assert_allclose(whole.apgr, bootstrap(*table, n_replicates=50).apgr, rtol=1e-12)


def test_intervals_hold_what_they_promise() -> None:
    """Of 95 % intervals for random routing, about 95 in 100 hold 0.5."""
    random = np.random.default_rng(0)
    held = 0
    for _ in range(200):
        strong, weak = (random.random(200) < 0.8).astype(float), (random.random(200) < 0.4).astype(float)
        interval = Interval.of(bootstrap(random.random(200), strong, weak, n_replicates=200).apgr)
        held += interval.low <= 0.5 <= interval.high
    assert 180 <= held <= 199


def test_a_router_differs_from_random_but_not_from_itself(table: tuple[FloatArray, FloatArray, FloatArray]) -> None:
    rates, strong, weak = table
    router = bootstrap(rates, strong, weak)
    constant = bootstrap(np.zeros(300), strong, weak)

    def metric(replicates: Replicates) -> FloatArray:
        return replicates.apgr

    assert paired_difference(metric, [router], [constant]).excludes_zero()
    assert paired_difference(metric, [router], [router]) == Interval(0.0, 0.0)
    np.testing.assert_allclose(over_seeds(metric, [router, constant]), (router.apgr + constant.apgr) / 2)


def test_a_draw_without_a_gap_does_not_count() -> None:
    # Of two queries, a draw of the tied one twice has no gap.
    replicates = bootstrap([0.9, 0.1], [1, 1], [0, 1], n_replicates=200)
    assert 20 < np.isnan(replicates.apgr).sum() < 80
    assert np.isfinite(Interval.of(replicates.apgr).low)


def test_no_draw_with_a_gap_gives_no_interval() -> None:
    with pytest.raises(InvalidValueError, match="too few queries"):
        Interval.of(np.array([np.nan, np.nan]))


def test_replicates_of_different_number_cannot_be_paired(table: tuple[FloatArray, FloatArray, FloatArray]) -> None:
    few, many = bootstrap(*table, n_replicates=10), bootstrap(*table, n_replicates=20)
    with pytest.raises(InvalidValueError, match="cannot be paired"):
        paired_difference(lambda r: r.apgr, [few], [many])
