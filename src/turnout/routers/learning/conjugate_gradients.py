"""Conjugate gradients: linear equations solved without their matrix, from its products with vectors alone."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from turnout.types import FloatArray

_STEPS = 200
_SOLVED = 1e-12  # the squared residual, relative to the start


def solve(times: Callable[[FloatArray], FloatArray], wanted: FloatArray) -> FloatArray:
    """v with times(v) = wanted, shape (n,), for a symmetric positive definite map.

    >>> solve(lambda v: np.array([2.0, 4.0]) * v, np.array([2.0, 8.0])).round(6).tolist()
    [1.0, 2.0]
    """
    solution = np.zeros_like(wanted)
    residual, direction = wanted.copy(), wanted.copy()
    size = float(residual @ residual)
    enough = _SOLVED * size
    for _ in range(_STEPS):
        if size <= enough:
            break
        image = times(direction)
        along = size / float(direction @ image)
        solution += along * direction
        residual -= along * image
        before, size = size, float(residual @ residual)
        direction = residual + size / before * direction
    return solution
