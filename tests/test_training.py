import math
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
import pytest

from turnout import registry
from turnout.data.battles import Battles
from turnout.data.split import fingerprints, seen_rows
from turnout.errors import EmptyDataError, InvalidValueError, UnknownNameError
from turnout.routers.base import Router, check_trainable, for_training
from turnout.training import train
from turnout.types import FloatArray, ModelPair

PAIR = ModelPair("big", "small")


class ByWord(Router):
    """Win rate 0.9 where the query says `hard`, else what it is told."""

    name = "by-word"

    def __init__(self, *, easy: float = 0.1) -> None:
        self.easy = easy

    def fit(self, battles: Battles) -> Self:
        self.pair_ = check_trainable(battles)
        self.learned_from_ = sorted(set(battles.queries))
        return self

    def predict_win_rate(self, queries: Sequence[str]) -> FloatArray:
        return np.array([0.9 if "hard" in query else self.easy for query in queries])


class ForAnyPair(ByWord):
    """One that learns about many models."""

    def predict_win_rate(self, queries: Sequence[str], *, pair: ModelPair | None = None) -> FloatArray:
        return super().predict_win_rate(queries)


@pytest.fixture
def battles() -> Battles:
    """Half are hard, where big wins; the easy ones are ties."""
    hard = [row % 2 == 0 for row in range(200)]
    return Battles.from_columns(
        [f"{'hard' if is_hard else 'easy'} question {row}" for row, is_hard in enumerate(hard)],
        "big",
        "small",
        [1.0 if is_hard else 0.5 for is_hard in hard],
        source=["votes" if row < 100 else "judge" for row in range(200)],
        pair=PAIR,
    )


def test_held_out_queries_are_not_learned_from(battles: Battles) -> None:
    trained = train(ByWord(), battles, holdout=0.25)
    learned = set(trained.router.learned_from_)  # type: ignore[attr-defined]
    assert len(learned) == trained.n_battles == 150
    assert trained.sources == {"judge": 75, "votes": 75}
    assert seen_rows(battles.queries, trained.router.seen_queries_).tolist() == [q in learned for q in battles.queries]


def test_measured_by_hand(battles: Battles) -> None:
    held_out = train(ByWord(), battles, holdout=0.5).held_out
    assert held_out is not None
    n, hard = held_out.n_queries, (held_out.log_loss - _tie(0.1)) / (-math.log(0.9) - _tie(0.1))  # share of hard ones
    assert n == 100
    assert 0.3 < hard < 0.7
    # All the gain lies in the hard ones, and they come first: PGR rises to 1 there, then stays.
    assert held_out.apgr == pytest.approx(1 - hard / 2)
    assert held_out.apgr_interval is not None
    assert held_out.apgr_interval.low <= held_out.apgr <= held_out.apgr_interval.high
    assert held_out.log_loss_constant == pytest.approx(_constant(hard), abs=0.02)


def _tie(rate: float) -> float:
    return -(math.log(rate) + math.log(1 - rate)) / 2


def _constant(hard: float) -> float:
    mean = 1 - (1 - hard) / 2
    return -mean * math.log(mean) - (1 - mean) * math.log(1 - mean)


def test_votes_on_one_query_are_one_query(battles: Battles) -> None:
    doubled = Battles.concat([battles, battles])
    once, twice = train(ByWord(), battles), train(ByWord(), doubled)
    assert once.held_out == twice.held_out
    assert (once.n_queries, once.n_battles) == (180, 180)
    assert (twice.n_queries, twice.n_battles) == (180, 360)


def test_calibrated_on_held_out_queries_or_on_those_given(battles: Battles) -> None:
    by_default = train(ByWord(), battles).calibration
    assert by_default is not None
    assert (by_default.n_queries, by_default.data) == (20, "held-out queries of the training data")
    given = train(ByWord(), battles, calibration_queries=["hard", "easy", "easy"], calibration_data="mine").calibration
    assert given is not None
    assert (given.n_queries, given.data) == (3, "mine")
    assert given.operating_point(0.4).strong_fraction == pytest.approx(1 / 3)


