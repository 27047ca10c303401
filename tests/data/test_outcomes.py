from pathlib import Path

import numpy as np
import pytest

from turnout import ModelPair, Outcomes
from turnout.errors import DataError, EmptyDataError, InvalidValueError, UnknownNameError

PAIR = ModelPair("big", "small")
NAN = float("nan")


def table() -> Outcomes:
    return Outcomes.from_columns(
        ["one", "two", "three"],
        {"small": [0.0, 1.0, NAN], "big": [1.0, 0.0, 1.0]},
        source="test",
        slice=["x", "x", "y"],
        cost_usd={"big": [0.1, 0.2, 0.3]},
    )


def test_a_pair_has_the_queries_that_both_were_asked_strong_first() -> None:
    pair = table().for_pair(PAIR)
    assert pair.models == ("big", "small")
    assert pair.scores.tolist() == [[1.0, 0.0], [0.0, 1.0]]
    assert pair.cost_usd is not None
    assert pair.cost_usd[:, 0].tolist() == [0.1, 0.2]
    assert np.isnan(pair.cost_usd[:, 1]).all()


def test_right_or_wrong_becomes_win_tie_and_loss() -> None:
    outcomes = Outcomes.from_columns(list("abcd"), {"big": [1, 1, 0, 0], "small": [0, 1, 0, 1]})
    assert outcomes.battles(PAIR).strong_share().tolist() == [1.0, 0.5, 0.5, 0.0]


def test_graded_scores_become_shares_by_the_scale() -> None:
    outcomes = Outcomes.from_columns(["a", "b"], {"big": [10, 4], "small": [1, 7]})
    assert outcomes.battles(PAIR).strong_share() == pytest.approx([1.0, 0.5 - 3 / 18])
    assert outcomes.battles(PAIR, scale=18).strong_share() == pytest.approx([0.75, 0.5 - 3 / 36])
    with pytest.raises(InvalidValueError, match="at least the largest gain 9, got 5"):
        outcomes.battles(PAIR, scale=5)


def test_scores_that_never_differ_teach_nothing() -> None:
    with pytest.raises(InvalidValueError, match="nothing to learn"):
        Outcomes.from_columns(["a"], {"big": [1], "small": [1]}).battles(PAIR)


def test_no_common_query_is_refused() -> None:
    with pytest.raises(EmptyDataError, match="both 'big' and 'small'"):
        Outcomes.from_columns(["a", "b"], {"big": [1, NAN], "small": [NAN, 1]}).for_pair(PAIR)
    with pytest.raises(UnknownNameError, match="Did you mean 'small'"):
        table().column("smal")


@pytest.mark.parametrize("name", ["outcomes.jsonl", "outcomes.jsonl.gz"])
def test_a_file_gives_back_what_was_written(tmp_path: Path, name: str) -> None:
    table().write_jsonl(tmp_path / name)
    read = Outcomes.read_jsonl(tmp_path / name)
    np.testing.assert_array_equal(read.scores, table().scores)
    np.testing.assert_array_equal(read.cost_usd, table().cost_usd)
    assert read.input_tokens is None
    assert (read.ids, read.source, read.slice) == (["0", "1", "2"], ["test"] * 3, ["x", "x", "y"])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"query": "q"}', "line 1: 'scores' is missing"),
        ('{"query": "q", "scores": {}}', "line 1: 'scores' is missing"),
        ('{"query": "q", "scores": {"a": "1"}}', "'scores' of 'a' must be a number, at most 1e"),
        ('{"query": "q", "scores": [1]}', "must be an object"),
        ('{"scores": {"a": 1}}', "'query' must be text, got None"),
        ('{"query": "q", "scores": {"a": 1}, "costs": {}}', "unknown key 'costs'"),
        ('{"query": "q", "scores": {"a": NaN}}', "not JSON"),
        ('{"query": "q", "scores": {"a": -1e300}}', r"at most 1e\+12, got -1e\+300"),
        ('{"query": "q", "scores": {"a": 1}, "cost_usd": {"a": -0.1}}', "must not be below 0, got -0.1"),
    ],
)
def test_a_broken_line_is_named(tmp_path: Path, line: str, message: str) -> None:
    (tmp_path / "o.jsonl").write_text(line)
    with pytest.raises(DataError, match=message):
        Outcomes.read_jsonl(tmp_path / "o.jsonl")


def test_true_null_and_missing_models_are_read(tmp_path: Path) -> None:
    (tmp_path / "o.jsonl").write_text(
        '{"query": "a", "scores": {"x": true, "y": null}}\n{"query": "b", "scores": {"y": 2}}'
    )
    read = Outcomes.read_jsonl(tmp_path / "o.jsonl")
    assert read.models == ("x", "y")
    np.testing.assert_array_equal(read.scores, [[1.0, NAN], [NAN, 2.0]])


def test_concat_widens_to_all_models() -> None:
    other = Outcomes.from_columns(["four"], {"tiny": [0.5]})
    both = Outcomes.concat([table(), other])
    assert both.models == ("big", "small", "tiny")
    np.testing.assert_array_equal(both.scores[-1], [NAN, NAN, 0.5])
    assert both.cost_usd is not None
    assert both.cost_usd.shape == (4, 3)


def test_columns_of_another_length_are_refused() -> None:
    with pytest.raises(InvalidValueError, match=r"scores of 'a' has shape \(1,\), but there are 2 queries"):
        Outcomes.from_columns(["x", "y"], {"a": [1.0]})
    with pytest.raises(InvalidValueError, match="beyond 1e"):
        Outcomes.from_columns(["x"], {"a": [float("inf")]})
    with pytest.raises(UnknownNameError, match=r"model with scores \(cost_usd\)"):
        Outcomes.from_columns(["x"], {"a": [1.0]}, cost_usd={"b": [1.0]})


def test_columns_out_of_range_are_refused() -> None:
    with pytest.raises(InvalidValueError, match="beyond"):
        Outcomes.from_columns(["a"], {"big": [float("inf")]})
    with pytest.raises(InvalidValueError, match="below 0"):
        Outcomes.from_columns(["a"], {"big": [1]}, cost_usd={"big": [-1.0]})


def test_no_outcomes_at_all_are_called_empty(tmp_path: Path) -> None:
    (tmp_path / "o.jsonl").touch()
    with pytest.raises(EmptyDataError, match="empty"):
        Outcomes.read_jsonl(tmp_path / "o.jsonl").for_pair(PAIR)


@pytest.mark.parametrize("scale", [0, -1, NAN, float("inf")])
def test_a_scale_must_be_a_number_above_0(scale: float) -> None:
    with pytest.raises(InvalidValueError, match="scale must be above 0"):
        table().battles(PAIR, scale=scale)


@pytest.mark.parametrize("queries", ["q", [None], [5]], ids=repr)
def test_queries_that_are_no_texts_are_refused(queries: object) -> None:
    with pytest.raises(InvalidValueError, match="one text|must be text"):
        Outcomes.from_columns(queries, {"a": [1.0]})  # type: ignore[arg-type]
