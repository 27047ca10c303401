import json
from pathlib import Path

import pytest

from turnout.data.outcomes import Outcomes
from turnout.route import Route


@pytest.fixture
def outcomes(tmp_path: Path) -> Path:
    """Small fails at sums."""
    sums = [row % 3 == 0 for row in range(120)]
    Outcomes.from_columns(
        [f"{'What is 17 times' if is_sum else 'Write a poem on the number'} {row}?" for row, is_sum in enumerate(sums)],
        {"big": [1.0] * 120, "small": [float(not is_sum) for is_sum in sums]},
        source="mine",
    ).write_jsonl(tmp_path / "outcomes.jsonl")
    return tmp_path / "outcomes.jsonl"


def test_from_the_shipped_router_to_ones_own(run, outcomes: Path, tmp_path: Path) -> None:
    folder = tmp_path / "router"
    code, out, _ = run("adapt", "default", "--outcomes", outcomes, "--pair", "big,small", "--out", folder)
    assert code == 0
    assert "108 battles about 108 distinct queries" in out
    assert "kept" in out
    hard, easy = Route.load(folder, strong_fraction=0.4).decide(
        ["What is 17 times 999?", "Write a poem on the number 999?"]
    )
    assert hard.win_rate > easy.win_rate + 0.1
    assert {hard.model, easy.model} <= {"big", "small"}


def test_json_says_how_much_was_kept(run, outcomes: Path, tmp_path: Path) -> None:
    command = [
        "adapt",
        "default",
        "--outcomes",
        outcomes,
        "--pair",
        "big,small",
        "--out",
        tmp_path / "router",
        "--json",
    ]
    code, out, _ = run(*command)
    assert code == 0
    told = json.loads(out)
    assert told["adapted_from"] == "default"
    assert 0 <= told["kept_of_start"] <= 2


def test_a_router_of_another_kind_is_refused_before_anything_is_written(run, outcomes: Path, tmp_path: Path) -> None:
    knn = ["train", "knn", "--outcomes", outcomes, "--pair", "big,small", "--out", tmp_path / "knn"]
    assert run(*knn, "--encoder", "hashing")[0] == 0
    code, _, err = run(
        "adapt", tmp_path / "knn", "--outcomes", outcomes, "--pair", "big,small", "--out", tmp_path / "new"
    )
    assert code == 2
    assert "cannot be adapted" in err
    assert not (tmp_path / "new").exists()


def test_a_seed_below_0_is_a_mistake(run, outcomes: Path, tmp_path: Path) -> None:
    words = ["adapt", "default", "--outcomes", outcomes, "--pair", "big,small", "--out", tmp_path / "new"]
    code, _, err = run(*words, "--seed", "-1")
    assert code == 2
    assert "Invalid value for '--seed'" in err


def test_nothing_to_learn_from_is_a_mistake(run, tmp_path: Path) -> None:
    code, _, err = run("adapt", "default", "--out", tmp_path / "new")
    assert code == 2
    assert "--outcomes or --battles" in err
