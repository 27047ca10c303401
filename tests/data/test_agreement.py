import numpy as np
import pytest

from turnout.data.agreement import agreement
from turnout.data.battles import Battles
from turnout.types import ModelPair

PAIR = ModelPair("big", "small")


def votes(*rows: tuple[str, float]) -> Battles:
    return Battles.from_columns([query for query, _ in rows], "big", "small", [share for _, share in rows])


def test_share_and_kappa_of_a_table_worked_by_hand() -> None:
    # Judge and votes: 4 × strong/strong, 1 × strong/weak, 2 × weak/weak, 1 × tie/tie, 2 × weak/strong.
    pairs = [(1.0, 1.0)] * 4 + [(1.0, 0.0)] + [(0.0, 0.0)] * 2 + [(0.5, 0.5)] + [(0.0, 1.0)] * 2
    judged = {f"q{n}": judge for n, (judge, _) in enumerate(pairs)}
    found = agreement(judged, votes(*((f"q{n}", vote) for n, (_, vote) in enumerate(pairs))), PAIR)
    assert found is not None
    assert (found.n_votes, found.n_queries, found.share) == (10, 10, 0.7)
    # By chance: judge (5, 1, 4) and votes (6, 1, 3) of 10 give (30 + 1 + 12) / 100.
    assert found.kappa == pytest.approx((0.7 - 0.43) / (1 - 0.43))
    assert (found.n_decided, found.share_decided) == (9, pytest.approx(6 / 9))
    assert found.share_interval[0] < 0.7 < found.share_interval[1]
    assert found.kappa_interval is not None
    assert found.kappa_interval[0] < found.kappa < found.kappa_interval[1]


def test_votes_are_turned_to_the_pair_and_others_passed_over() -> None:
    battles = Battles.from_columns(
        ["One?", "Two?", "Two?", "Three?", "One?"],
        ["small", "big", "small", "big", "big"],
        ["big", "small", "big", "small", "other"],
        [0.0, 0.0, 0.5, 1.0, 0.0],
    )
    found = agreement({"one?": 0.75, " TWO? ": 0.0}, battles, PAIR)
    assert found is not None
    assert (found.n_votes, found.n_queries, found.share) == (3, 2, pytest.approx(2 / 3))


def test_no_vote_on_a_judged_query_is_none() -> None:
    assert agreement({"x": 1.0}, votes(("y", 1.0)), PAIR) is None


def test_where_everything_is_one_result_kappa_says_nothing() -> None:
    found = agreement({"x": 1.0, "y": 1.0}, votes(("x", 1.0), ("y", 1.0)), PAIR)
    assert found is not None
    assert (found.share, found.kappa, found.kappa_interval) == (1.0, None, None)
    assert "kappa" not in found.text()


def test_equal_seeds_give_equal_intervals() -> None:
    random = np.random.default_rng(3)
    judged = {f"q{n}": float(random.choice([0, 0.5, 1])) for n in range(60)}
    cast = votes(*((query, float(random.choice([0, 0.5, 1]))) for query in judged))
    first, second, third = (agreement(judged, cast, PAIR, seed=seed) for seed in (1, 1, 2))
    assert first == second != third
    assert first is not None
    # A judge that guesses agrees by chance alone.
    assert first.kappa_interval is not None
    assert first.kappa_interval[0] < 0 < first.kappa_interval[1]


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    random = np.random.default_rng(0)
    covered = 0
    for _ in range(100):
        right = random.random(80) < 0.7
        judged = {f"q{n}": 1.0 for n in range(80)}
        found = agreement(judged, votes(*((f"q{n}", float(r)) for n, r in enumerate(right))), PAIR, n_draws=200)
        assert found is not None
        covered += found.share_interval[0] <= 0.7 <= found.share_interval[1]
    assert covered >= 86
