"""L-BFGS: the least value of a smooth function of many parameters, from its gradient alone."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from turnout.types import FloatArray

_MEMORY = 10
_SUFFICIENT = 1e-4  # of the decrease that the slope promises (Armijo)


def minimise(
    value_and_gradient: Callable[[FloatArray], tuple[float, FloatArray]],
    start: FloatArray,
    *,
    n_steps: int = 200,
    tolerance: float = 1e-7,
) -> FloatArray:
    """Parameters at a local minimum near `start`, shape (p,).

    It ends after `n_steps`, or when a step no longer lowers the value by `tolerance` of it. No randomness.

    >>> minimise(lambda x: (float((x - 3) @ (x - 3)), 2 * (x - 3)), np.zeros(2)).round(4).tolist()
    [3.0, 3.0]
    """
    here, (value, gradient) = start, value_and_gradient(start)
    moves: list[tuple[FloatArray, FloatArray]] = []
    for _ in range(n_steps):
        direction = -_times_inverse_curvature(gradient, moves)
        slope = float(direction @ gradient)
        if slope >= 0:  # the remembered curvature misleads: begin anew, downhill
            moves, direction, slope = [], -gradient, -float(gradient @ gradient)
        length = 1.0 if moves else min(1.0, 1.0 / max(float(np.abs(gradient).sum()), 1e-12))
        while True:
            there = here + length * direction
            new_value, new_gradient = value_and_gradient(there)
            if new_value <= value + _SUFFICIENT * length * slope:
                break
            length /= 2
            if length < 1e-10:
                return here
        moved, turned = there - here, new_gradient - gradient
        if moved @ turned > 1e-12:
            moves = [*moves[-_MEMORY + 1 :], (moved, turned)]
        settled = value - new_value <= tolerance * max(1.0, abs(new_value))
        here, value, gradient = there, new_value, new_gradient
        if settled:
            break
    return here


def _times_inverse_curvature(gradient: FloatArray, moves: list[tuple[FloatArray, FloatArray]]) -> FloatArray:
    """The two-loop recursion."""
    result = gradient.copy()
    shares = []
    for moved, turned in reversed(moves):
        share = (moved @ result) / (moved @ turned)
        shares.append(share)
        result -= share * turned
    if moves:
        moved, turned = moves[-1]
        result *= (moved @ turned) / (turned @ turned)
    for (moved, turned), share in zip(moves, reversed(shares), strict=True):
        result += (share - (turned @ result) / (moved @ turned)) * moved
    return result