def test_what_was_seen_before_is_neither_held_out_nor_tested_later(battles: Battles) -> None:
    before = fingerprints(battles.queries[:120])
    trained = train(ByWord(), battles, holdout=0.5, seen_before=before)
    assert trained.held_out is not None
    held_out = set(battles.queries) - set(trained.router.learned_from_)  # type: ignore[attr-defined]
    assert held_out
    assert held_out <= set(battles.queries[120:])
    assert trained.held_out.n_queries == len(held_out)
    assert set(before) <= set(trained.router.seen_queries_)
    assert trained.n_queries == 200 - len(held_out)
    with pytest.raises(EmptyDataError, match="not seen before"):
        train(ByWord(), battles, seen_before=fingerprints(battles.queries))


def test_nothing_held_out_nothing_measured(battles: Battles) -> None:
    trained = train(ByWord(), battles, holdout=0)
    assert trained.n_battles == 200
    assert trained.held_out is None
    assert trained.calibration is None
    assert "on nothing" in trained.card()


def test_no_apgr_where_strong_is_not_better(battles: Battles) -> None:
    turned = Battles.from_columns(battles.queries, "big", "small", 1 - battles.share_a, pair=PAIR)
    trained = train(ByWord(), turned)
    assert trained.held_out is not None
    assert trained.held_out.apgr is None
    assert "not better" in trained.card()


def test_saved_with_card_calibration_and_facts(
    battles: Battles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "load", lambda kind, name: ByWord)
    trained = train(ByWord(easy=0.2), battles, facts={"command": ["turnout", "train"]})
    trained.save(tmp_path / "router")
    loaded = Router.load(tmp_path / "router")
    assert np.array_equal(loaded.seen_queries_, trained.router.seen_queries_)
    assert (tmp_path / "router" / "card.md").read_text() == trained.card()
    assert (tmp_path / "router" / "calibration.json").exists()
    assert "turnout train" in trained.card()


@pytest.mark.parametrize(("holdout", "problem"), [(1.0, "holdout must be"), (10, "write 0.1"), (-0.1, "holdout")])
def test_holdout_out_of_range(battles: Battles, holdout: float, problem: str) -> None:
    with pytest.raises(InvalidValueError, match=problem):
        train(ByWord(), battles, holdout=holdout)


def test_too_few_queries_to_hold_any_out(battles: Battles) -> None:
    with pytest.raises(EmptyDataError, match="too few"):
        train(ByWord(), battles.take([0, 1]), holdout=0.1)


def test_all_battles_for_routers_that_learn_about_models() -> None:
    votes = Battles.from_columns(["x", "y"], ["small", "big"], ["big", "other"], [1.0, 0.0])
    assert len(for_training(votes, PAIR, ForAnyPair())) == 2
    one = for_training(votes, PAIR, ByWord())
    assert (one.model_a[0], one.share_a.tolist()) == ("big", [0.0])
    with pytest.raises(UnknownNameError, match="bigg"):
        for_training(votes, ModelPair("bigg", "small"), ForAnyPair())


def test_a_pair_that_never_met_can_be_learned_by_way_of_others() -> None:
    votes = Battles.from_columns(["x", "y"], ["other", "big"], ["small", "other"], [1.0, 1.0])
    taught = for_training(votes, PAIR, ForAnyPair())
    assert (len(taught), taught.pair) == (2, PAIR)
    with pytest.raises(EmptyDataError, match="No battle is between 'big' and 'small'.*turnout data tiers"):
        for_training(votes, PAIR, ByWord())


def test_fingerprints_forget_case_and_white_space() -> None:
    seen = fingerprints(["Name  a river.", "Name a lake."])
    assert seen_rows(["name a river.\n", "Name a mountain.", "NAME A LAKE."], seen).tolist() == [True, False, True]
    assert seen_rows(["x"], fingerprints([])).tolist() == [False]
    assert fingerprints(["\ud800"]).shape == (1,)  # a lone surrogate is text too
