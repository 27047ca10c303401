import sys

import numpy as np
import pytest

from turnout.data.parquet import read_parquet, read_vectors
from turnout.errors import DataError, MissingExtraError

pyarrow = pytest.importorskip("pyarrow")
pytest.importorskip("pyarrow.parquet")


def test_rows_come_with_their_numbers(tmp_path):
    table = pyarrow.table({"query": [f"q{n}" for n in range(2500)], "choices": [["a", "b"]] * 2500})
    pyarrow.parquet.write_table(table, tmp_path / "rows.parquet")
    rows = list(read_parquet(tmp_path / "rows.parquet"))
    assert rows[0] == (1, {"query": "q0", "choices": ["a", "b"]})
    assert [number for number, _ in rows] == list(range(1, 2501))


@pytest.mark.parametrize("content", [b"", b"PAR1 but no more", None])
def test_what_is_no_parquet_file_is_named(tmp_path, content):
    path = tmp_path / "rows.parquet"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=r"rows\.parquet: not a Parquet file"):
        list(read_parquet(path))


@pytest.mark.parametrize("kind", [pyarrow.list_(pyarrow.float32()), pyarrow.list_(pyarrow.float64(), 3)])
def test_lists_of_numbers_become_a_matrix(tmp_path, kind):
    numbers = np.random.default_rng(0).normal(size=(2500, 3)).astype(np.float32)
    column = pyarrow.array(numbers.tolist(), type=kind)
    pyarrow.parquet.write_table(pyarrow.table({"id": ["x"] * 2500, "v": column}), tmp_path / "vectors.parquet")
    matrix = read_vectors(tmp_path / "vectors.parquet", "v")
    assert matrix.dtype == np.float32
    np.testing.assert_array_equal(matrix, numbers)


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ([[1.0, 2.0], [3.0]], "'v' must hold lists of numbers, all of one length"),
        ([[1.0, 2.0]] * 1000 + [[3.0]], "'v' must hold lists of numbers, all of one length"),
        ([[1.0], None], "'v' must hold lists of numbers"),
        (pyarrow.array([[], []], pyarrow.list_(pyarrow.float32())), "'v' must hold lists of numbers"),
        ([["a"]], "'v' must hold lists of numbers"),
        ([1.0], "'v' must hold lists of numbers"),
        ([[1.0, None]], "'v' holds NaN, infinity or nothing"),
        ([[1.0, float("inf")]], "'v' holds NaN, infinity or nothing"),
    ],
)
def test_a_column_of_something_else_says_so(tmp_path, column, message):
    pyarrow.parquet.write_table(pyarrow.table({"v": column}), tmp_path / "vectors.parquet")
    with pytest.raises(DataError, match=rf"vectors\.parquet: {message}"):
        read_vectors(tmp_path / "vectors.parquet", "v")


def test_vectors_that_are_not_there_are_named(tmp_path):
    pyarrow.parquet.write_table(
        pyarrow.table({"v": pyarrow.array([], pyarrow.list_(pyarrow.float32()))}), tmp_path / "v"
    )
    with pytest.raises(DataError, match="has no column 'embeddings'; there are: v"):
        read_vectors(tmp_path / "v", "embeddings")
    with pytest.raises(DataError, match="holds no row"):
        read_vectors(tmp_path / "v", "v")


def test_without_pyarrow_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match=r"turnout\[hub\]"):
        list(read_parquet(tmp_path / "rows.parquet"))
