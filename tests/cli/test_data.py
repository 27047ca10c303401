import json
from collections.abc import Callable
from pathlib import Path

import pytest

from turnout import Battles, Outcomes

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def votes(tmp_path: Path) -> Path:
    rows = [("a", "c", 1.0), ("b", "d", 1.0), ("c", "d", 0.5), ("a", "b", 0.5), ("c", "a", 0.5), ("b", "c", 1.0)] * 5
    Battles.from_columns(
        [f"query {n}" for n in range(30)], [r[0] for r in rows], [r[1] for r in rows], [r[2] for r in rows], source="s"
    ).write_jsonl(tmp_path / "votes.jsonl")
    return tmp_path / "votes.jsonl"


def test_import_inspect_split_tiers(votes: Path, tmp_path: Path, run: Run) -> None:
    raw = tmp_path / "raw.jsonl"
    raw.write_text(json.dumps({"model_a": "x", "model_b": "y", "winner": "tie", "prompt": "A long enough prompt"}))
    assert run("data", "import", "arena", raw, "--out", tmp_path / "b.jsonl")[:2] == (
        0,
        f"1 battles written to {tmp_path / 'b.jsonl'}\n",
    )
    code, out, _ = run("data", "inspect", votes, "--json")
    assert (code, json.loads(out)["models"]["a"]) == (0, {"rows": 15, "mean": pytest.approx(2 / 3)})
    assert "30 battles, 30 distinct queries" in run("data", "inspect", votes)[1]
    assert run("data", "split", votes, "--fractions", "train=0.8,test=0.2", "--out", tmp_path / "s")[0] == 0
    assert len(Battles.read_jsonl(tmp_path / "s" / "train.jsonl")) == 24
    code, out, _ = run(
        "data", "tiers", votes, "--tiers", 2, "--strong", 0, "--weak", 1, "--lift", tmp_path / "l.jsonl",
        "--out", tmp_path / "t.json", "--pair", "big,small", "--json",
    )  # fmt: skip
    assert (code, json.loads(out)["lifted"]["battles"]) == (0, 20)
    assert Battles.read_jsonl(tmp_path / "l.jsonl").models == ("big", "small")


def test_outcomes_become_battles(tmp_path: Path, run: Run) -> None:
    Outcomes.from_columns(["x", "y"], {"big": [1, 0], "small": [0, 0]}).write_jsonl(tmp_path / "o.jsonl")
    out = tmp_path / "b.jsonl"
    assert run("data", "battles", tmp_path / "o.jsonl", "--pair", "big,small", "--out", out)[0] == 0
    assert Battles.read_jsonl(out).share_a.tolist() == [1.0, 0.5]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("data", "import", "arenna", "x", "--out", "y"), "No importer named 'arenna'. Did you mean 'arena'?"),
        (("data", "import", "arena", "x", "--out", "y", "--set", "turn=all"), "Did you mean 'turns'?"),
        (("data", "inspect", "nowhere.jsonl"), "nowhere.jsonl: cannot be read"),
        (("data", "split", "v.jsonl", "--out", "s", "--fractions", "0.5,0.5"), "Fractions are written"),
        (("data", "tiers", "nowhere.jsonl"), "cannot be read"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(arguments: tuple[str, ...], message: str, run: Run) -> None:
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1


def test_json_says_what_was_written(votes: Path, tmp_path: Path, run: Run) -> None:
    raw = tmp_path / "raw.jsonl"
    good = json.dumps({"model_a": "x", "model_b": "y", "winner": "tie", "prompt": "A long enough prompt"})
    raw.write_text(good + '\n{"model_a": "x"}\n')
    code, out, _ = run("data", "import", "arena", raw, "--out", tmp_path / "b.jsonl", "--skip-bad", "--json")
    assert code == 0
    assert json.loads(out) == {
        "written": 1,
        "kind": "battles",
        "out": str(tmp_path / "b.jsonl"),
        "left_out": {"that cannot be used": 1},
        "rejected": f"{tmp_path / 'b.jsonl'}.rejected.jsonl",
    }
    code, out, _ = run("data", "split", votes, "--out", tmp_path / "parts", "--json")
    assert code == 0
    parts = json.loads(out)
    assert sum(parts.values()) == 30
    assert {Path(part).name for part in parts} == {"train.jsonl", "validation.jsonl", "test.jsonl"}
    assert "arena" in json.loads(run("data", "import", "--list", "--json")[1])


def test_a_split_never_replaces_a_file_by_its_folder(tmp_path: Path, run: Run) -> None:
    Outcomes.from_columns(["x", "y"], {"big": [1, 0], "small": [0, 0]}).write_jsonl(tmp_path / "o.jsonl")
    (tmp_path / "mine").write_text("mine")
    code, _, err = run("data", "split", tmp_path / "o.jsonl", "--fractions", "a=0.5,b=0.5", "--out", tmp_path / "mine")
    assert code == 2
    assert "cannot be written" in err
    assert (tmp_path / "mine").read_text() == "mine"
