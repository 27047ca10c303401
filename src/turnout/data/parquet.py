"""Rows and vectors of Parquet files (extra `hub`)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from turnout.errors import DataError, MissingExtraError
from turnout.types import JSON, VectorArray

_ROWS_AT_ONCE = 1000


def read_parquet(path: str | Path) -> Iterator[tuple[int, dict[str, JSON]]]:
    """(row number, row) of each row; numbers start at 1. A thousand rows are held in memory at a time.

    Raises:
        DataError: the file is absent or not Parquet.
        MissingExtraError: pyarrow is not installed.
    """
    with _opened(path) as file:
        number = 0
        for batch in file.iter_batches(batch_size=_ROWS_AT_ONCE):
            for row in batch.to_pylist():
                number += 1
                yield number, row


def read_vectors(path: str | Path, column: str) -> VectorArray:
    """A column of lists of numbers, all of one length, as a matrix, shape (n_rows, length), float32.

    Raises:
        DataError: the file is absent or not Parquet, or the column is not that.
        MissingExtraError: pyarrow is not installed.
    """
    with _opened(path) as file:
        if column not in (names := file.schema_arrow.names):
            raise DataError(f"has no column '{column}'; there are: {', '.join(names)}.", path=path)
        n_rows, n_read = file.metadata.num_rows, 0
        matrix: VectorArray = np.empty((n_rows, 0), dtype=np.float32)
        for batch in file.iter_batches(batch_size=_ROWS_AT_ONCE, columns=[column]):
            lists = batch.column(0)
            values = _numbers(lists)
            lengths = set() if values is None else {len(item) for item in lists}
            if not n_read and len(lengths) == 1:
                matrix = np.empty((n_rows, *lengths), dtype=np.float32)
            if values is None or not matrix.shape[1] or lengths != {matrix.shape[1]}:
                raise DataError(f"'{column}' must hold lists of numbers, all of one length.", path=path)
            if not np.isfinite(values).all():
                raise DataError(f"'{column}' holds NaN, infinity or nothing in place of a number.", path=path)
            matrix[n_read : n_read + len(lists)] = values.reshape(len(lists), -1)
            n_read += len(lists)
    if not n_read:
        raise DataError("holds no row.", path=path)
    return matrix


def _numbers(lists: Any) -> VectorArray | None:
    """All numbers of a column of lists, one after another; None if it is another column, or lacks a list."""
    kind = lists.type
    if lists.null_count or str(getattr(kind, "value_type", None)) not in ("float", "double", "halffloat"):
        return None
    return np.asarray(lists.flatten().to_numpy(zero_copy_only=False), dtype=np.float32)


@contextmanager
def _opened(path: str | Path) -> Iterator[Any]:
    """The open file; what goes wrong with it names it."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingExtraError("pyarrow", extra="hub", purpose="Reading Parquet files") from error
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            yield file
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"not a Parquet file that can be read: {str(error).splitlines()[0]}.", path=path) from error
