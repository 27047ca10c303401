from dataclasses import replace

import numpy as np
import pytest
from made_up_outcomes import PAIR, FirstWord

from turnout.data.outcomes import Outcomes
from turnout.errors import InvalidValueError
from turnout.evaluation.golden import golden_replays, golden_splits
from turnout.evaluation.metrics import apgr, cpt
from turnout.evaluation.pair_table import PairTable
from turnout.evaluation.replay import Replay
from turnout.evaluation.runner import compare, evaluate, measure


def rates(table: PairTable) -> np.ndarray:
    hard = np.array([query.startswith("hard") for query in table.outcomes.queries])
    return np.where(hard, 0.9, 0.2) + np.linspace(0, 0.05, len(table))


def test_results_are_the_metrics(table: PairTable) -> None:
    columns = rates(table), table.strong_scores, table.weak_scores
    result = measure(table, "mine", [Replay.of_all(columns[0])], n_replicates=50)
    assert result.apgr.value == apgr(*columns)
    assert result.cpt[0.8].value == cpt(*columns, 0.8).strong_fraction
    assert result.cpt_reachable[0.8] == cpt(*columns, 0.8).reachable_strong_fraction
    assert result.apgr.interval.low < result.apgr.value < result.apgr.interval.high
    assert result.curve.pgr[0] == 0
    assert result.curve.pgr[-1] == 1
    assert (result.curve.low <= result.curve.high).all()


def test_random_and_oracle_stand_beside(table: PairTable) -> None:
    evaluation = evaluate(table, {"mine": [Replay.of_all(rates(table))]}, n_replicates=50)
    assert evaluation.random.apgr.value == pytest.approx(0.5)
    assert evaluation.random.apgr.interval.high - evaluation.random.apgr.interval.low < 1e-12
    assert evaluation.random.cpt[0.8].value == pytest.approx(0.8)
    assert evaluation.random.apgr.value < evaluation.results[0].apgr.value < evaluation.oracle.apgr.value


def test_seeds_are_averaged_and_their_spread_is_told(table: PairTable) -> None:
    splits = golden_splits(table, 10, 3)
    replays = golden_replays(lambda seed: FirstWord(seed=seed), table, splits)
    result = measure(table, "first-word", replays, n_replicates=50)
    each = [apgr(replay.win_rates, *replay.scores(table)) for replay in replays]
    assert result.apgr.by_seed == pytest.approx(each)
    assert result.apgr.value == pytest.approx(np.mean(each))
    assert result.apgr.spread == pytest.approx(np.std(each, ddof=1))


def test_seeds_that_test_on_the_same_rows_do_not_shorten_the_interval(table: PairTable) -> None:
    one = Replay.of_all(rates(table))
    turned = np.arange(len(table))[::-1]
    other = Replay(one.win_rates[turned], turned)
    alone, both = (measure(table, "mine", runs, n_replicates=100) for runs in ([one], [one, other]))
    assert both.apgr.interval.low == pytest.approx(alone.apgr.interval.low)
    assert both.apgr.interval.high == pytest.approx(alone.apgr.interval.high)


def test_two_routers_are_compared_on_the_same_draws(table: PairTable) -> None:
    good, same, bad = (
        measure(table, name, [Replay.of_all(values)], n_replicates=200)
        for name, values in (("good", rates(table)), ("same", 2 * rates(table)), ("bad", -rates(table)))
    )
    assert compare(good, bad).interval.excludes_zero()
    assert compare(good, bad).difference == good.apgr.value - bad.apgr.value
    assert compare(good, same).difference == compare(good, same).interval.high == 0


def test_routers_tested_on_different_rows_are_not_mixed(table: PairTable) -> None:
    part = Replay(np.zeros(5), np.arange(5))
    with pytest.raises(InvalidValueError, match="other rows"):
        evaluate(table, {"all": [Replay.of_all(rates(table))], "part": [part]})


def test_a_constant_router_and_missing_win_rates_are_noticed(table: PairTable) -> None:
    constant = measure(table, "constant", [Replay.of_all(np.full(len(table), 0.4))], n_replicates=5)
    assert constant.is_constant
    holes = rates(table)
    holes[:3] = np.nan
    result = measure(table, "holes", [Replay.of_all(holes)], n_replicates=5)
    assert (result.is_constant, result.no_win_rate) == (False, 3)
    two = measure(table, "two", [Replay.of_all(np.round(rates(table)))], n_replicates=5)
    assert (two.is_constant, two.tied_share) == (False, 1.0)


def test_dollars_are_those_of_the_point_on_the_curve(table: PairTable) -> None:
    result = measure(table, "mine", [Replay.of_all(rates(table))], n_replicates=5)
    assert table.costs is not None
    saved = result.savings[0.5]
    strong, weak = table.costs.strong_usd[0], table.costs.weak_usd[0]
    assert saved.strong_fraction == result.cpt[0.5].value
    assert saved.cost_usd == pytest.approx(weak + saved.strong_fraction * (strong - weak))
    assert saved.random_cost_usd == pytest.approx(weak + 0.5 * (strong - weak))
    assert saved.always_strong_cost_usd == pytest.approx(strong)


def test_without_prices_there_are_no_dollars(table: PairTable) -> None:
    unpriced = replace(table, outcomes=replace(table.outcomes, models=("mine", "yours")))
    assert measure(unpriced, "mine", [Replay.of_all(rates(table))], n_replicates=5).savings == {}


def test_a_swapped_pair_is_refused() -> None:
    outcomes = Outcomes.from_columns(["a", "b"], {PAIR.strong: [0, 1], PAIR.weak: [1, 1]})
    table = PairTable("t", "T", PAIR, outcomes.for_pair(PAIR))
    with pytest.raises(InvalidValueError, match=r"0\.5 against 1.*swapped"):
        evaluate(table, {"mine": [Replay.of_all([0.1, 0.2])]})


def test_what_was_drawn_to_the_mean_is_counted_over_seeds(table: PairTable) -> None:
    everywhere = Replay.of_all(rates(table))
    assert measure(table, "mine", [everywhere], n_replicates=5).drawn_to_mean_share is None
    new = np.arange(len(table)) < 60
    seeds = [replace(everywhere, drawn_to_mean=new), replace(everywhere, drawn_to_mean=np.zeros_like(new))]
    assert measure(table, "mine", seeds, n_replicates=5).drawn_to_mean_share == 0.125


def test_below_random_is_the_whole_interval(table: PairTable) -> None:
    good, bad = (
        measure(table, "r", [Replay.of_all(values)], n_replicates=50) for values in (rates(table), -rates(table))
    )
    assert (good.below_random, bad.below_random) == (False, True)
    hardly = measure(table, "hardly", [Replay.of_all(np.arange(len(table)) % 2)], n_replicates=50)
    assert hardly.apgr.interval.low < 0.5 < hardly.apgr.interval.high
    assert not hardly.below_random
