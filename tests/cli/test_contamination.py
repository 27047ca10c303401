import json
from pathlib import Path

import pytest

from turnout.data.battles import Battles
from turnout.data.outcomes import Outcomes


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """A test of three questions, and training data that met the first."""
    test, train = tmp_path / "test.jsonl", tmp_path / "train.jsonl"
    Outcomes.from_columns(
        ["What is 2+2?", "Name a river.", "Name a lake."], {"big": [1, 1, 1], "small": [0, 1, 1]}, slice=["a", "b", "b"]
    ).write_jsonl(test)
    Battles.from_columns(["what is 2 + 2"], "big", "small", [1.0]).write_jsonl(train)
    return test, train


def test_dropped_and_named(run, files: tuple[Path, Path], tmp_path: Path) -> None:
    test, train = files
    clean, dropped = tmp_path / "clean.jsonl", tmp_path / "dropped.jsonl"
    code, out, _ = run("data", "decontaminate", test, "--against", train, "--out", clean, "--dropped", dropped)
    assert code == 0
    assert "2 of 3 rows" in out
    assert "1 (same text)" in out
    assert list(Outcomes.read_jsonl(clean).queries) == ["Name a river.", "Name a lake."]
    assert json.loads(dropped.read_text()) == {
        "query": "What is 2+2?",
        "kind": "same text",
        "score": 1.0,
        "matches": "what is 2 + 2",
    }


def test_nothing_left_leaves_no_file(run, files: tuple[Path, Path], tmp_path: Path) -> None:
    test, _ = files
    code, _, err = run("data", "decontaminate", test, "--against", test, "--out", tmp_path / "clean.jsonl")
    assert code == 2
    assert "nothing would be left" in err
    assert not (tmp_path / "clean.jsonl").exists()


def test_similarity_by_slice(run, files: tuple[Path, Path]) -> None:
    test, train = files
    code, out, _ = run("data", "similarity", test, "--against", train, "--encoder", "hashing", "--json")
    assert code == 0
    found = json.loads(out)
    assert found["queries"] == 3
    assert found["slices"]["a"]["mean"] > found["slices"]["b"]["mean"]


def test_evaluation_without_what_training_has_met(run, files: tuple[Path, Path]) -> None:
    test, train = files
    arguments = ["evaluate", "random", "--outcomes", test, "--pair", "big,small", "--replicates", 5]
    code, _, err = run(*arguments, "--decontaminate", train)
    assert code == 2  # what is left are two ties: strong is not better there
    assert "1 queries of test.jsonl left out" in err
    assert "not better" in err
    code, _, err = run(*arguments, "--decontaminate", test)
    assert code == 2
    assert "nothing to test on" in err


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--encoder", "hashing"], "No encoder with a known threshold for duplicates named 'hashing'"),
        (["--encoder", "hashing", "--threshold", "95"], "a cosine in (0, 1]"),
        (["--encoder", "hashhing"], "Did you mean 'hashing'?"),
    ],
)
def test_mistakes(run, files: tuple[Path, Path], tmp_path: Path, options: list[str], problem: str) -> None:
    test, train = files
    code, _, err = run("data", "decontaminate", test, "--against", train, "--out", tmp_path / "clean.jsonl", *options)
    assert code == 2
    assert problem in err
