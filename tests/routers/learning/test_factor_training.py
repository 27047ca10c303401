from __future__ import annotations

import numpy as np
import pytest

from turnout.routers.learning.factor_training import (
    Adam,
    Comparisons,
    Factors,
    Recipe,
    first_factors,
    line_of_pair,
    loss_and_gradients,
    summed_loss,
)
from turnout.routers.learning.sigmoid import sigmoid

RANDOM = np.random.default_rng(0)
N_MODELS, N_INPUTS = 4, 5
DATA = Comparisons(
    vectors=RANDOM.normal(size=(6, N_INPUTS)).astype(np.float32),
    n_models=N_MODELS,
    query=np.array([0, 1, 2, 3, 4, 5, 0, 1]),
    a=np.array([0, 1, 2, 3, 0, 1, 2, 3]),
    b=np.array([1, 2, 3, 0, 2, 3, 0, 1]),
    share_a=np.array([1, 0, 0.5, 0.7, 1, 0, 0, 1], dtype=np.float32),
    weight=np.array([1, 2, 1, 0.5, 1, 1, 1, 0.5], dtype=np.float32),
)


def some_factors(*, bias: bool) -> Factors:
    shapes = {"projection": (N_INPUTS, 3), "output": (3,), "models": (N_MODELS, 3), "bias": (3,)}
    return {name: RANDOM.normal(size=shape) for name, shape in shapes.items() if bias or name != "bias"}  # type: ignore[misc]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("normalise", [True, False])
def test_gradients_are_what_the_loss_rises_by(bias: bool, normalise: bool) -> None:
    """Against central differences, in 64 bits."""
    factors, vectors, step = some_factors(bias=bias), DATA.vectors[DATA.query], 1e-6
    _, gradients = loss_and_gradients(factors, vectors, DATA, normalise_models=normalise)
    assert gradients.keys() == factors.keys()
    for name, factor in factors.items():
        for place in np.ndindex(factor.shape):
            losses = []
            for sign in (1, -1):
                moved = {key: value.copy() for key, value in factors.items()}
                moved[name][place] += sign * step
                losses.append(loss_and_gradients(moved, vectors, DATA, normalise_models=normalise)[0])
            assert gradients[name][place] == pytest.approx((losses[0] - losses[1]) / (2 * step), abs=1e-6)


def test_both_ways_to_the_loss_agree_with_the_line_of_each_pair() -> None:
    factors = some_factors(bias=True)
    mean, _ = loss_and_gradients(factors, DATA.vectors[DATA.query], DATA, normalise_models=False)
    total = 0.0
    for query, a, b, share, weight in zip(DATA.query, DATA.a, DATA.b, DATA.share_a, DATA.weight, strict=True):
        slope, offset = line_of_pair(factors, int(a), int(b))
        rate = sigmoid(DATA.vectors[query] @ slope + offset)
        total -= weight * (share * np.log(rate) + (1 - share) * np.log(1 - rate))
    assert summed_loss(factors, DATA, normalise_models=False) == pytest.approx(total, rel=1e-6)
    assert mean == pytest.approx(total / len(DATA), rel=1e-6)


def test_adam_moves_by_the_learning_rate_at_first_and_finds_a_minimum() -> None:
    factors: Factors = {"x": np.array([3.0, -2.0], dtype=np.float32)}
    adam = Adam(learning_rate=0.1)
    adam.step(factors, {"x": factors["x"] * 2})
    np.testing.assert_allclose(factors["x"], [2.9, -1.9], rtol=1e-5)
    for _ in range(500):
        adam.step(factors, {"x": factors["x"] * 2})
    np.testing.assert_allclose(factors["x"], 0, atol=1e-3)


def test_before_any_battle_every_win_rate_is_a_half() -> None:
    recipe = Recipe(dim=3, bias=True, normalise_models=False, query_noise=0, batch_size=8, learning_rate=0.1, seed=0)
    factors = first_factors(N_INPUTS, N_MODELS, recipe, np.random.default_rng(0))
    slope, offset = line_of_pair(factors, 0, 1)
    assert not slope.any()
    assert sigmoid(offset) == 0.5
