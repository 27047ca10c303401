import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnout import Battles, ModelPair
from turnout.errors import DataError, EmptyDataError, InvalidValueError, UnknownNameError

PAIR = ModelPair("big", "small")


def votes() -> Battles:
    return Battles.from_columns(
        ["one", "two", "three", "four"],
        ["big", "small", "big", "other"],
        ["small", "big", "other", "small"],
        [1.0, 0.75, 0.5, 0.0],
        weight=[1.0, 2.0, 3.0, 4.0],
        source=["x", "x", "y", "y"],
    )


def test_a_pair_has_its_battles_turned_so_that_strong_comes_first() -> None:
    pair = votes().for_pair(PAIR)
    assert list(pair.queries) == ["one", "two"]
    assert set(pair.model_a) == {"big"}
    assert pair.strong_share().tolist() == [1.0, 0.25]
    assert pair.weight.tolist() == [1.0, 2.0]
    assert pair.pair == PAIR


def test_strong_share_needs_a_settled_pair() -> None:
    with pytest.raises(InvalidValueError, match="between 3 models"):
        votes().strong_share()
    with pytest.raises(InvalidValueError, match="Row 2 is between 'big' and 'other'"):
        votes().with_pair(PAIR).strong_share()


def test_an_unknown_model_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'small'"):
        votes().for_pair(ModelPair("big", "smal"))


def test_models_that_never_met_are_no_pair() -> None:
    met = Battles.from_columns(["q", "q"], ["a", "b"], ["c", "c"], [1, 1])
    with pytest.raises(EmptyDataError, match="turnout data tiers"):
        met.for_pair(ModelPair("a", "b"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"share_a": [1.5]}, r"share_a must be in \[0, 1\], got 1.5 in row 0"),
        ({"share_a": [float("nan")]}, "share_a must be in"),
        ({"weight": [0.0]}, "weight must be a number above 0, at most .*, got 0.0"),
        ({"weight": [float("inf")]}, "weight must be"),
        ({"model_b": ["a"]}, "two different models, got 'a' and 'a'"),
        ({"model_a": ["a", "a"]}, "model_a has 2 rows, but queries has 1"),
    ],
)
def test_bad_columns_are_refused(changes: dict[str, list[object]], message: str) -> None:
    columns = {"queries": ["q"], "model_a": ["a"], "model_b": ["b"], "share_a": [1.0], **changes}
    with pytest.raises(InvalidValueError, match=message):
        Battles.from_columns(**columns)  # type: ignore[arg-type]


TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=30)


@given(st.lists(st.tuples(TEXT, st.floats(0, 1), st.floats(0.1, 9), TEXT), min_size=1, max_size=20))
def test_a_file_gives_back_what_was_written(rows: list[tuple[str, float, float, str]]) -> None:
    import tempfile

    queries, shares, weights, sources = zip(*rows, strict=True)
    written = Battles.from_columns(queries, "a", "b", shares, weight=weights, source=sources)
    with tempfile.TemporaryDirectory() as folder:
        for name in ("battles.jsonl", "battles.jsonl.gz"):
            written.write_jsonl(Path(folder) / name)
            read = Battles.read_jsonl(Path(folder) / name)
            assert (list(read.queries), list(read.source)) == (list(queries), list(sources))
            np.testing.assert_array_equal(read.share_a, written.share_a)
            np.testing.assert_array_equal(read.weight, written.weight)


GOOD = b'{"query": "q", "model_a": "a", "model_b": "b", "winner": "a"}\n'


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'{"query": "q", "model_a": "a"', "line 2: not JSON"),
        (b"[1, 2]", "line 2: expected a JSON object, got list"),
        (b'{"query": "q", "model_a": "a", "model_b": "b", "winner": "model_a"}', "line 2: winner must be 'a', 'b' or"),
        (
            b'{"query": "q", "model_a": "a", "model_b": "b", "share_a": 2}',
            r"line 2: share_a must be in \[0, 1\], got 2",
        ),
        (b'{"query": "q", "model_a": "a", "model_b": "b"}', "either 'share_a' or 'winner', got neither"),
        (b'{"query": "q", "model_a": "a", "model_b": "a", "winner": "a"}', "two different models"),
        (b'{"query": 3, "model_a": "a", "model_b": "b", "winner": "a"}', "'query' must be text, got 3"),
        (b'{"model_a": "a", "model_b": "b", "winner": "a"}', "'query' is missing"),
        (b'{"query": "q", "model_a": "", "model_b": "b", "winner": "a"}', "'model_a' is empty"),
        (b'{"query": "q", "model_a": "a", "model_b": "b", "winner": "a", "weight": -1}', "'weight' must be a number"),
        (b'{"query": "q", "model_a": "a", "model_b": "b", "winner": "a", "wieght": 1}', "unknown key 'wieght'"),
        (b'{"query": "\xff", "model_a": "a", "model_b": "b", "winner": "a"}', "line 2: not JSON"),
    ],
)
def test_a_broken_line_is_named(tmp_path: Path, line: bytes, message: str) -> None:
    path = tmp_path / "battles.jsonl"
    path.write_bytes(GOOD + line + b"\n")
    with pytest.raises(DataError, match=message):
        Battles.read_jsonl(path)


