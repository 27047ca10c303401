import numpy as np
import pytest

from turnout.data.battles import Battles
from turnout.encoders.hashing import HashingEncoder
from turnout.errors import InvalidValueError
from turnout.routers.cluster import Cluster, k_means, nearest_centre
from turnout.routers.learning.exact_cosines import whole_numbers
from turnout.testing import FakeEncoder, tiny_battles
from turnout.types import ModelPair

PAIR = ModelPair("big", "small")
ENCODER = HashingEncoder(dim=32)


def test_win_rates_worked_by_hand() -> None:
    encoder = FakeEncoder({"a": [1, 0], "b": [0.9, 0.1], "c": [0, 1], "d": [0.1, 0.9], "e": [0.8, 0.2]})
    battles = Battles.from_columns(["a", "a", "b", "c", "d"], "big", "small", [1.0, 0.5, 0.9, 0.0, 0.0], pair=PAIR)
    router = Cluster(encoder, n_clusters=2, shrinkage=1.0).fit(battles)
    mean = 2.4 / 5
    assert router.predict_win_rate(["e", "c", "unknown"]).tolist() == pytest.approx(
        [(2.4 + mean) / 4, (0 + mean) / 3, mean]
    )
    assert sorted(router.n_queries_) == [2, 2]
    one, other, same = router.clusters_of(["a", "c", "e"])
    assert one == same != other


def blobs(n_blobs: int, n_each: int) -> np.ndarray:
    random = np.random.default_rng(0)
    middles = random.normal(size=(n_blobs, 16))
    return (np.repeat(middles, n_each, axis=0) + random.normal(0, 0.05, (n_blobs * n_each, 16))).astype(np.float32)


def test_k_means_finds_what_lies_together() -> None:
    vectors = whole_numbers(blobs(6, 20))
    members = nearest_centre(vectors, k_means(vectors, 6, n_starts=3, seed=0))
    assert len(set(members.tolist())) == 6
    assert all(len(set(members[start : start + 20].tolist())) == 1 for start in range(0, 120, 20))


def test_no_start_is_better_than_the_one_kept() -> None:
    vectors = whole_numbers(np.random.default_rng(1).normal(size=(200, 8)).astype(np.float32))

    def tightness(n_starts: int) -> float:
        centres = k_means(vectors, 12, n_starts=n_starts, seed=5)
        return float((vectors @ centres.T).max(axis=1).sum())

    assert tightness(8) >= tightness(4) >= tightness(1)


@pytest.mark.parametrize("n_clusters", [1, 2, 5])
def test_as_many_clusters_as_queries_or_equal_queries_are_no_trouble(n_clusters: int) -> None:
    vectors = whole_numbers(np.ones((5, 3), dtype=np.float32))
    assert k_means(vectors, n_clusters, n_starts=2, seed=0).shape == (n_clusters, 3)


def test_it_learns_who_wins_what() -> None:
    hard, easy = Cluster(ENCODER).fit(tiny_battles(300)).predict_win_rate(["prove the theorem", "rhyme a poem"])
    assert hard > 0.7
    assert easy < 0.3


def test_noise_is_answered_with_the_mean() -> None:
    random = np.random.default_rng(0)
    queries = [f"w{row}" for row in range(400)]
    battles = Battles.from_columns(queries, "big", "small", random.integers(0, 2, 400).astype(float), pair=PAIR)
    router = Cluster(ENCODER).fit(battles)
    assert np.abs(router.win_rates_ - router.mean_).max() < 0.15


def test_the_centres_may_come_from_a_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("turnout.routers.cluster._CENTRES_FROM", 40)
    router = Cluster(ENCODER, n_clusters=50).fit(tiny_battles(300))
    assert len(router.centres_) == 40
    assert router.n_queries_.sum() > 200  # all queries count, whichever the centres came from


def test_settings_that_are_given_stand() -> None:
    router = Cluster(ENCODER, n_clusters=7, shrinkage=2.5).fit(tiny_battles())
    assert len(router.centres_) == 7
    assert router.shrinkage_ == 2.5
    unshrunk = Cluster(ENCODER, n_clusters=60, shrinkage=0.0).fit(tiny_battles())
    assert np.isfinite(unshrunk.win_rates_).all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_clusters": 0}, "n_clusters must be a whole number, at least 1, or None"),
        ({"shrinkage": -1.0}, "shrinkage must be a number, at least 0, or None"),
        ({"n_starts": 0}, "n_starts must be a whole number, at least 1"),
    ],
)
def test_a_bad_setting_is_named(settings: dict[str, float], message: str) -> None:
    with pytest.raises(InvalidValueError, match=message):
        Cluster(ENCODER, **settings).fit(tiny_battles())  # type: ignore[arg-type]
