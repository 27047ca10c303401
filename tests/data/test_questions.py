import json
from pathlib import Path

import pytest

from turnout.data.questions import Answer, models_of, read_questions
from turnout.errors import DataError, EmptyDataError


def written(path: Path, *rows: dict[str, object]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_question_with_everything_and_one_with_nothing(tmp_path: Path) -> None:
    full = {
        "id": 7, "query": "Which?", "prompt": "Which of these?", "key": "A", "choices": ["x", "y"], "source": "s",
        "slice": "t", "answers": {"m": "A", "n": "B"}, "cost_usd": {"m": 0.5}, "output_tokens": {"m": 3},
    }  # fmt: skip
    first, second = read_questions(written(tmp_path / "q.jsonl", full, {"query": "Why?"}))
    assert (first.id, first.text, first.key, first.prompt) == ("7", "Which?\nA. x\nB. y", "A", "Which of these?")
    assert first.answers == {"m": Answer("A", cost_usd=0.5, output_tokens=3), "n": Answer("B")}
    assert (second.id, second.text, second.answers) == ("2", "Why?", {})
    assert models_of([first, second]) == ("m", "n")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({}, "'query' is missing"),
        ({"query": " "}, "'query' is missing or empty"),
        ({"query": "q", "answer": "A"}, "unknown key 'answer'; expected answers"),
        ({"query": "q", "choices": ["one"]}, "from 2 to 26, got 1"),
        ({"query": "q", "choices": ["x"] * 27}, "from 2 to 26, got 27"),
        ({"query": "q", "choices": "xy"}, "a list of texts"),
        ({"query": "q", "id": None}, "'id' must be text"),
        ({"query": "q", "id": True}, "'id' must be text"),
        ({"query": "q", "id": "one"}, "the id 'one' is that of line 1 too"),
        ({"query": "q", "answers": {"m": 3}}, "'answers' of 'm' must be text"),
        ({"query": "q", "answers": ["x"]}, "must be an object"),
        ({"query": "q", "answers": {"m": "x"}, "cost_usd": {"n": 1}}, "names 'n', but 'answers' does not"),
        ({"query": "q", "answers": {"m": "x"}, "cost_usd": {"m": -1}}, "at least 0"),
        ({"query": "q", "answers": {"m": "x"}, "cost_usd": {"m": True}}, "must be a number"),
    ],
)
def test_a_line_that_cannot_be_used_is_named(row: dict[str, object], message: str, tmp_path: Path) -> None:
    path = written(tmp_path / "q.jsonl", {"query": "fine", "id": "one"}, row)
    with pytest.raises(DataError, match=r"q\.jsonl, line 2: .*" + message):
        list(read_questions(path))


def test_no_question_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(EmptyDataError, match="no question"):
        list(read_questions(written(tmp_path / "q.jsonl")))