def test_blank_lines_are_no_rows_and_still_count_as_lines(tmp_path: Path) -> None:
    path = tmp_path / "battles.jsonl"
    path.write_bytes(b"\n" + GOOD + b"  \n" + b"broken\n")
    with pytest.raises(DataError, match="line 4"):
        Battles.read_jsonl(path)


def test_a_damaged_gzip_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "battles.jsonl.gz"
    path.write_bytes(gzip.compress(GOOD * 50)[:-20])
    with pytest.raises(DataError, match="cannot be read"):
        Battles.read_jsonl(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere.jsonl: cannot be read: No such file"):
        Battles.read_jsonl(tmp_path / "nowhere.jsonl")


def test_writing_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "battles.jsonl"
    path.write_bytes(GOOD)
    broken = Battles(["q", "\ud800"], ["a", "a"], ["b", "b"], np.ones(2), np.ones(2), ["", ""])
    with pytest.raises(TypeError):  # a lone surrogate is not UTF-8
        broken.write_jsonl(path)
    assert path.read_bytes() == GOOD


def test_concat_keeps_the_pair_only_if_all_have_it() -> None:
    pair = votes().for_pair(PAIR)
    assert Battles.concat([pair, pair]).pair == PAIR
    assert len(Battles.concat([pair, votes()])) == 6
    assert Battles.concat([pair, votes()]).pair is None
    assert len(Battles.concat([])) == 0


def test_model_indices_point_into_sorted_names() -> None:
    models, a, b = votes().model_indices()
    assert models == ("big", "other", "small")
    assert a.tolist() == [0, 2, 0, 1]
    assert b.tolist() == [2, 0, 1, 2]


def test_take_reads_masks_and_indices() -> None:
    assert list(votes().take(np.array([True, False, False, True])).queries) == ["one", "four"]
    assert list(votes().take([3, 0]).queries) == ["four", "one"]
    assert len(votes().take([])) == 0


def test_a_gzip_file_damaged_in_its_middle_is_named(tmp_path: Path) -> None:
    packed = bytearray(gzip.compress(b"".join(GOOD.replace(b'"q', b'"%d q' % row) for row in range(500))))
    packed[40:44] = b"\xff" * 4
    (tmp_path / "battles.jsonl.gz").write_bytes(packed)
    with pytest.raises(DataError, match=r"battles\.jsonl\.gz, line \d+"):
        Battles.read_jsonl(tmp_path / "battles.jsonl.gz")


def test_a_byte_order_mark_and_carriage_returns_are_read(tmp_path: Path) -> None:
    path = tmp_path / "battles.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + GOOD.replace(b"\n", b"\r\n"))
    (tmp_path / "plain.jsonl").write_bytes(GOOD)
    assert list(Battles.read_jsonl(path).rows()) == list(Battles.read_jsonl(tmp_path / "plain.jsonl").rows())


def test_no_battles_at_all_are_called_empty(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").touch()
    with pytest.raises(EmptyDataError, match="empty"):
        Battles.read_jsonl(tmp_path / "empty.jsonl").for_pair(ModelPair("a", "b"))


@pytest.mark.parametrize("queries", ["q", [None], [5]], ids=repr)
def test_queries_that_are_no_texts_are_refused(queries: object) -> None:
    with pytest.raises(InvalidValueError, match="one text|must be text"):
        Battles.from_columns(queries, "a", "b", [1.0])  # type: ignore[arg-type]
