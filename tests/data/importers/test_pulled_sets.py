"""Files as the hub has them, as battles and questions."""

import json

import pytest

from turnout import registry
from turnout.data.battles import Battles
from turnout.data.grading import load_grader
from turnout.data.importers.source import Reading
from turnout.data.questions import read_questions
from turnout.errors import DataError, InvalidValueError

pyarrow = pytest.importorskip("pyarrow")
pytest.importorskip("pyarrow.parquet")


def parquet(path, rows):
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    return path


def judged(prompt, a=0, tie=0, b=0):
    votes = {"winner_model_a": a, "winner_tie": tie, "winner_model_b": b}
    models = {"model_a": "gpt-4-1106-preview", "model_b": "mixtral-8x7b-instruct-v0.1"}
    return {"id": "1", **models, "prompt": prompt, "response_a": "x", "response_b": "y", **votes}


@pytest.mark.parametrize(
    ("name", "source"), [("gpt4-judge-battles", "gpt4-judge"), ("mmlu-battles", "mmlu-validation")]
)
def test_judged_battles_read_texts_and_lists_of_turns(tmp_path, name, source):
    rows = [judged('["Name a river.", "Another?"]', a=1), judged("[x] is what?", tie=1), judged("Why?", b=1)]
    path = parquet(tmp_path / "train.parquet", rows)
    battles = Reading(registry.load("importer", name)(), path).to_memory().data
    assert isinstance(battles, Battles)
    assert list(battles.queries) == ["Name a river.\n\nAnother?", "[x] is what?", "Why?"]
    assert battles.share_a.tolist() == [1.0, 0.5, 0.0]
    assert set(battles.source) == {source}


def test_a_battle_without_a_winner_is_named_with_its_row(tmp_path):
    path = parquet(tmp_path / "train.parquet", [judged("Why?", a=1), judged("Why not?")])
    with pytest.raises(DataError, match=r"train\.parquet, line 2: exactly one of"):
        Reading(registry.load("importer", "gpt4-judge-battles")(), path).to_memory()


def questions(tmp_path, name, path):
    out = tmp_path / "questions.jsonl"
    Reading(registry.load("importer", name)(), path).to_file(out)
    return list(read_questions(out))


def test_mmlu_becomes_multiple_choice_questions_that_can_be_graded(tmp_path):
    row = {"question": "2 + 2?", "subject": "algebra", "choices": ["3", "4", "5", "6"], "answer": 1}
    (question,) = questions(tmp_path, "mmlu-questions", parquet(tmp_path / "test.parquet", [row]))
    assert question.text == "2 + 2?\nA. 3\nB. 4\nC. 5\nD. 6"
    assert (question.key, question.slice) == ("B", "algebra")
    assert load_grader("multiple-choice").grade(question, "Answer: B") == 1.0


def test_gsm8k_becomes_questions_with_a_number(tmp_path):
    row = {"question": "How many eggs?", "answer": "3 and <<3+4=7>>4 are 7.\n#### 1,007"}
    (question,) = questions(tmp_path, "gsm8k-questions", parquet(tmp_path / "test.parquet", [row]))
    assert question.key == "1,007"
    assert load_grader("number").grade(question, "Answer: 1007") == 1.0


def test_mt_bench_becomes_its_first_turns(tmp_path):
    path = tmp_path / "question.jsonl"
    path.write_text(json.dumps({"question_id": 81, "category": "writing", "turns": ["Write.", "Rewrite."]}) + "\n")
    (question,) = questions(tmp_path, "mt-bench-questions", path)
    assert (question.id, question.text, question.slice) == ("mt-bench/81", "Write.", "writing")


@pytest.mark.parametrize(
    ("name", "row", "problem"),
    [
        ("mmlu-questions", {"question": "?", "subject": "a", "choices": ["x"], "answer": 4}, "'answer' must be from 0"),
        ("mmlu-questions", {"question": "?", "subject": "a", "choices": "x", "answer": 0}, "'choices' must be a list"),
        ("gsm8k-questions", {"question": "?", "answer": "seven"}, "must end in ####"),
    ],
)
def test_questions_that_cannot_be_used_say_why(tmp_path, name, row, problem):
    with pytest.raises(DataError, match=problem):
        questions(tmp_path, name, parquet(tmp_path / "test.parquet", [row]))


def test_questions_go_to_a_file_only(tmp_path):
    reading = Reading(registry.load("importer", "gsm8k-questions")(), tmp_path / "x.parquet")
    with pytest.raises(InvalidValueError, match="write them to a file"):
        reading.to_memory()
