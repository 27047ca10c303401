import sys

import pytest

from turnout.data.parquet import read_parquet
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


def test_without_pyarrow_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match=r"turnout\[hub\]"):
        list(read_parquet(tmp_path / "rows.parquet"))
