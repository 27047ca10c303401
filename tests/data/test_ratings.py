import json
import math

import numpy as np
import pytest

from turnout.data.battles import Battles
from turnout.data.ratings import Ratings, win_probability
from turnout.data.tiers import Tiers
from turnout.errors import DataError, EmptyDataError, InvalidValueError, UnknownNameError

TRUE = {"a": 1250.0, "b": 1100.0, "c": 1000.0, "d": 650.0}


def votes(n: int, seed: int = 0, on_each_query: int = 1) -> Battles:
    """Votes as the true ratings have them, `on_each_query` times the same vote on a query."""
    random = np.random.default_rng(seed)
    names = list(TRUE)
    a = random.integers(0, 4, n)
    b = (a + random.integers(1, 4, n)) % 4
    won = [random.random() < win_probability(TRUE[names[i]], TRUE[names[j]]) for i, j in zip(a, b, strict=True)]
    rows = [(f"q{row}", names[i], names[j], float(w)) for row, (i, j, w) in enumerate(zip(a, b, won, strict=True))]
    queries, model_a, model_b, share = zip(*(row for row in rows for _ in range(on_each_query)), strict=True)
    return Battles.from_columns(queries, model_a, model_b, share)


def test_three_wins_to_one_are_191_points() -> None:
    battles = Battles.from_columns(["x", "y", "z", "w"] * 30, "a", "b", [1.0, 1.0, 1.0, 0.0] * 30)
    best, worst = Ratings.of(battles, n_replicates=50).models
    assert (best.name, worst.name, best.n_battles) == ("a", "b", 120)
    assert best.rating - worst.rating == pytest.approx(400 * math.log10(3), abs=0.01)
    assert best.rating + worst.rating == pytest.approx(2000)
    assert win_probability(best.rating, worst.rating) == pytest.approx(0.75, abs=1e-6)


def test_intervals_hold_the_truth_and_shrink_with_votes() -> None:
    small, large = (Ratings.of(votes(n, seed=1), n_replicates=200) for n in (300, 4000))
    for few, many in zip(small.models, large.models, strict=True):
        assert many.low < many.rating < many.high
        assert many.low - 20 < TRUE[many.name] < many.high + 20
        assert many.high - many.low < 0.5 * (few.high - few.low)


def test_votes_on_one_query_do_not_pass_for_independent() -> None:
    one, five = (Ratings.of(votes(400, on_each_query=times), n_replicates=100) for times in (1, 5))
    assert five.n_battles == 5 * one.n_battles
    assert five.n_queries == one.n_queries
    for once, often in zip(one.models, five.models, strict=True):
        assert often.high - often.low == pytest.approx(once.high - once.low, rel=1e-3)


def test_a_model_can_be_held_at_a_rating() -> None:
    held = Ratings.of(votes(500), anchor=("c", 1114.0), n_replicates=50)
    (c,) = [model for model in held.models if model.name == "c"]
    assert (c.rating, c.low, c.high) == (1114.0, 1114.0, 1114.0)
    free = Ratings.of(votes(500), n_replicates=50)
    assert held.models[0].rating - c.rating == pytest.approx(
        free.models[0].rating - next(model.rating for model in free.models if model.name == "c")
    )


def test_tiers_are_those_of_the_tiers_command_best_first() -> None:
    battles = votes(600)
    rated = Ratings.of(battles, n_tiers=3, n_replicates=20)
    tiers = Tiers.of(battles, 3)
    assert [(model.name, model.tier) for model in rated.models] == [
        (name, number) for number, tier in enumerate(tiers.models) for name in tier
    ]
    ratings = [model.rating for model in rated.models]
    assert ratings == sorted(ratings, reverse=True)
    assert [model.tier for model in Ratings.of(battles, n_replicates=20).models] == [0, 1, 2, 3]  # 4 models, 10 tiers


def test_the_seed_decides_the_draws() -> None:
    first, same, other = (Ratings.of(votes(100), n_replicates=30, seed=seed).to_json() for seed in (1, 1, 2))
    assert first == same
    assert first["models"][0]["interval"] != other["models"][0]["interval"]
    assert first["models"][0]["rating"] == other["models"][0]["rating"]
    assert json.loads(json.dumps(first)) == first


def test_the_table_names_what_it_rests_on() -> None:
    lines = Ratings.of(votes(200), anchor=("d", 700), n_replicates=30).text().splitlines()
    assert lines[0].split() == ["tier", "model", "rating", "95", "%", "battles"]
    assert [line.split()[1] for line in lines[1:5]] == ["a", "b", "c", "d"]
    assert lines[6].startswith("Elo scale, d held at 700; 200 battles on 200 distinct queries")


def test_draws_that_connect_too_little_are_counted_or_refused() -> None:
    some = Battles.concat([votes(60), Battles.from_columns(["x", "y"], "e", "d", [1.0, 0.0])])
    rated = Ratings.of(some, n_replicates=200)
    assert 0 < rated.n_unconnected < 100  # a draw without x and y has probability of about exp(−2)
    assert str(rated.n_unconnected) in rated.text().splitlines()[-1]
    chain = Battles.from_columns(list("pqrstu"), list("abcdef"), list("bcdefg"), [0.5] * 6)
    with pytest.raises(DataError, match="too few battles for intervals"):
        Ratings.of(chain, n_replicates=50)


def test_what_cannot_be_rated_is_refused() -> None:
    with pytest.raises(EmptyDataError):
        Ratings.of(votes(10).take([]))
    with pytest.raises(UnknownNameError, match="'gpt-5'"):
        Ratings.of(votes(50), anchor=("gpt-5", 1000))
    with pytest.raises(InvalidValueError, match="must be a number"):
        Ratings.of(votes(50), anchor=("a", float("nan")))
    with pytest.raises(InvalidValueError, match="n_replicates"):
        Ratings.of(votes(50), n_replicates=1)
    with pytest.raises(DataError, match="No battle connects"):
        Ratings.of(Battles.from_columns(["q", "r"], ["a", "c"], ["b", "d"], [1.0, 0.0]))
