import numpy as np
import pytest

from turnout.data.battles import Battles
from turnout.data.outcomes import Outcomes
from turnout.encoders.hashing import HashingEncoder
from turnout.errors import DataError, EmptyDataError, InvalidValueError, UnknownNameError
from turnout.routers.base import Router
from turnout.routers.item_response import STRENGTH_CHOICES, ItemResponse, _Observed, _Task
from turnout.routers.learning.sigmoid import sigmoid
from turnout.testing import FakeEncoder, tiny_battles, tiny_outcomes
from turnout.types import ModelPair

PAIR = ModelPair("big", "small")
ENCODER = HashingEncoder(dim=64)
KINDS = {"easy": [1.0, 0, 0], "hard": [0, 1.0, 0], "hopeless": [0, 0, 1.0]}
DIFFICULTY = {"easy": -3.0, "hard": 0.0, "hopeless": 3.0}
ABILITY = {"big": 1.5, "middle": 0.0, "small": -1.5}


def answers(n: int, seed: int = 0) -> Outcomes:
    """Right-or-wrong answers of three models to questions of three kinds, as the model would have it."""
    random = np.random.default_rng(seed)
    queries = [list(KINDS)[row % 3] for row in range(n)]
    difficulty = np.array([DIFFICULTY[query] for query in queries])
    scores = {m: (random.random(n) < sigmoid(2 * (a - difficulty))).astype(float) for m, a in ABILITY.items()}
    return Outcomes.from_columns([f"{query} {row}" for row, query in enumerate(queries)], scores)


class Kinds(FakeEncoder):
    """The first word decides."""

    def encode(self, texts):  # type: ignore[no-untyped-def]
        return super().encode([text.split()[0] for text in texts])


def test_outcomes_teach_ability_and_difficulty() -> None:
    router = ItemResponse(Kinds(KINDS)).fit_outcomes(answers(1_500), PAIR)
    easy, hard, hopeless = router.difficulty(["easy", "hard", "hopeless"])
    assert easy < hard < hopeless
    big, middle, small = (router.abilities_[router.models_.index(name)] for name in ABILITY)
    assert big > middle > small  # their scale goes with that of the discrimination
    for pair in (PAIR, ModelPair("big", "middle")):
        expected = [
            (
                1
                + sigmoid(np.float64(2 * (ABILITY[pair.strong] - d)))
                - sigmoid(np.float64(2 * (ABILITY[pair.weak] - d)))
            )
            / 2
            for d in DIFFICULTY.values()
        ]
        np.testing.assert_allclose(router.predict_win_rate(list(KINDS), pair=pair), expected, atol=0.06)


def test_battles_between_all_models_teach_the_same_win_rates() -> None:
    outcomes = answers(1_500)
    pairs = [ModelPair("big", "small"), ModelPair("big", "middle"), ModelPair("middle", "small")]
    battles = Battles.concat([outcomes.battles(pair, scale=1) for pair in pairs]).with_pair(PAIR)
    one, other = ItemResponse(Kinds(KINDS)).fit(battles), ItemResponse(Kinds(KINDS)).fit_outcomes(outcomes, PAIR)
    for pair in pairs:
        win_rates = (router.predict_win_rate(list(KINDS), pair=pair) for router in (one, other))
        np.testing.assert_allclose(*win_rates, atol=0.06)


def test_missing_scores_teach_nothing() -> None:
    outcomes = answers(300)
    extra = Outcomes.from_columns(
        ["easy x"] * 50, {"big": [np.nan] * 50, "middle": [np.nan] * 50, "small": [np.nan] * 50}
    )
    one, other = (
        ItemResponse(Kinds(KINDS), strength=1.0).fit_outcomes(o, PAIR)
        for o in (outcomes, Outcomes.concat([outcomes, extra]))
    )
    np.testing.assert_allclose(one.predict_win_rate(list(KINDS)), other.predict_win_rate(list(KINDS)), atol=1e-6)


@pytest.mark.parametrize("of_battles", [True, False])
def test_the_gradient_is_that_of_the_loss(of_battles: bool) -> None:
    random = np.random.default_rng(0)
    n, n_queries, dim, m = 40, 12, 3, 4
    a = random.integers(0, m, n)
    observed = _Observed(
        random.integers(0, n_queries, n),
        a,
        (a + random.integers(1, m, n)) % m if of_battles else None,
        random.random(n),
        random.uniform(0.5, 2, n),
    )
    task = _Task(random.normal(size=(n_queries, dim)), np.zeros(m))
    theta = random.normal(0, 0.5, len(task.start))
    _, gradient = task.loss(theta, observed)
    for place in range(len(theta)):
        step = np.zeros(len(theta))
        step[place] = 1e-5
        slope = (task.loss(theta + step, observed)[0] - task.loss(theta - step, observed)[0]) / 2e-5
        assert gradient[place] == pytest.approx(slope, abs=1e-4)


def test_tiny_battles_are_learned_for_all_models() -> None:
    models = ("big", "middle", "small")
    router = ItemResponse(ENCODER).fit(tiny_battles(300, models=models))
    hard, tie = router.predict_win_rate(["prove the theorem", "explain the theorem"], pair=PAIR)
    assert hard > tie + 0.1


def test_a_router_of_outcomes_is_saved_and_loaded(tmp_path) -> None:  # type: ignore[no-untyped-def]
    router = ItemResponse(ENCODER).fit_outcomes(tiny_outcomes(100), PAIR)
    router.save(tmp_path / "router")
    queries = ["prove a theorem", "rhyme", ""]
    loaded = Router.load(tmp_path / "router").predict_win_rate(queries)
    np.testing.assert_array_equal(loaded, router.predict_win_rate(queries))
    assert router.strength_ in STRENGTH_CHOICES


def test_outcomes_that_cannot_be_learned_from_are_refused() -> None:
    graded = Outcomes.from_columns(["q"], {"big": [9.0], "small": [3.0]})
    with pytest.raises(InvalidValueError, match=r"Scores must be in \[0, 1\].*got 3 to 9.*fit\(outcomes.battles"):
        ItemResponse(ENCODER).fit_outcomes(graded, PAIR)
    with pytest.raises(UnknownNameError, match="Did you mean 'big'"):
        ItemResponse(ENCODER).fit_outcomes(graded, ModelPair("bigg", "small"))
    empty = Outcomes.from_columns(["q"], {"big": [np.nan], "small": [np.nan]})
    with pytest.raises(EmptyDataError):
        ItemResponse(ENCODER).fit_outcomes(empty, PAIR)


def test_battles_that_cannot_be_learned_from_are_refused() -> None:
    apart = Battles.from_columns(["q", "r"], ["a", "c"], ["b", "d"], [1.0, 0.0], pair=ModelPair("a", "b"))
    with pytest.raises(DataError, match="No battle connects"):
        ItemResponse(ENCODER).fit(apart)
    with pytest.raises(InvalidValueError, match="strength must be a number above 0"):
        ItemResponse(ENCODER, strength=-1.0).fit(tiny_battles())
