from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnout.data.battles import Battles
from turnout.encoders.hashing import HashingEncoder
from turnout.errors import InvalidValueError
from turnout.routers.nearest_neighbors import USUAL_K, NearestNeighbors, _nearest
from turnout.types import FloatArray, ModelPair, VectorArray

PAIR = ModelPair("big", "small")


class Compass:
    """Each text is a direction in degrees."""

    name = "compass"
    dim = 2
    identity = "compass"

    def encode(self, texts: Sequence[str]) -> VectorArray:
        angles = np.radians([float(text) for text in texts])
        return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def fitted(shares: dict[str, float], **settings: object) -> NearestNeighbors:
    battles = Battles.from_columns(list(shares), "big", "small", list(shares.values()), pair=PAIR)
    defaults = {"k": 2, "sharpness": 0.0, "shrinkage": 0.0}
    return NearestNeighbors(Compass(), **{**defaults, **settings}).fit(battles)  # type: ignore[arg-type]


SHARES = {"0": 1.0, "10": 0.5, "90": 0.0, "100": 0.0, "180": 0.5}


@pytest.mark.parametrize(
    ("settings", "query", "expected"),
    [
        ({}, "4", 0.75),
        ({"k": 1}, "4", 1.0),
        ({"k": 3}, "4", 0.5),
        ({"k": 99}, "4", 0.4),
        # Cosines 1 and cos 10° = 0.98481: weights 1 and exp(-100 · 0.01519) = 0.219.
        ({"sharpness": 100.0}, "0", (1 + 0.219 * 0.5) / 1.219),
        ({"shrinkage": 2.0}, "4", (2 * 0.75 + 2 * 0.4) / 4),
    ],
)
def test_win_rates_worked_by_hand(settings: dict[str, float], query: str, expected: float) -> None:
    assert fitted(SHARES, **settings).predict_win_rate([query])[0] == pytest.approx(expected, abs=2e-3)


def test_all_that_are_as_near_as_the_kth_are_asked() -> None:
    assert fitted({"0": 1.0, "180": 0.5, "270": 0.0}, k=1).predict_win_rate(["90"])[0] == 0.75


def test_votes_on_a_query_count_together() -> None:
    battles = Battles.from_columns(["0", "0", "0", "10"], "big", "small", [1.0, 1.0, 0.0, 0.0], pair=PAIR)
    router = NearestNeighbors(Compass(), k=2, sharpness=0.0, shrinkage=0.0).fit(battles)
    assert len(router.vectors_) == 2
    assert router.predict_win_rate(["3"])[0] == pytest.approx(2 / 4)


# Two neighbours share 0.75 on average; spread 0.0625, the mean's variance 0.24: (2 · 0.0625 + 0.24) / 3 = 0.12167, so
# the standard error is sqrt(0.12167 / 2) = 0.2466.
@pytest.mark.parametrize(
    ("guard", "width", "expected"),
    [
        ("none", 1.0, 0.75),
        ("mean", 1.0, 0.75 - 0.2466),
        ("mean", 3.0, 0.4),
        ("strong", 1.0, 0.9966),
        ("strong", 3.0, 1),
    ],
)
def test_a_guard_worked_by_hand(guard: str, width: float, expected: float) -> None:
    router = fitted(SHARES, guard=guard, guard_width=width)
    assert router.predict_win_rate(["4"])[0] == pytest.approx(expected, abs=1e-3)


def test_evidence_beyond_its_noise_leaves_strong() -> None:
    shares = {str(angle): 0.0 for angle in range(40)} | {str(angle): 1.0 for angle in range(180, 220)}
    few, many = (fitted(shares, k=k, guard="strong", guard_width=2.0) for k in (2, 40))
    assert many.predict_win_rate(["20"])[0] < 0.1 < 0.4 < few.predict_win_rate(["20"])[0]


def words(n: int, seed: int = 0) -> tuple[list[str], FloatArray]:
    """Queries of which the first word says who wins, most of the time."""
    random = np.random.default_rng(seed)
    hard = random.random(n) < 0.5
    rest = random.integers(0, 50, (n, 3))
    queries = [
        f"{'prove' if h else 'rhyme'} {' '.join(f'w{w}' for w in row)}" for h, row in zip(hard, rest, strict=True)
    ]
    return queries, np.where(random.random(n) < 0.9, hard, ~hard).astype(float)


@pytest.fixture(scope="module")
def chosen() -> NearestNeighbors:
    queries, shares = words(400)
    return NearestNeighbors(HashingEncoder(dim=64)).fit(
        Battles.from_columns(queries, "big", "small", shares, pair=PAIR)
    )


