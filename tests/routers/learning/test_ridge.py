import numpy as np
import pytest

from turnout.routers.learning.ridge import choose_strength, fit_logistic, fit_ridge
from turnout.routers.learning.sigmoid import sigmoid


@pytest.fixture(params=[(60, 5), (20, 45)], ids=["tall", "wide"])
def data(request: pytest.FixtureRequest) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    n, d = request.param
    random = np.random.default_rng(0)
    x = random.normal(size=(n, d)) + 3
    y = np.clip(0.5 + 0.2 * (x[:, 0] - 3) + random.normal(0, 0.2, n), 0, 1)
    return x, y, random.uniform(0.5, 2, n)


def test_ridge_is_where_the_gradient_vanishes(data: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    x, y, weights = data
    fit = fit_ridge(x, y, weights, strength=2.0)
    residual = weights / weights.mean() * (x @ fit.coefficients + fit.intercept - y)
    np.testing.assert_allclose(x.T @ residual + 2.0 * fit.coefficients, 0, atol=1e-8)
    assert residual.sum() == pytest.approx(0, abs=1e-9)


def test_logistic_is_where_the_gradient_vanishes(data: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    x, y, weights = data
    fit = fit_logistic(x, y, weights, strength=2.0)
    residual = weights / weights.mean() * (sigmoid(x @ fit.coefficients + fit.intercept) - y)
    np.testing.assert_allclose(x.T @ residual + 2.0 * fit.coefficients, 0, atol=2e-3)
    assert residual.sum() == pytest.approx(0, abs=1e-3)


def test_separable_labels_stay_finite() -> None:
    x, y = np.array([[-1.0], [1.0]]), np.array([0.0, 1.0])
    fit = fit_logistic(x, y, np.ones(2), strength=1e-3)
    assert np.isfinite(fit.coefficients).all()
    assert sigmoid(x @ fit.coefficients + fit.intercept).round(2).tolist() == [0.0, 1.0]
    constant = fit_logistic(x, np.ones(2), np.ones(2), strength=1.0)
    assert np.isfinite([*constant.coefficients, constant.intercept]).all()


def test_the_strength_is_that_of_leaving_each_row_out(data: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    x, y, weights = data
    strengths = [0.01, 0.1, 1.0, 10.0, 100.0, 1e4]
    errors = []
    for strength in strengths:
        left_out = 0.0
        for row in range(len(y)):
            rest = np.arange(len(y)) != row
            # Weights are scaled to the mean of what is fitted: undo that, so that the strength stays what it was.
            same = strength * weights.mean() / weights[rest].mean()
            fit = fit_ridge(x[rest], y[rest], weights[rest], same)
            left_out += weights[row] * (y[row] - x[row] @ fit.coefficients - fit.intercept) ** 2
        errors.append(left_out)
    assert choose_strength(x, y, weights, strengths) == strengths[int(np.argmin(errors))]
    assert 0 < np.argmin(errors) < len(strengths) - 1  # the choice is a real one


def test_without_anything_to_learn_the_greatest_strength_is_chosen() -> None:
    x = np.random.default_rng(0).normal(size=(30, 4))
    assert choose_strength(x, np.full(30, 0.7), np.ones(30), [0.1, 10.0]) == 10.0
