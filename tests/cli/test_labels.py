import json
from collections.abc import Callable
from pathlib import Path

import pytest

from turnout import Battles, Outcomes

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def answered(tmp_path: Path) -> Path:
    rows = [
        {"query": "1 + 1?", "key": 2, "answers": {"big": "2", "small": "3"}},
        {"query": "2 + 2?", "key": 4, "answers": {"big": "4", "small": "4"}},
        {"query": "3 + 3?", "key": 6, "answers": {"big": "six", "small": "Answer: 6"}},
    ]
    path = tmp_path / "answers.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_golden_writes_battles_and_outcomes(answered: Path, tmp_path: Path, run: Run) -> None:
    out, outcomes = tmp_path / "battles.jsonl", tmp_path / "outcomes.jsonl"
    arguments = ("data", "golden", answered, "--grader", "number", "--pair", "big,small", "--out", out)
    code, text, _ = run(*arguments, "--outcomes", outcomes)
    assert code == 0
    assert "big: mean score 0.667 on 3 questions, 1 unreadable" in text
    assert f"3 battles written to {out}: 1 for big, 1 ties, 1 for small" in text
    assert Battles.read_jsonl(out).share_a.tolist() == [1.0, 0.5, 0.0]
    assert Outcomes.read_jsonl(outcomes).scores.tolist() == [[1, 0], [1, 1], [0, 1]]
    code, text, _ = run(*arguments, "--json")
    assert json.loads(text)["battles"] == {"strong": 1, "tie": 1, "weak": 1}


def test_golden_takes_a_benchmarks_outcomes(tmp_path: Path, run: Run) -> None:
    folder = tmp_path / "mmlu"
    folder.mkdir()
    (folder / "contaminated_prompts.jsonl").write_text("")
    header = "prompt,gpt-4-1106-preview,mistralai/Mixtral-8x7B-Instruct-v0.1\n"
    (folder / "mmlu_law.csv").write_text(header + "one,True,False\ntwo,True,True\n")
    out = tmp_path / "battles.jsonl"
    code, *_ = run("data", "golden", "--benchmark", "mmlu", "--data", tmp_path, "--out", out)
    assert (code, Battles.read_jsonl(out).share_a.tolist()) == (0, [1.0, 0.5])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("FILE", "--grader", "number"), "Name what to write"),
        (("FILE", "--out", "b.jsonl", "--pair", "big,small"), "Give QUESTIONS and --grader"),
        (("FILE", "--grader", "number", "--out", "b.jsonl"), "--out needs --pair STRONG,WEAK: two of big, small"),
        (("FILE", "--grader", "nummer", "--out", "b.jsonl"), "Did you mean 'number'?"),
        (("FILE", "--grader", "multiple-choice", "--out", "b.jsonl"), "question '1': multiple choice needs 'choices'"),
        (("FILE", "--benchmark", "mmlu", "--out", "b.jsonl"), "A benchmark is graded already"),
        (("--benchmark", "mmlu", "--out", "b.jsonl"), "needs --data DIR"),
    ],
)
def test_golden_mistakes(arguments: tuple[str, ...], message: str, answered: Path, run: Run) -> None:
    code, out, err = run("data", "golden", *(answered if part == "FILE" else part for part in arguments))
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1
