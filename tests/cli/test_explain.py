from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from ledgers import ENTRY

from turnout import Battles, Calibration, ModelPair
from turnout.gateway.ledger.sqlite import SqliteDatabase
from turnout.gateway.ledger.writing import Ledger
from turnout.routers.baselines import RandomRouter

Run = Callable[..., tuple[int, str, str]]
BATTLES = Battles.from_columns(["q one", "r two"], "big", "small", [1.0, 0.0], pair=ModelPair("big", "small"))
CONFIG = """
[ledger]
path = "l.sqlite3"
[models.big]
base_url = "http://127.0.0.1:9"
usd_per_million_input_tokens = 10
usd_per_million_output_tokens = 10
[models.small]
base_url = "http://127.0.0.1:9"
usd_per_million_input_tokens = 1
usd_per_million_output_tokens = 1
[routes.auto]
router = "router"
strong = "big"
weak = "small"
threshold = 0.5
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    calibration = Calibration.from_win_rates([0.1, 0.2, 0.3, 0.4], data="four queries").to_json()
    RandomRouter(seed=1).fit(BATTLES).save(tmp_path / "router", calibration=calibration)
    BATTLES.write_jsonl(tmp_path / "battles.jsonl")
    (tmp_path / "turnout.toml").write_text(CONFIG)
    ledger = Ledger(SqliteDatabase(tmp_path / "l.sqlite3"))
    ledger.start()
    weak = replace(ENTRY, model="small", side="weak", win_rate=0.25, threshold=0.5, query="q " * 100)
    ledger.record(
        replace(weak, input_tokens=1000, output_tokens=0, cost_usd=0.001, cost_usd_if_strong=0.01, reason="below")
    )
    ledger.close()
    return tmp_path / "turnout.toml"


def test_a_decision_is_explained_to_people(run: Run, config: Path) -> None:
    battles = config.parent / "battles.jsonl"
    code, out, _ = run("explain", "dec-0", "--config", config, "--battles", battles)
    assert code == 0
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert lines[0] == "dec-0, 2023-11-14 22:13:20 UTC"
    assert "went to small (weak)" in lines
    assert "score win rate 0.2500, 0.2500 below the threshold 0.5000" in lines
    assert "50 % of the 4 queries of the calibration (four queries) had a higher one" in lines
    assert lines[lines.index("tokens 1,000 read, 0 written") + 1 :][:3] == [
        "cost $0.001000",
        "$0.010000 with big for the same tokens",
        "$0.009000 saved against strong",
    ]
    assert any(line.startswith("cosine") and line.endswith("q one") for line in lines)
    assert max(map(len, out.splitlines())) < 130, "a long query is clipped"


def test_json_holds_the_same(run: Run, config: Path) -> None:
    said = json.loads(run("explain", "dec-0", "--config", config, "--json")[1])
    assert said["entry"]["id"] == "dec-0"
    assert said["costs_usd"] == {"big": 0.01, "small": 0.001}
    assert "--battles" in said["notes"][0]


def test_the_ledger_alone_will_do(run: Run, config: Path) -> None:
    code, out, _ = run("explain", "dec-0", "--ledger", config.parent / "l.sqlite3", "--config", "absent.toml")
    assert code == 0
    assert "below the threshold" in out


@pytest.mark.parametrize(
    ("words", "problem"),
    [(["dec-9"], "holds no decision 'dec-9'"), (["dec-0", "--query", "x"], "not the query of that decision")],
)
def test_mistakes_are_one_clear_line(run: Run, config: Path, words: list[str], problem: str) -> None:
    code, _, err = run("explain", *words, "--config", config)
    assert code == 2
    assert problem in err
    assert len(err.splitlines()) == 1
