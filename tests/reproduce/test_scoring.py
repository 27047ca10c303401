from pathlib import Path

import numpy as np
import pytest

from turnout.data.battles import Battles
from turnout.data.outcomes import Outcomes
from turnout.encoders.cache import CachedEncoder
from turnout.encoders.hashing import HashingEncoder
from turnout.evaluation.pair_table import PairTable
from turnout.reproduce import scoring
from turnout.reproduce.parts import Parts
from turnout.reproduce.recipes import Recipe
from turnout.reproduce.scoring import Scorer, clean_golden_splits, timed
from turnout.routers.matrix_factorization import MatrixFactorization
from turnout.types import ModelPair

PAIR, OTHER = ModelPair("big", "small"), ModelPair("big", "tiny")
QUERIES = [f"{'prove' if row % 2 else 'greet'} number {row}" for row in range(40)]
MF = Recipe("mf", "mf", {"epochs": 4, "weight_decay": 1e-3, "patience": None})


@pytest.fixture
def scorer(tmp_path: Path) -> Scorer:
    return Scorer(CachedEncoder(HashingEncoder()), Parts(tmp_path), lambda said: None)


@pytest.fixture
def battles() -> Battles:
    weak = ["small" if row % 4 < 2 else "tiny" for row in range(40)]
    return Battles.from_columns(QUERIES, "big", weak, [float(row % 2) for row in range(40)], pair=PAIR)


def table(queries: list[str]) -> PairTable:
    scores = {PAIR.strong: np.ones(len(queries)), PAIR.weak: np.zeros(len(queries))}
    return PairTable("t", "T", PAIR, Outcomes.from_columns(queries, scores).for_pair(PAIR), scale=1.0)


def test_a_pair_asked_about_by_name_is_scored_as_the_router_scores_it(scorer: Scorer, battles: Battles) -> None:
    scored = scorer.score(MF, battles, "made up", QUERIES, [OTHER])
    router = MatrixFactorization(HashingEncoder(), **MF.settings).fit(battles)
    ours, theirs = scored.replay(table(QUERIES)).win_rates, scored.replay(table(QUERIES), OTHER).win_rates
    np.testing.assert_array_equal(ours, router.predict_win_rate(QUERIES))
    np.testing.assert_array_equal(theirs, router.predict_win_rate(QUERIES, pair=OTHER))
    assert not np.array_equal(ours, theirs)


def test_a_replay_follows_the_tables_order(scorer: Scorer, battles: Battles) -> None:
    scored = scorer.score(MF, battles, "made up", QUERIES)
    turned = scored.replay(table(QUERIES[::-1])).win_rates
    np.testing.assert_array_equal(turned, scored.replay(table(QUERIES)).win_rates[::-1])


def test_no_test_question_is_a_near_copy_of_one_that_its_seed_trains_on() -> None:
    copies = [f"which of the rivers of europe is the longest by far in the year {row % 6}" for row in range(12)]
    others = [f"{word} is a word of its own, number {row}" for row, word in enumerate("abcdefgh")]
    questions = table([text + ("?" if row < 6 else " please?") for row, text in enumerate(copies)] + others)
    splits, left_out = clean_golden_splits(questions, 10, 3)
    assert any(left_out)
    for split, n in zip(splits, left_out, strict=True):
        assert len(split.train) + len(split.test) + n == len(questions)
        texts = questions.outcomes.queries
        years = {texts[row].split("year ")[1][0] for row in split.train if "rivers" in texts[row]}
        assert not [row for row in split.test if "rivers" in texts[row] and texts[row].split("year ")[1][0] in years]


def test_slow_routers_are_timed_on_fewer_calls(battles: Battles, monkeypatch: pytest.MonkeyPatch) -> None:
    router = MatrixFactorization(HashingEncoder(), **MF.settings).fit(battles)
    assert {name: len(seconds) for name, seconds in timed(router, QUERIES).items()} == {"single_s": 40, "batch_s": 1}
    monkeypatch.setattr(scoring, "_TIMING_S", 0.0)
    assert {name: len(seconds) for name, seconds in timed(router, QUERIES).items()} == {"single_s": 1, "batch_s": 1}
