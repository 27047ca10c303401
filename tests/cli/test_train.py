import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from turnout.artifacts import read_artifact
from turnout.data.battles import Battles
from turnout.data.outcomes import Outcomes
from turnout.route import Route

PAIR = ["--pair", "big,small"]
HASHING = ["--encoder", "hashing"]
needs_data = pytest.mark.skipif("TURNOUT_DATA" not in os.environ, reason="TURNOUT_DATA does not name the data")


@pytest.fixture
def outcomes(tmp_path: Path) -> Path:
    """Small fails at the hard ones."""
    hard = [row % 3 == 0 for row in range(240)]
    Outcomes.from_columns(
        [f"{'prove theorem' if is_hard else 'greet person'} number {row}" for row, is_hard in enumerate(hard)],
        {"big": [1.0] * 240, "small": [float(not is_hard) for is_hard in hard]},
        source="mine",
    ).write_jsonl(tmp_path / "outcomes.jsonl")
    return tmp_path / "outcomes.jsonl"


def test_from_outcomes_to_decisions(run, outcomes: Path, tmp_path: Path) -> None:
    folder = tmp_path / "router"
    code, out, _ = run("train", "knn", "--outcomes", outcomes, *PAIR, *HASHING, "--out", folder)
    assert code == 0
    assert "216 battles about 216 distinct queries: mine 216" in out
    assert "on 24 queries that it did not learn from" in out
    hard, easy = Route.load(folder, strong_fraction=0.4).decide(["prove theorem number 999", "greet person number 999"])
    assert (hard.side, easy.side) == ("strong", "weak")


def test_json_and_what_the_folder_records(run, outcomes: Path, tmp_path: Path) -> None:
    folder = tmp_path / "router"
    code, out, _ = run("train", "knn", "--outcomes", outcomes, *PAIR, *HASHING, "--out", folder, "--json")
    assert code == 0
    told = json.loads(out)
    assert told["held_out"]["n_queries"] == 24
    assert told["held_out"]["log_loss"] < told["held_out"]["log_loss_constant"]
    assert re.fullmatch("[0-9a-f]{64}", told["files"][str(outcomes)])
    recorded = read_artifact(folder).extra
    assert recorded["held_out"] == told["held_out"]
    assert recorded["trained_on"] == {"battles": 216, "queries": 216, "sources": {"mine": 216}}


def test_lifted_battles_need_no_pair(run, tmp_path: Path) -> None:
    queries = [f"{'prove' if row % 2 else 'greet'} {row}" for row in range(60)]
    lifted = Battles.from_columns(queries, "strong", "weak", [float(row % 2) for row in range(60)])
    lifted.write_jsonl(tmp_path / "lifted.jsonl")
    arguments = ["train", "knn", "--battles", tmp_path / "lifted.jsonl", *HASHING, "--out", tmp_path / "router"]
    assert run(*arguments)[0] == 0
    assert str(read_artifact(tmp_path / "router").learned["pair_"]["strong"]) == "strong"
    # With a pair they take its names.
    assert run(*arguments, *PAIR)[0] == 0
    assert read_artifact(tmp_path / "router").learned["pair_"] == {"strong": "big", "weak": "small"}


def test_settings_and_seed_reach_the_router(run, outcomes: Path, tmp_path: Path) -> None:
    arguments = ["--outcomes", outcomes, *PAIR, *HASHING, "--out", tmp_path / "router", "--seed", 3]
    assert run("train", "random", *arguments)[0] == 0
    assert read_artifact(tmp_path / "router").settings["seed"] == 3
    assert run("train", "knn", *arguments, "--set", "k=7")[0] == 0
    assert read_artifact(tmp_path / "router").settings["k"] == 7
    assert run("train", "knn", *arguments, "--encoder-set", "max_tokens=9")[0] == 0
    assert read_artifact(tmp_path / "router").encoder["settings"]["max_tokens"] == 9


def test_evaluation_leaves_out_what_was_learned_from(run, outcomes: Path, tmp_path: Path) -> None:
    folder = tmp_path / "router"
    run("train", "knn", "--outcomes", outcomes, *PAIR, *HASHING, "--out", folder)
    code, out, err = run("evaluate", folder, "random", "--outcomes", outcomes, *PAIR, "--replicates", 20)
    assert code == 0
    assert "216 queries of outcomes.jsonl left out: a router learned from them" in err
    assert "24 queries" in out


