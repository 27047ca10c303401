"""Which rows of a table are meant, by indices or by a mask."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from turnout.types import IntArray

Rows = npt.NDArray[np.integer] | npt.NDArray[np.bool_] | Sequence[int]
"""Indices, in the order that is wanted, or a mask over all rows."""


def row_indices(rows: Rows) -> IntArray:
    """The rows as indices, shape (n_rows,).

    >>> row_indices(np.array([True, False, True])), row_indices([2, 0])
    (array([0, 2]), array([2, 0]))
    """
    index = np.asarray(rows)
    return np.flatnonzero(index) if index.dtype == np.bool_ else index.astype(np.int64)
