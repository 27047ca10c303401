"""Rows by indices or by a mask."""

from __future__ import annotations

import numpy as np
import pytest

from turnout.data.rows import Rows, row_indices


@pytest.mark.parametrize(
    ("rows", "indices"),
    [
        ([2, 0, 2], [2, 0, 2]),
        (np.array([1, 0], dtype=np.int32), [1, 0]),
        (np.array([False, True, True]), [1, 2]),
        (np.array([False, False]), []),
        ([], []),
    ],
)
def test_a_mask_and_indices_name_the_same_rows(rows: Rows, indices: list[int]) -> None:
    found = row_indices(rows)
    assert found.dtype == np.int64
    assert found.tolist() == indices