def test_chosen_settings_generalise(chosen: NearestNeighbors) -> None:
    queries, shares = words(300, seed=1)
    error = np.mean((chosen.predict_win_rate(queries) - shares) ** 2)
    one = NearestNeighbors(chosen.encoder, k=1, sharpness=0.0, shrinkage=0.0)
    training_queries, training_shares = words(400)
    one.fit(Battles.from_columns(training_queries, "big", "small", training_shares, pair=PAIR))
    assert error < 0.8 * np.mean((one.predict_win_rate(queries) - shares) ** 2)
    assert error < 0.8 * np.mean((chosen.mean_ - shares) ** 2)


def test_noise_is_answered_with_the_mean() -> None:
    random = np.random.default_rng(0)
    queries = [f"w{row}" for row in range(400)]
    battles = Battles.from_columns(queries, "big", "small", random.integers(0, 2, 400).astype(float), pair=PAIR)
    router = NearestNeighbors(HashingEncoder(dim=64)).fit(battles)
    win_rates = router.predict_win_rate([f"v{row}" for row in range(100)])
    assert np.abs(win_rates - router.mean_).max() < 0.15


def test_settings_are_the_usual_ones_unless_others_are_proven_better() -> None:
    random = np.random.default_rng(0)
    angles = random.integers(0, 360, 600)
    fine = (angles // 4 % 2).astype(float)  # only the very nearest know
    noise = random.integers(0, 2, 600).astype(float)
    k = {}
    for name, share in (("fine", fine), ("noise", noise)):
        battles = Battles.from_columns([str(angle) for angle in angles], "big", "small", share, pair=PAIR)
        k[name] = NearestNeighbors(Compass()).fit(battles).k_
    assert k["fine"] < USUAL_K
    assert k["noise"] == USUAL_K


def test_settings_that_are_given_stand() -> None:
    queries, shares = words(50)
    battles = Battles.from_columns(queries, "big", "small", shares, pair=PAIR)
    router = NearestNeighbors(HashingEncoder(dim=64), k=7, shrinkage=1.5).fit(battles)
    assert (router.k_, router.shrinkage_) == (7, 1.5)
    assert router.k == 7
    assert router.sharpness is None


@pytest.mark.parametrize("n", [1, 2, 3])
def test_a_few_battles_are_enough(n: int) -> None:
    battles = Battles.from_columns([f"q{row}" for row in range(n)], "big", "small", [0.25] * n, pair=PAIR)
    router = NearestNeighbors(HashingEncoder(dim=64)).fit(battles)
    assert router.predict_win_rate(["q0", ""]).tolist() == pytest.approx([0.25, 0.25])


def test_a_query_without_a_word_gets_the_mean(chosen: NearestNeighbors) -> None:
    assert chosen.predict_win_rate([""])[0] == pytest.approx(chosen.mean_)


def test_a_batch_equals_singles_to_the_bit(chosen: NearestNeighbors) -> None:
    queries, _ = words(200, seed=2)
    singles = [chosen.predict_win_rate([query])[0] for query in queries]
    np.testing.assert_array_equal(chosen.predict_win_rate(queries), singles)
    np.testing.assert_array_equal(chosen.predict_win_rate(queries[::-1]), singles[::-1])


def test_the_order_of_the_battles_does_not_choose_the_neighbours() -> None:
    queries, shares = words(300)
    battles = Battles.from_columns(queries, "big", "small", shares, pair=PAIR)
    turned = battles.take(np.arange(300)[::-1])
    asked, _ = words(50, seed=3)
    one, other = (
        NearestNeighbors(HashingEncoder(dim=64), k=5).fit(b).predict_win_rate(asked) for b in (battles, turned)
    )
    np.testing.assert_allclose(one, other, atol=1e-12)


@given(st.lists(st.integers(-20, 20), min_size=1, max_size=400), st.integers(1, 420))
def test_nearest_are_all_as_great_as_the_kth(values: list[int], k: int) -> None:
    kth = sorted(values, reverse=True)[min(k, len(values)) - 1]
    expected = [place for place, value in enumerate(values) if value >= kth]
    assert _nearest(np.array(values, dtype=np.float32), k).tolist() == expected


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"k": 0}, "k must be a whole number, at least 1, or None"),
        ({"sharpness": -1.0}, "sharpness must be a number, at least 0, or None"),
        ({"shrinkage": float("nan")}, "shrinkage must be a number, at least 0, or None"),
        ({"guard": "weak"}, "guard must be 'none', 'mean' or 'strong', got 'weak'"),
        ({"guard_width": -1.0}, "guard_width must be a number, at least 0"),
    ],
)
def test_a_bad_setting_is_named(settings: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidValueError, match=message):
        fitted(SHARES, **settings)


def test_fitting_again_forgets(chosen: NearestNeighbors) -> None:
    router = fitted(SHARES)
    before = router.predict_win_rate(["4"])
    battles = Battles.from_columns(["0", "90"], "big", "small", [0.0, 1.0], pair=PAIR)
    assert router.fit(battles).predict_win_rate(["4"])[0] != before[0]
    assert router.fit(replace(battles, share_a=np.array([1.0, 1.0]))).predict_win_rate(["4"])[0] == 1.0
