import numpy as np
import pytest

from turnout.data.battles import Battles
from turnout.encoders.hashing import HashingEncoder
from turnout.errors import InvalidValueError
from turnout.routers.linear import STRENGTH_CHOICES, Linear
from turnout.testing import check_router, tiny_battles
from turnout.types import ModelPair

PAIR = ModelPair("big", "small")
ENCODER = HashingEncoder(dim=32)


@pytest.mark.parametrize("link", ["identity", "logistic"])
@pytest.mark.parametrize("features", [["vectors"], ["words"], ["words", "vectors"]])
def test_it_learns_who_wins_what(link: str, features: list[str]) -> None:
    router = Linear(ENCODER, link=link, features=features).fit(tiny_battles(200))  # type: ignore[arg-type]
    hard, tie, easy = router.predict_win_rate(["prove a theorem", "explain a theorem", "rhyme a theorem"])
    assert hard > max(tie, 0.75)
    assert easy < min(tie, 0.25)
    assert set(router.weights_) == set(features)


def test_form_alone_can_be_learned() -> None:
    random = np.random.default_rng(0)
    long = random.random(200) < 0.5
    queries = [f"{'word ' * (60 if is_long else 5)}{random.integers(10**6)}" for is_long in long]
    battles = Battles.from_columns(queries, "big", "small", long.astype(float), pair=PAIR)
    router = Linear(ENCODER, features=["form"]).fit(battles)
    short_win, long_win, endless_win = router.predict_win_rate([f"{'word ' * n}123456" for n in (6, 50, 100_000)])
    assert short_win < 0.2 < 0.8 < long_win
    assert endless_win <= 1


def test_soft_labels_and_votes_count() -> None:
    battles = Battles.from_columns(["a"] * 4 + ["b"], "big", "small", [1, 1, 0.5, 0.5, 0.0], pair=PAIR)
    once = Battles.from_columns(["a", "b"], "big", "small", [0.75, 0.0], weight=[4.0, 1.0], pair=PAIR)
    one, other = (Linear(ENCODER, strength=0.1).fit(b).predict_win_rate(["a", "b"]) for b in (battles, once))
    np.testing.assert_allclose(one, other)


def test_the_strength_is_chosen_or_given() -> None:
    chosen = Linear(ENCODER).fit(tiny_battles())
    assert chosen.strength_ in STRENGTH_CHOICES
    assert chosen.strength is None
    assert Linear(ENCODER, strength=7).fit(tiny_battles()).strength_ == 7.0


def test_noise_is_shrunk_to_the_mean() -> None:
    random = np.random.default_rng(1)
    battles = Battles.from_columns(
        [f"w{row}" for row in range(300)], "big", "small", random.integers(0, 2, 300).astype(float), pair=PAIR
    )
    router = Linear(HashingEncoder(dim=200)).fit(battles)
    win_rates = router.predict_win_rate([f"v{row}" for row in range(100)])
    assert np.abs(win_rates - battles.share_a.mean()).max() < 0.2


def test_the_strength_may_be_chosen_on_a_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("turnout.routers.linear._CHOSEN_ON", 50)
    one, other = (Linear(ENCODER, seed=0).fit(tiny_battles(200)) for _ in range(2))
    assert one.strength_ == other.strength_
    np.testing.assert_array_equal(one.predict_win_rate(["prove it"]), other.predict_win_rate(["prove it"]))


def test_the_logistic_link_keeps_the_contract() -> None:
    check_router(Linear(ENCODER, link="logistic", max_words=20), other_process=False)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"link": "probit"}, "link must be 'identity' or 'logistic', got 'probit'"),
        ({"features": []}, "features must be some of vectors, words, form"),
        ({"features": ["form", "topic"]}, "features must be some of"),
        ({"strength": 0.0}, "strength must be a number above 0, or None"),
        ({"max_words": -1}, "max_words must be a whole number, at least 0"),
    ],
)
def test_a_bad_setting_is_named(settings: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidValueError, match=message):
        Linear(ENCODER, **settings).fit(tiny_battles())  # type: ignore[arg-type]
