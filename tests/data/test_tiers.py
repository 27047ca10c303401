import itertools
import json
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnout.data.battles import Battles
from turnout.data.tiers import Criterion, Tiers, cut_into_tiers, lift
from turnout.errors import DataError, EmptyDataError, InvalidValueError, UnknownNameError
from turnout.types import ModelPair

PAPER = json.loads((Path(__file__).parents[2] / "benchmarks" / "paper_tiers.json").read_text())["models"]


def spread(ratings: np.ndarray, tiers: list[list[int]], criterion: str) -> float:
    return sum(float(ratings[tier].var()) * (1 if criterion == "variance" else len(tier)) for tier in tiers)


@given(st.lists(st.floats(-5, 5), min_size=2, max_size=8), st.sampled_from(get_args(Criterion)), st.data())
def test_no_other_cut_has_less_spread(values: list[float], criterion: Criterion, data: st.DataObject) -> None:
    ratings = np.array(values)
    n_tiers = data.draw(st.integers(1, len(values)))
    tiers = cut_into_tiers(ratings, n_tiers, criterion=criterion)
    assert sorted(itertools.chain(*tiers)) == list(range(len(values)))
    assert len(tiers) == n_tiers
    order = np.argsort(-ratings, kind="stable")
    for cuts in itertools.combinations(range(1, len(values)), n_tiers - 1):
        other = [part.tolist() for part in np.split(order, cuts)]
        assert spread(ratings, tiers, criterion) <= spread(ratings, other, criterion) + 1e-9


def test_the_papers_tiers_come_out_of_published_scores() -> None:
    """Appendix A, from the Arena scores of a few months later: 59 of 64 models are where the paper has them."""
    scores = np.array([model["score"] for model in PAPER], dtype=float)
    theirs = np.array([model["tier"] for model in PAPER])
    ours = np.empty_like(theirs)
    for number, tier in enumerate(cut_into_tiers(scores, 10)):
        ours[tier] = number
    assert len(theirs) == 64
    assert (ours == theirs).sum() == 59
    assert np.abs(ours - theirs).max() == 1
    by_squares = cut_into_tiers(scores, 10, criterion="squares")
    assert len(by_squares[2]) == 5  # the paper's third tier, its weak class, has 17


def test_an_unknown_criterion_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'variance'"):
        cut_into_tiers(np.arange(3.0), 2, criterion="varience")  # type: ignore[arg-type]


def battles() -> Battles:
    """Four models; a and b beat c and d; c and d are even."""
    rows = [("a", "c", 1.0), ("d", "a", 0.0), ("b", "c", 1.0), ("b", "d", 1.0), ("c", "d", 0.5), ("a", "b", 0.5)] * 3
    rows += [("c", "a", 1.0)]
    return Battles.from_columns(
        [f"q{n}" for n in range(len(rows))],
        [a for a, _, _ in rows],
        [b for _, b, _ in rows],
        [share for *_, share in rows],
        source="test",
    )


def test_tiers_put_the_best_first_and_survive_a_file() -> None:
    tiers = Tiers.of(battles(), 2)
    assert [sorted(tier) for tier in tiers.models] == [["a", "b"], ["c", "d"]]
    assert Tiers.from_json(tiers.to_json()) == tiers
    with pytest.raises(DataError, match="turnout data tiers"):
        Tiers.from_json({"tiers": 3})


def test_lifted_battles_are_between_one_pair_with_strong_first() -> None:
    lifted = lift(battles(), ["a", "b"], ["c", "d"], pair=ModelPair("big", "small"))
    assert len(lifted) == 13
    assert set(lifted.model_a) == {"big"}
    assert lifted.strong_share().sum() == 12  # all but the last, in which c beat a


def test_lifting_refuses_what_it_cannot_do() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean"):
        lift(Battles.from_columns(["q"], "gpt-4", "vicuna", [1.0]), ["gpt-5"], ["vicuna"])
    with pytest.raises(InvalidValueError, match="at once: a"):
        lift(battles(), ["a"], ["a", "c"])
    with pytest.raises(EmptyDataError, match="wider tiers"):
        lift(battles(), ["a"], [])


def test_more_tiers_than_models_are_refused() -> None:
    with pytest.raises(InvalidValueError, match="from 1 to the 4 models, got 10"):
        Tiers.of(battles(), 10)
    with pytest.raises(InvalidValueError, match="tiers 0 to 1, got 2"):
        Tiers.of(battles(), 2).members((2,))
