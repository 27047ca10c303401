import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from turnout.errors import DataError, EmptyDataError, InvalidValueError
from turnout.ranking import RIDGE, fit_ratings, rate, win_matrix
from turnout.types import FloatArray


def reference(wins: FloatArray, ridge: float) -> FloatArray:
    """Plain gradient ascent with a line search on the same penalised likelihood, first rating fixed at 0."""

    def objective(r: FloatArray) -> float:
        return float((-wins * np.logaddexp(0, -(r[:, None] - r[None, :]))).sum() - ridge / 2 * (r**2).sum())

    ratings, size = np.zeros(len(wins)), 1.0
    for _ in range(200_000):
        p = 1 / (1 + np.exp(-(ratings[:, None] - ratings[None, :])))
        gradient = wins.sum(1) - ((wins + wins.T) * p).sum(1) - ridge * ratings
        gradient[0] = 0
        if np.abs(gradient).max() < 1e-9:
            break
        while objective(ratings + size * gradient) < objective(ratings) and size > 1e-12:
            size /= 2
        ratings = ratings + size * gradient
        size *= 1.5
    return ratings


def test_ratings_maximise_the_likelihood() -> None:
    random = np.random.default_rng(0)
    wins = random.integers(1, 9, (5, 5)).astype(float)
    np.fill_diagonal(wins, 0)
    np.testing.assert_allclose(fit_ratings(wins), reference(wins, RIDGE), atol=1e-6)


def test_a_stack_is_solved_as_its_matrices_are() -> None:
    random = np.random.default_rng(1)
    stack = random.random((4, 3, 6, 6)) + 0.01
    ratings = fit_ratings(stack)
    assert ratings.shape == (4, 3, 6)
    for place in np.ndindex(4, 3):
        np.testing.assert_allclose(ratings[place], fit_ratings(stack[place]), atol=1e-9)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.sampled_from([0.0, 0.5, 1.0])), max_size=30))
def test_expected_wins_equal_wins(table: list[tuple[int, int, float]]) -> None:
    """The likelihood's own law: at its maximum each model's expected wins are its wins."""
    rows = [(a, b, share) for a, b, share in table if a != b] + [(0, 1, 0.5), (1, 2, 0.5), (2, 3, 0.5)]
    a, b, share = (np.array(column) for column in zip(*rows, strict=True))
    wins = win_matrix(a, b, share, np.ones(len(rows)), 4)
    ratings = fit_ratings(wins)
    p = 1 / (1 + np.exp(-(ratings[:, None] - ratings[None, :])))
    np.testing.assert_allclose(wins.sum(1)[1:], (((wins + wins.T) * p).sum(1) + RIDGE * ratings)[1:], atol=1e-7)


def test_who_won_everything_stays_finite() -> None:
    ratings = fit_ratings(np.array([[0.0, 0.0, 0.0], [5.0, 0.0, 0.0], [5.0, 5.0, 0.0]]))
    assert np.isfinite(ratings).all()
    assert ratings[0] < ratings[1] < ratings[2]


def test_models_that_no_battle_connects_are_named() -> None:
    wins = np.zeros((4, 4))
    wins[0, 1] = wins[2, 3] = 1
    with pytest.raises(DataError, match=r"2 groups.*gpt, vicuna; claude, llama|2 groups.*claude, llama; gpt, vicuna"):
        fit_ratings(wins, names=["gpt", "vicuna", "claude", "llama"])


def test_negative_and_missing_wins_are_refused() -> None:
    for bad in (-1.0, np.nan, np.inf):
        with pytest.raises(InvalidValueError, match="finite and at least 0"):
            fit_ratings(np.array([[0, bad], [1, 0]]))
    with pytest.raises(InvalidValueError, match="shape"):
        fit_ratings(np.zeros((2, 3)))


def test_rating_no_battles_is_refused() -> None:
    none = np.array([], dtype=np.int64)
    with pytest.raises(EmptyDataError):
        rate(["a", "b"], none, none, np.array([]), np.array([]))


def test_ratings_do_not_depend_on_what_else_is_in_the_stack() -> None:
    random = np.random.default_rng(2)
    stack = random.random((9, 7, 7)) ** 8  # some are lopsided and take more steps than others
    together = fit_ratings(stack)
    for place in range(len(stack)):
        np.testing.assert_array_equal(together[place], fit_ratings(stack[place]))
        np.testing.assert_array_equal(together[place], fit_ratings(stack[place : place + 3])[0])


@given(st.lists(st.sampled_from([0.0, 0.01, 1.0, 1e4]), min_size=12, max_size=12))
@example([0, 0, 0, 0, 0, 1e4, 0, 1e4, 0, 0, 0, 1e4])  # a circle of many wins that one win leads into
def test_lopsided_wins_settle(weights: list[float]) -> None:
    """Wins in one direction only have no maximum but for the ridge, and there rounding is felt most."""
    wins = np.zeros((4, 4))
    wins[~np.eye(4, dtype=bool)] = weights
    wins[[0, 1, 2], [1, 2, 3]] += 1
    ratings = fit_ratings(wins)
    p = 1 / (1 + np.exp(ratings[None, :] - ratings[:, None]))
    np.testing.assert_allclose((wins * p.T - wins.T * p).sum(1)[1:], RIDGE * ratings[1:], atol=1e-9)
