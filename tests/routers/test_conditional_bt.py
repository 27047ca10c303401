import numpy as np
import pytest

from turnout import ranking
from turnout.data.battles import Battles
from turnout.encoders.hashing import HashingEncoder
from turnout.errors import DataError, InvalidValueError, UnknownNameError
from turnout.routers.conditional_bt import STRENGTH_CHOICES, ConditionalBradleyTerry
from turnout.routers.learning.sigmoid import sigmoid
from turnout.testing import tiny_battles
from turnout.types import ModelPair

ENCODER = HashingEncoder(dim=16)
MODELS = ("big", "middle", "small")


def test_it_learns_who_wins_what_between_all_models() -> None:
    router = ConditionalBradleyTerry(HashingEncoder(dim=64)).fit(tiny_battles(300, models=MODELS))
    for pair in (ModelPair("big", "small"), ModelPair("big", "middle"), ModelPair("middle", "small")):
        hard, easy = router.predict_win_rate(["prove the theorem", "rhyme a poem"], pair=pair)
        assert hard > 0.6
        assert easy < 0.4
    assert router.models_ == sorted(MODELS)


def test_a_strong_ridge_gives_plain_bradley_terry() -> None:
    battles = tiny_battles(300, models=MODELS)
    router = ConditionalBradleyTerry(ENCODER, strength=1e9).fit(battles)
    models, a, b = battles.model_indices()
    ratings = ranking.rate(models, a, b, battles.share_a, battles.weight)
    expected = sigmoid(ratings[models.index("big")] - ratings[models.index("small")])
    assert router.predict_win_rate(["prove", "rhyme"]).tolist() == pytest.approx([expected, expected], abs=1e-3)


def test_the_likelihood_is_greatest() -> None:
    battles = tiny_battles(120, models=MODELS)
    router = ConditionalBradleyTerry(ENCODER, strength=2.0).fit(battles)

    def objective(slopes: np.ndarray) -> float:
        vectors = ENCODER.encode(battles.queries) - router.middle_
        scores = router.ratings_ + vectors @ slopes.T
        _, a, b = battles.model_indices()
        rows = np.arange(len(battles))
        logits = scores[rows, a] - scores[rows, b]
        loss = np.logaddexp(0, logits) - battles.share_a * logits
        return float((battles.weight / battles.weight.mean() * loss).sum() + (slopes**2).sum())

    least = objective(router.slopes_)
    random = np.random.default_rng(0)
    for _ in range(20):
        assert objective(router.slopes_ + random.normal(0, 0.01, router.slopes_.shape)) > least


def test_noise_is_answered_with_the_rating() -> None:
    random = np.random.default_rng(0)
    queries = [f"w{row}" for row in range(400)]
    shares = (random.random(400) < 0.7).astype(float)
    battles = Battles.from_columns(queries, "big", "small", shares, pair=ModelPair("big", "small"))
    router = ConditionalBradleyTerry(ENCODER).fit(battles)
    assert np.abs(router.predict_win_rate(queries) - shares.mean()).max() < 0.15


def test_the_strength_is_chosen_or_given() -> None:
    assert ConditionalBradleyTerry(ENCODER).fit(tiny_battles()).strength_ in STRENGTH_CHOICES
    assert ConditionalBradleyTerry(ENCODER, strength=7).fit(tiny_battles()).strength_ == 7.0


def test_models_that_nothing_connects_are_an_error() -> None:
    battles = Battles.from_columns(["q", "r"], ["a", "c"], ["b", "d"], [1.0, 0.0], pair=ModelPair("a", "b"))
    with pytest.raises(DataError, match="No battle connects these 2 groups"):
        ConditionalBradleyTerry(ENCODER).fit(battles)


def test_a_pair_that_never_fought_is_an_error() -> None:
    with pytest.raises(UnknownNameError, match="No model in these battles named 'bigg'. Did you mean 'big'"):
        ConditionalBradleyTerry(ENCODER).fit(tiny_battles().with_pair(ModelPair("bigg", "small")))


def test_one_model_that_wins_everything_stays_finite() -> None:
    battles = Battles.from_columns(["q", "r", "s"], "big", "small", [1.0] * 3, pair=ModelPair("big", "small"))
    (win_rate,) = ConditionalBradleyTerry(ENCODER).fit(battles).predict_win_rate(["q"])
    assert 0.9 < win_rate < 1


def test_a_bad_strength_is_named() -> None:
    with pytest.raises(InvalidValueError, match="strength must be a number above 0, or None"):
        ConditionalBradleyTerry(ENCODER, strength=0.0).fit(tiny_battles())
