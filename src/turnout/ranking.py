"""Bradley–Terry ratings from weighted wins: P(i beats j) = sigmoid(r_i − r_j). A tie is half a win for each.

The likelihood is concave, so Newton's method finds its one maximum. It works on the matrix of summed wins, however
many battles there were, and on a whole stack of matrices at once: the similarity router solves one for each query.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from turnout.errors import DataError, EmptyDataError, InvalidValueError
from turnout.types import BoolArray, FloatArray

RIDGE = 1e-6
"""Keeps ratings finite where one model won all its battles; too small to be seen elsewhere."""

_TOLERANCE = 1e-10
_MAX_STEPS = 200
_LARGEST_STEP = 2.0  # Newton's first steps overshoot on lopsided data; beyond this a step is cut to this length


def win_matrix(
    a: npt.NDArray[np.integer],
    b: npt.NDArray[np.integer],
    share_a: FloatArray,
    weight: FloatArray,
    n_models: int,
) -> FloatArray:
    """Wins of row models over column models, weighted and summed, shape (n_models, n_models).

    >>> import numpy as np
    >>> win_matrix(np.array([0, 0]), np.array([1, 1]), np.array([1.0, 0.5]), np.array([1.0, 2.0]), 2).tolist()
    [[0.0, 2.0], [1.0, 0.0]]
    """
    size = n_models * n_models
    wins: FloatArray = np.bincount(a * n_models + b, weights=weight * share_a, minlength=size).astype(np.float64)
    wins += np.bincount(b * n_models + a, weights=weight * (1 - share_a), minlength=size)
    return wins.reshape(n_models, n_models)


def fit_ratings(wins: FloatArray, *, ridge: float = RIDGE, names: Sequence[str] | None = None) -> FloatArray:
    """Maximum-likelihood ratings with the first model's fixed at 0, natural-log scale, shape (…, m).

    Args:
        wins: weighted wins of row over column, shape (…, m, m), at least 0; see `win_matrix`.
        ridge: strength of the penalty ridge/2 · Σ r².
        names: the models' names, for errors.

    Raises:
        InvalidValueError: a win is negative or not a number, or the matrices are not square.
        DataError: no battle, not even by way of others, connects some of the models.

    >>> import numpy as np
    >>> fit_ratings(np.array([[0.0, 1.0], [3.0, 0.0]])).round(3).tolist()  # 3 : 1 is log 3
    [0.0, 1.099]
    """
    wins = np.asarray(wins, dtype=np.float64)
    if wins.ndim < 2 or wins.shape[-1] != wins.shape[-2] or wins.shape[-1] == 0:
        raise InvalidValueError(f"wins must have shape (…, m, m), got {wins.shape}.")
    if not (wins >= 0).all() or not np.isfinite(wins).all():
        raise InvalidValueError("wins must be finite and at least 0.")
    stack = wins.reshape(-1, *wins.shape[-2:]) * (1 - np.eye(wins.shape[-1]))
    _check_connected(stack, names)
    ratings = _newton(stack, ridge)
    return ratings.reshape(wins.shape[:-1])


def _newton(wins: FloatArray, ridge: float) -> FloatArray:
    n, m = wins.shape[:2]
    ratings = np.zeros((n, m))
    if m == 1:
        return ratings
    diagonal = np.arange(m - 1)
    # A matrix leaves once it is solved, so that its ratings do not depend on what else is in the stack.
    unsolved = np.arange(n)
    for _ in range(_MAX_STEPS):
        r, won = ratings[unsolved], wins[unsolved]
        lost = np.ascontiguousarray(won.transpose(0, 2, 1))
        # Each to full relative precision: 1 − win would have no digits left where a model wins nearly always.
        win, loss = _sigmoid(r[:, :, None] - r[:, None, :]), _sigmoid(r[:, None, :] - r[:, :, None])
        gained, given = won * loss, lost * win
        gradient = (gained - given).sum(axis=2) - ridge * r
        curvature = (won + lost) * win * loss
        hessian = -curvature[:, 1:, 1:]
        hessian[:, diagonal, diagonal] += curvature[:, 1:].sum(axis=2) + ridge
        step = np.linalg.solve(hessian, gradient[:, 1:, None])[..., 0]
        largest = np.abs(step).max(axis=1)
        ratings[unsolved, 1:] += step * np.minimum(1.0, _LARGEST_STEP / np.maximum(largest, 1e-300))[:, None]
        # Where large wins cancel, the gradient is never nearer to zero than their rounding, and steps never end.
        rounding = m * np.finfo(np.float64).eps * (gained + given).sum(axis=2).max(axis=1) * (1 + np.abs(r).max(axis=1))
        settled = (largest < _TOLERANCE) | (np.abs(gradient[:, 1:]).max(axis=1) <= rounding)
        unsolved = unsolved[~settled]
        if not len(unsolved):
            return ratings
    raise DataError(
        f"The ratings did not settle in {_MAX_STEPS} steps: the battles are too one-sided for so small a ridge "
        f"({ridge:g}). Leave out models that won or lost everything, or use a larger ridge."
    )


def _sigmoid(x: FloatArray) -> FloatArray:
    probability: FloatArray = 1 / (1 + np.exp(-x))
    return probability


def are_connected(wins: FloatArray) -> BoolArray:
    """Whether battles connect all models, directly or by way of others, for each matrix (n, m, m), shape (n,)."""
    return np.asarray(_reached(wins).all(axis=(1, 2)))


def _reached(wins: FloatArray) -> BoolArray:
    """Which models battles lead to from each model, shape (n, m, m)."""
    m = wins.shape[-1]
    reached: BoolArray = (wins + wins.transpose(0, 2, 1) > 0) | np.eye(m, dtype=bool)
    for _ in range(max(m - 1, 1).bit_length()):
        reached = reached @ reached
    return reached


def _check_connected(wins: FloatArray, names: Sequence[str] | None) -> None:
    m = wins.shape[-1]
    reached = _reached(wins)
    if reached.all():
        return
    apart = reached[int(np.flatnonzero(~reached.all(axis=(1, 2)))[0])]
    labels = [str(model) for model in range(m)] if names is None else list(names)
    groups = sorted({tuple(labels[j] for j in np.flatnonzero(row)) for row in apart}, key=len, reverse=True)
    listed = "; ".join(", ".join(group[:8]) + (", …" if len(group) > 8 else "") for group in groups[:5])
    raise DataError(
        f"No battle connects these {len(groups)} groups of models, so their ratings cannot be compared: {listed}. "
        "Add battles between them, or leave the smaller groups out."
    )


def rate(
    models: Sequence[str],
    a: npt.NDArray[np.integer],
    b: npt.NDArray[np.integer],
    share_a: FloatArray,
    weight: FloatArray,
    *,
    ridge: float = RIDGE,
) -> FloatArray:
    """Ratings of all models from their battles, natural-log scale with mean 0, shape (n_models,).

    Args:
        models: the models' names.
        a: each battle's first model, as an index into `models`, shape (n,).
        b: the second, shape (n,).
        share_a: model a's share of the win, in [0, 1], shape (n,).
        weight: how much a battle counts, shape (n,).
        ridge: see `fit_ratings`.

    Raises:
        EmptyDataError: there is no battle.
        DataError: no battle connects some of the models.
    """
    if not len(a):
        raise EmptyDataError("There is no battle to rate models by.")
    ratings = fit_ratings(win_matrix(a, b, share_a, weight, len(models)), ridge=ridge, names=models)
    ratings -= ratings.mean()
    return ratings
