import json
from collections.abc import Callable
from pathlib import Path

import pytest

from turnout import Battles

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def votes(tmp_path: Path) -> Path:
    rows = [("big", "small", 1.0), ("small", "tiny", 0.5), ("tiny", "big", 0.0), ("small", "big", 1.0)] * 6
    queries = [f"query {number}" for number in range(len(rows))]
    Battles.from_columns(queries, *zip(*rows, strict=True)).write_jsonl(tmp_path / "votes.jsonl")
    return tmp_path / "votes.jsonl"


def test_a_table_json_and_a_plot(votes: Path, tmp_path: Path, run: Run) -> None:
    code, out, _ = run("data", "ratings", votes, "--anchor", "small=1100", "--replicates", 20)
    assert code == 0
    assert out.splitlines()[1].split()[:2] == ["0", "big"]
    assert "small held at 1100" in out
    pytest.importorskip("matplotlib")
    plot = tmp_path / "ratings.png"
    code, out, err = run("data", "ratings", votes, "--tiers", 2, "--replicates", 20, "--json", "--plot", plot)
    described = json.loads(out)
    assert code == 0
    assert {model["tier"] for model in described["models"]} == {0, 1}
    assert described["bootstrap"]["replicates"] == 20
    assert plot.read_bytes().startswith(b"\x89PNG")
    assert str(plot) in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--anchor", "big"), "An anchor is written MODEL=RATING"),
        (("--anchor", "bigg=1000"), "Did you mean 'big'?"),
        (("--plot", "ratings.gif"), "must end in png, pdf, svg"),
        (("--tiers", "0"), "n_tiers must be from 1"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(votes: Path, arguments: tuple[str, ...], message: str, run: Run) -> None:
    code, out, err = run("data", "ratings", votes, *arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1
