from pathlib import Path

import numpy as np
import pytest
from made_up_outcomes import PAIR, FirstWord

from turnout import registry
from turnout.data.battles import Battles
from turnout.data.split import fingerprints
from turnout.encoders.hashing import HashingEncoder
from turnout.errors import EmptyDataError, InvalidValueError, UnknownNameError
from turnout.evaluation.candidates import (
    Training,
    Unfitted,
    describe_fitted,
    fitted_router,
    replay_candidates,
    replay_fitted,
    router_maker,
)
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


def test_so_is_one_that_names_its_encoder() -> None:
    with pytest.raises(InvalidValueError, match="'mf@minilm' has to be trained first.*--battles FILE"):
        fitted_router("mf@minilm", PAIR)


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


def test_with_no_labels_routers_learn_from_battles_alone(table: PairTable, monkeypatch: pytest.MonkeyPatch) -> None:
    load = registry.load
    monkeypatch.setattr(registry, "load", lambda kind, name: FirstWord if name == "first-word" else load(kind, name))
    about_the_test = table.outcomes.queries[0]
    battles = Battles.from_columns(["hard thing", "easy thing", about_the_test], "strong", "weak", [1.0, 0.5, 1.0])
    training = Training({"mine": Unfitted("first-word", HashingEncoder())}, battles=battles)
    candidates = replay_candidates(["mine", "length"], table, training, footprints=["mine"])
    (mine,), (length,) = candidates.replays["mine"], candidates.replays["length"]
    hard = np.array([query.startswith("hard") for query in table.outcomes.queries])
    np.testing.assert_array_equal(mine.win_rates, np.where(hard, 1.0, 0.5))
    assert len(length.rows) == len(mine.rows) == len(table)
    assert candidates.n_battles_left_out == 1
    assert list(candidates.footprints) == ["mine"]
    assert candidates.footprints["mine"].train_s is not None


def test_battles_about_nothing_but_the_test_are_nothing_to_learn_from(table: PairTable) -> None:
    battles = table.outcomes.battles(PAIR)
    training = Training({"knn": Unfitted("knn", HashingEncoder())}, battles=battles)
    with pytest.raises(EmptyDataError, match="No battle is left to learn from: all are about the queries of Made up"):
        replay_candidates(["knn"], table, training)


def test_a_router_that_knows_the_test_by_heart_sits_out(table: PairTable, tmp_path: Path) -> None:
    queries = table.outcomes.queries
    knows, has_seen = str(tmp_path / "knows"), str(tmp_path / "has-seen")
    for folder, seen in ((knows, queries), (has_seen, queries[:60])):
        router = RandomRouter().fit(Battles.from_columns(["q"], PAIR.strong, PAIR.weak, [1.0]).with_pair(PAIR))
        router.seen_queries_ = fingerprints(seen)
        router.save(folder)
    candidates = replay_candidates([knows, has_seen, "length"], table)
    assert candidates.sat_out == (knows,)
    assert list(candidates.replays) == [has_seen, "length"]
    assert len(candidates.table) == len(table) - candidates.n_seen_left_out == len(table) - 60
    with pytest.raises(EmptyDataError, match="no query that these routers did not learn from"):
        replay_candidates([knows], table)


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