def test_evaluation_on_nothing_but_training_queries(run, outcomes: Path, tmp_path: Path) -> None:
    folder = tmp_path / "router"
    run("train", "knn", "--outcomes", outcomes, *PAIR, *HASHING, "--out", folder, "--holdout", 0)
    code, _, err = run("evaluate", folder, "--outcomes", outcomes, *PAIR)
    assert code == 2
    assert "no query that these routers did not learn from" in err


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["knn"], "nothing to learn from"),
        (["knnn", "--outcomes", "FILE", *PAIR], "Did you mean 'knn'?"),
        (["default", "--outcomes", "FILE", *PAIR], "turnout adapt default"),
        (["knn", "--outcomes", "FILE"], "Give --pair STRONG,WEAK"),
        (["knn", "--outcomes", "FILE", "--pair", "big,tiny"], "No model in these outcomes named 'tiny'"),
        (["knn", "--outcomes", "FILE", *PAIR, "--set", "neighbours=3"], "setting of the router 'knn'"),
        (["knn", "--outcomes", "FILE", *PAIR, "--encoder-set", "layer=3"], "setting of the encoder 'static'"),
        (["random", "--outcomes", "FILE", *PAIR, "--encoder-set", "max_tokens=9"], "'random' takes no encoder"),
        (["knn", "--outcomes", "FILE", *PAIR, "--preset", "paper"], "preset"),
        (["knn", "--outcomes", "FILE", *PAIR, "--checkpoints", "c"], "keeps no checkpoints"),
        (["knn", "--outcomes", "FILE", *PAIR, "--holdout", "10"], "For 10 % write 0.1"),
        (["knn", "--benchmark", "mmlu"], "--data DIR"),
        (["knn", "--battles", "missing.jsonl", *PAIR], "missing.jsonl"),
        (
            ["knn", "--outcomes", "FILE", *PAIR, "--set", "k=some"],
            "k of the router 'knn' must be a whole number or None",
        ),
        (["knn", "--outcomes", "FILE", *PAIR, "--set", "seed=-1"], "seed of the router 'knn' must be at least 0"),
        (["knn", "--outcomes", "FILE", *PAIR, "--encoder-set", "max_tokens=all"], "must be a whole number, got all"),
        (["knn", "--outcomes", "FILE", *PAIR, "--queries", "empty.txt"], "empty.txt: holds no query to calibrate on"),
    ],
)
def test_mistakes(
    run, outcomes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], problem: str
) -> None:
    named = [str(outcomes) if argument == "FILE" else argument for argument in arguments]
    (tmp_path / "empty.txt").touch()
    monkeypatch.chdir(tmp_path)
    code, _, err = run("train", *named, "--out", tmp_path / "router")
    assert code == 2
    assert problem in err
    assert not (tmp_path / "router").exists()


def test_empty_and_constant_data(run, tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").write_text("")
    code, _, err = run("train", "knn", "--battles", tmp_path / "empty.jsonl", *PAIR, "--out", tmp_path / "r")
    assert code == 2
    assert "turnout:" in err
    Outcomes.from_columns(["x", "y"], {"big": [1, 1], "small": [1, 1]}).write_jsonl(tmp_path / "same.jsonl")
    code, _, err = run("train", "knn", "--outcomes", tmp_path / "same.jsonl", *PAIR, "--out", tmp_path / "r")
    assert code == 2
    assert "nothing to learn" in err


def test_a_killed_run_leaves_no_half_router(outcomes: Path, tmp_path: Path) -> None:
    arguments = ["train", "knn", "--outcomes", str(outcomes), *PAIR, *HASHING, "--out", str(tmp_path / "router")]
    program = "import sys; from turnout.cli import main; print('begun', flush=True); main(sys.argv[1:])"
    process = subprocess.Popen([sys.executable, "-c", program, *arguments], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not (tmp_path / "router").exists()


@needs_data
@pytest.mark.slow
def test_golden_labels_of_a_benchmark(run, tmp_path: Path) -> None:
    data = os.environ["TURNOUT_DATA"]
    folder = tmp_path / "router"
    code, out, _ = run(
        "train", "knn", "--benchmark", "gsm8k", "--data", data, "--golden-labels", 500, "--out", folder, "--json"
    )
    assert code == 0
    assert json.loads(out)["trained_on"]["queries"] == 450
    code, out, err = run("evaluate", folder, "--benchmark", "gsm8k", "--data", data, "--replicates", 50)
    assert code == 0
    assert "450 questions of GSM8K left out" in err


def test_only_a_router_is_replaced(run, outcomes: Path, tmp_path: Path) -> None:
    mine = tmp_path / "thesis"
    mine.mkdir()
    (mine / "chapter.txt").write_text("years of work")
    for out, problem in ((mine, "holds other things than a router"), (outcomes, "it is not a folder")):
        before = outcomes.read_bytes()
        code, _, err = run("train", "knn", "--outcomes", outcomes, *PAIR, "--out", out)
        assert code == 2
        assert problem in err
        assert outcomes.read_bytes() == before
    assert (mine / "chapter.txt").read_text() == "years of work"
    (tmp_path / "empty").mkdir()
    for _ in range(2):
        assert run("train", "knn", "--outcomes", outcomes, *PAIR, "--out", tmp_path / "empty")[0] == 0


def test_battles_of_other_models_are_counted(run, tmp_path: Path) -> None:
    queries = [f"question {number}" for number in range(40)]
    ours = Battles.from_columns(queries, "big", "small", [1.0, 0.0] * 20)
    other = Battles.from_columns(["else"], "big", "other", [1.0])
    Battles.concat([ours, other]).write_jsonl(tmp_path / "b.jsonl")
    code, _, err = run("train", "knn", "--battles", tmp_path / "b.jsonl", *PAIR, "--out", tmp_path / "r")
    assert code == 0
    assert "left out: 1 battles that are not between big,small" in err
