import numpy as np
import pytest

from turnout.encoders.hashing import HashingEncoder
from turnout.routers.features.blocks import Features, LinearFunction
from turnout.routers.learning import averaged_ridge
from turnout.routers.learning.averaged_ridge import fit_averaged_ridge

ENCODER = HashingEncoder(dim=16)
THINGS = ("prime", "river", "poem", "matrix", "song", "proof", "moon", "limit")


def made_up(n: int, seed: int = 0) -> tuple[Features, np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    queries = [f"{random.choice(['prove', 'sing'])} {' '.join(random.choice(THINGS, 3))} {row}" for row in range(n)]
    targets = np.array([query.startswith("prove") for query in queries]) * 0.6 + random.random(n) * 0.4
    return Features.of(queries, ENCODER), targets, 1.0 + random.integers(0, 3, n)


def dense(features: Features) -> np.ndarray:
    words = np.array([features.take(np.array([row])).summed(np.ones(1)).words for row in range(len(features))])
    return np.hstack([features.meaning, features.form, words[:, words.any(axis=0)]])


def test_one_setting_is_weighted_ridge_regression(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(averaged_ridge, "STRENGTHS", (0.6,))
    monkeypatch.setattr(averaged_ridge, "MIXES", ((0.5, 0.2, 0.3),))
    features, targets, counts = made_up(40)
    fit = fit_averaged_ridge(features, targets, counts)

    rows = dense(features)
    scale = np.sqrt(
        np.repeat([0.3, 0.12, 0.18], [16, features.form.shape[1], rows.shape[1] - 16 - features.form.shape[1]])
    )
    rows = np.hstack([rows * scale, np.ones((40, 1))])
    penalty = np.diag([1.0] * len(scale) + [0.0])
    weights = np.linalg.solve(rows.T @ (counts[:, None] * rows) + penalty, rows.T @ (counts * targets))
    assert features.times(fit.weights) == pytest.approx(rows @ weights, abs=1e-6)  # words are multiplied in 32 bits


@pytest.mark.parametrize("groups", [np.arange(12), np.arange(12) % 3], ids=["queries", "sources"])
def test_scores_are_densities_of_what_is_left_out(groups: np.ndarray) -> None:
    features, targets, counts = made_up(12)
    setting = averaged_ridge.Setting((0.3, 0.2, 0.1), 0.0)
    (fit,) = averaged_ridge._exact_fits(features, targets, counts, groups, np.zeros(12), [setting])
    rows = dense(features)
    rows = rows - counts @ rows / counts.sum()
    widths = [16, features.form.shape[1], rows.shape[1] - 16 - features.form.shape[1]]
    covariance = (rows * np.repeat(setting.variances, widths)) @ rows.T + np.diag(1 / counts)
    total = 0.0
    for row in range(12):
        others = np.flatnonzero(groups != groups[row])
        known = np.linalg.solve(covariance[np.ix_(others, others)], covariance[others, row])
        estimate = fit.mean + known @ (targets[others] - fit.mean)
        variance = fit.noise * (covariance[row, row] - known @ covariance[others, row])
        density = -0.5 * np.log(variance) - 0.5 * (targets[row] - estimate) ** 2 / variance
        total += counts[row] / counts.mean() * density
    assert fit.score == pytest.approx(total)


def test_many_queries_are_fitted_as_few_are(monkeypatch: pytest.MonkeyPatch) -> None:
    features, targets, counts = made_up(60)
    monkeypatch.setattr(averaged_ridge, "STRENGTHS", (0.1,))
    monkeypatch.setattr(averaged_ridge, "MIXES", ((1 / 3, 1 / 3, 1 / 3),))
    exact = fit_averaged_ridge(features, targets, counts)
    monkeypatch.setattr(averaged_ridge, "_EXACT", 30)
    iterative = fit_averaged_ridge(features, targets, counts)
    assert features.times(iterative.weights) == pytest.approx(features.times(exact.weights), abs=1e-6)


def test_a_prior_that_is_right_is_kept_and_one_that_is_wrong_is_not() -> None:
    features, targets, counts = made_up(80)
    right = fit_averaged_ridge(features, targets, counts).weights
    wrong = LinearFunction(-right.intercept, -right.meaning, -right.form, -right.words)
    new, new_targets, new_counts = made_up(30, seed=1)
    kept = fit_averaged_ridge(new, new_targets, new_counts, prior=right).prior_share
    dropped = fit_averaged_ridge(new, new_targets, new_counts, prior=wrong).prior_share
    assert kept > 0.6
    assert dropped == 0.0


def test_targets_that_are_all_alike_give_a_constant() -> None:
    features, _, counts = made_up(20)
    fit = fit_averaged_ridge(features, np.full(20, 0.5), counts)
    assert features.times(fit.weights) == pytest.approx(np.full(20, 0.5))
