"""Ridge and ridged logistic regression, weighted and with soft targets: the mathematics behind `linear`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from turnout.routers.learning.conjugate_gradients import solve
from turnout.routers.learning.sigmoid import sigmoid
from turnout.types import FloatArray

Matrix = npt.NDArray[np.floating]

FREE = 1e-9
"""A penalty for parameters that are to be free, and finite all the same."""

_ROWS_AT_ONCE = 8_192
_NEWTON_STEPS = 25
_TOLERANCE = 1e-8


@dataclass(frozen=True, eq=False)
class LinearFit:
    """y ≈ x · coefficients + intercept, or its log odds."""

    coefficients: FloatArray
    """Shape (d,)."""
    intercept: float


def choose_strength(x: Matrix, y: FloatArray, weights: FloatArray, strengths: Sequence[float]) -> float:
    """The ridge strength with the least weighted squared error on rows that are left out one at a time.

    Exact, and for all strengths from one decomposition: the error of a row that is left out is its residual divided
    by 1 − its leverage.

    Args:
        x: shape (n, d).
        y: shape (n,).
        weights: shape (n,), above 0.
        strengths: above 0; of equals the greatest is taken.
    """
    root = np.sqrt(weights / weights.mean())
    mean_share = root / np.sqrt((root * root).sum())  # the intercept's direction
    centred = (x - _middle(x, weights)) * root[:, np.newaxis]
    target = (y - np.average(y, weights=weights)) * root
    basis, squared = _left_directions(centred)
    along = basis.T @ target
    errors = []
    for strength in sorted(strengths, reverse=True):
        kept = squared / (squared + strength)
        residual = target - basis @ (kept * along)
        leverage = (basis * basis) @ kept + mean_share**2
        errors.append(float(np.sum((residual / np.maximum(1 - leverage, 1e-9)) ** 2)))
    return sorted(strengths, reverse=True)[int(np.argmin(errors))]


def fit_ridge(x: Matrix, y: FloatArray, weights: FloatArray, strength: float) -> LinearFit:
    """The least weighted squared error + strength · |coefficients|²; the intercept is free. Weights average 1.

    >>> fit = fit_ridge(np.array([[0.0], [1.0], [2.0]]), np.array([1.0, 3.0, 5.0]), np.ones(3), 1e-9)
    >>> fit.coefficients.round(6).tolist(), round(fit.intercept, 6)
    ([2.0], 1.0)
    """
    scaled = weights / weights.mean()
    middle, mean = _middle(x, scaled), float(np.average(y, weights=weights))
    n, d = x.shape
    if d <= n:
        gram, moment = strength * np.eye(d), np.zeros(d)
        for start in range(0, n, _ROWS_AT_ONCE):  # so that no second matrix as large as x is made
            rows = slice(start, start + _ROWS_AT_ONCE)
            centred = x[rows] - middle
            gram += centred.T @ (centred * scaled[rows, np.newaxis])
            moment += centred.T @ (scaled[rows] * (y[rows] - mean))
        coefficients = np.linalg.solve(gram, moment)
    else:
        root = np.sqrt(scaled)
        centred = (x - middle) * root[:, np.newaxis]
        dual = np.linalg.solve(centred @ centred.T + strength * np.eye(n), root * (y - mean))
        coefficients = centred.T @ dual
    return LinearFit(np.asarray(coefficients, dtype=np.float64), mean - float(middle @ coefficients))


def fit_logistic(x: Matrix, y: FloatArray, weights: FloatArray, strength: float) -> LinearFit:
    """The greatest weighted likelihood of soft targets y in [0, 1], less strength/2 · |coefficients|²."""
    scaled = weights / weights.mean()
    middle = _middle(x, scaled)
    # x is used in its own precision and never copied: 60,000 rows of 2,000 columns are half a gigabyte.
    theta = maximise_likelihood(
        lambda theta: x @ theta[:-1].astype(x.dtype) - middle @ theta[:-1] + theta[-1],
        lambda rows: np.append(x.T @ rows.astype(x.dtype) - middle * rows.sum(), rows.sum()),
        y,
        scaled,
        penalty=np.append(np.full(x.shape[1], strength), FREE),
    )
    return LinearFit(theta[:-1], float(theta[-1] - middle @ theta[:-1]))


def maximise_likelihood(
    logits_of: Callable[[FloatArray], FloatArray],
    gathered: Callable[[FloatArray], FloatArray],
    y: FloatArray,
    weights: FloatArray,
    *,
    penalty: FloatArray,
    start: FloatArray | None = None,
) -> FloatArray:
    """The parameters with the greatest likelihood of soft targets under logits that are linear in them.

    Newton's method; each step is solved by conjugate gradients, so that no matrix of parameters × parameters is made.

    Args:
        logits_of: parameters (p,) → logits (n,), linear.
        gathered: its transpose, numbers for each row (n,) → sums for each parameter (p,).
        y: shape (n,), in [0, 1].
        weights: shape (n,), at least 0.
        penalty: shape (p,), above 0: half of it times the parameter squared is taken off the likelihood.
        start: shape (p,); zeros by default. A good one saves steps, and does not change what is found.
    """

    def objective(theta: FloatArray) -> float:
        logits = logits_of(theta)
        loss = np.logaddexp(0, logits) - y * logits
        return float((weights * loss).sum() + (penalty * theta * theta).sum() / 2)

    theta = np.zeros(len(penalty)) if start is None else start
    now = objective(theta)
    for _ in range(_NEWTON_STEPS):
        share = sigmoid(logits_of(theta))
        gradient = gathered(weights * (share - y)) + penalty * theta
        curvature = weights * np.maximum(share * (1 - share), 1e-9)

        def times_hessian(v: FloatArray, curvature: FloatArray = curvature) -> FloatArray:
            return gathered(curvature * logits_of(v)) + penalty * v

        step = solve(times_hessian, -gradient)
        length = 1.0
        while (then := objective(theta + length * step)) > now and length > 1e-6:
            length /= 2
        if then >= now:
            break
        settled = now - then <= _TOLERANCE * max(1.0, abs(now))
        theta, now = theta + length * step, then
        if settled:
            break
    return theta


def _middle(x: Matrix, weights: FloatArray) -> FloatArray:
    """The weighted mean row, shape (d,), without a weighted copy of x."""
    middle: FloatArray = np.einsum("ij,i->j", x, weights / weights.sum(), dtype=np.float64)
    return middle


def _left_directions(x: FloatArray) -> tuple[FloatArray, FloatArray]:
    """(left singular vectors, squared singular values) of x, from the smaller of its two square matrices."""
    n, d = x.shape
    if n <= d:
        squared, basis = np.linalg.eigh(x @ x.T)
        return basis, np.maximum(squared, 0.0)
    squared, right = np.linalg.eigh(x.T @ x)
    kept = squared > 1e-10 * max(float(squared[-1]), 1e-300)
    return x @ right[:, kept] / np.sqrt(squared[kept]), squared[kept]
