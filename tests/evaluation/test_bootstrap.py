import numpy as np
import pytest

from turnout.evaluation.bootstrap import Interval, bootstrap, over_seeds, paired_difference
from turnout.evaluation.curve import routing_curve
from turnout.evaluation.metrics import apgr, cpt
from turnout.types import FloatArray


@pytest.fixture
def table() -> tuple[FloatArray, FloatArray, FloatArray]:
    random = np.random.default_rng(5)
    strong, weak = (random.random(300) < 0.8).astype(float), (random.random(300) < 0.5).astype(float)
    rates = np.round(0.5 + 0.2 * (strong - weak) + 0.3 * random.standard_normal(300), 1)  # with many ties
    return rates, strong, weak


def test_a_replicate_is_the_metric_on_the_drawn_queries(table: tuple[FloatArray, FloatArray, FloatArray]) -> None:
    replicates = bootstrap(*table, n_replicates=20, seed=7, shares=(0.5,), strong_fractions=(0.3,))
    draws = np.random.default_rng(7).multinomial(300, np.full(300, 1 / 300), size=20)
    for row, counts in enumerate(draws):
        drawn = [np.repeat(column, counts) for column in table]
        assert replicates.apgr[row] == pytest.approx(apgr(*drawn))
        assert replicates.cpt[0.5][row] == pytest.approx(cpt(*drawn, 0.5).strong_fraction)
        assert replicates.quality[0.3][row] == pytest.approx(routing_curve(*drawn).quality_at(0.3))


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

    def metric(replicates: object) -> FloatArray:
        return replicates.apgr  # type: ignore[attr-defined,no-any-return]

    assert paired_difference(metric, [router], [constant]).excludes_zero()
    assert paired_difference(metric, [router], [router]) == Interval(0.0, 0.0)
    np.testing.assert_allclose(over_seeds(metric, [router, constant]), (router.apgr + constant.apgr) / 2)


def test_a_draw_without_a_gap_does_not_count() -> None:
    # Of two queries, a draw of the tied one twice has no gap.
    replicates = bootstrap([0.9, 0.1], [1, 1], [0, 1], n_replicates=200)
    assert 20 < np.isnan(replicates.apgr).sum() < 80
    assert np.isfinite(Interval.of(replicates.apgr).low)
