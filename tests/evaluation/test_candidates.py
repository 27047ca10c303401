from pathlib import Path

import numpy as np
import pytest
from made_up_outcomes import PAIR, FirstWord

from turnout import registry
from turnout.data.battles import Battles
from turnout.encoders.hashing import HashingEncoder
from turnout.errors import InvalidValueError, UnknownNameError
from turnout.evaluation.candidates import describe_fitted, fitted_router, replay_fitted, router_maker
from turnout.evaluation.golden import golden_splits
from turnout.evaluation.pair_table import PairTable
from turnout.routers.baselines import RandomRouter


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    battles = Battles.from_columns(["q"], "big", "small", [1.0]).with_pair(PAIR)
    RandomRouter(seed=3).fit(battles).save(tmp_path / "router")
    return tmp_path / "router"


def test_a_folder_and_a_baseline_are_fitted(folder: Path) -> None:
    assert fitted_router(str(folder), PAIR).predict_win_rate(["a"]) != fitted_router("random", PAIR).predict_win_rate(
        ["a"]
    )
    assert fitted_router("always-strong", PAIR).pair_ == PAIR


def test_a_router_that_has_to_be_trained_is_not_a_fitted_one() -> None:
    with pytest.raises(InvalidValueError, match="'mf' has to be trained first.*--golden-labels"):
        fitted_router("mf", PAIR)


def test_a_mistyped_baseline_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'random'"):
        fitted_router("randm", PAIR)


def test_a_fitted_router_is_tested_on_each_seeds_rows(table: PairTable) -> None:
    router = fitted_router("random", PAIR)
    splits = golden_splits(table, 20, 2)
    everywhere = router.predict_win_rate(table.outcomes.queries)
    for split, replay in zip(splits, replay_fitted(router, table, splits), strict=True):
        assert replay.seed == split.seed
        np.testing.assert_array_equal(replay.win_rates, everywhere[split.test])
    (whole,) = replay_fitted(router, table)
    np.testing.assert_array_equal(whole.win_rates, everywhere)


def test_a_router_is_made_with_settings_and_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "load", lambda kind, name: FirstWord)
    made = router_maker("first-word", {"prior": 0.25}, HashingEncoder())(7)
    assert isinstance(made, FirstWord)
    assert (made.prior, made.seed) == (0.25, 7)
    fixed = router_maker("first-word", {"seed": 1}, HashingEncoder())(7)
    assert isinstance(fixed, FirstWord)
    assert fixed.seed == 1


def test_a_router_of_another_pair_says_which_pair_it_scores(folder: Path, table: PairTable) -> None:
    described = describe_fitted(str(folder), fitted_router(str(folder), PAIR), table)
    assert described["scored_pair"] == str(PAIR)
    assert len(described["sha256"]) == 64
