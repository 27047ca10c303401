"""Rows of Parquet files (extra `hub`)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from turnout.errors import DataError, MissingExtraError
from turnout.types import JSON

_ROWS_AT_ONCE = 1000


def read_parquet(path: str | Path) -> Iterator[tuple[int, dict[str, JSON]]]:
    """(row number, row) of each row; numbers start at 1. A thousand rows are held in memory at a time.

    Raises:
        DataError: the file is absent or not Parquet.
        MissingExtraError: pyarrow is not installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingExtraError("pyarrow", extra="hub", purpose="Reading Parquet files") from error
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            number = 0
            for batch in file.iter_batches(batch_size=_ROWS_AT_ONCE):
                for row in batch.to_pylist():
                    number += 1
                    yield number, row
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"not a Parquet file that can be read: {str(error).splitlines()[0]}.", path=path) from error
