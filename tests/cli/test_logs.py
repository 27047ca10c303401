from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from ledgers import ENTRY
from processes import TURNOUT

from turnout import Battles
from turnout.gateway.ledger.feedback import Feedback, keep
from turnout.gateway.ledger.schema import open_ledger
from turnout.gateway.ledger.sqlite import SqliteDatabase
from turnout.gateway.ledger.writing import Entry, Ledger

Run = Callable[..., tuple[int, str, str]]
PRICED = {"cost_usd": 0.25, "cost_usd_if_strong": 1.0, "model": "small", "side": "weak", "win_rate": 0.1}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    write(
        tmp_path / "l.sqlite3",
        [
            replace(ENTRY, id="dec-1", query="q"),
            replace(ENTRY, id="dec-2", query="r", **PRICED),  # type: ignore[arg-type]
            replace(ENTRY, id="dec-3", query="s", time=time.time(), status=502, error="upstream_unreachable"),
        ],
    )
    return tmp_path / "l.sqlite3"


def write(path: Path, entries: list[Entry]) -> None:
    ledger = Ledger(SqliteDatabase(path))
    ledger.start()
    for entry in entries:
        ledger.record(entry)
    ledger.close()


def test_tail_shows_the_latest_for_people(run: Run, place: Path) -> None:
    code, out, _ = run("logs", "tail", "-n", 2, "--ledger", place)
    assert code == 0
    first, second = out.splitlines()
    assert first.startswith("2023-11-14 22:13:20  dec-2  200  auto → small: at or above the threshold (win rate 0.100")
    assert first.endswith("1099511627776+0 tokens  $0.250000  500 ms")
    assert second.endswith("upstream_unreachable")


def test_query_selects_and_prints_json(run: Run, place: Path) -> None:
    _, out, _ = run("logs", "query", "--ledger", place, "--model", "small", "--json")
    (line,) = out.splitlines()
    assert Entry(**json.loads(line)) == replace(ENTRY, id="dec-2", query="r", **PRICED)  # type: ignore[arg-type]
    assert "dec-3" in run("logs", "query", "--ledger", place, "--failed", "--since", "1h")[1]
    assert run("logs", "query", "--ledger", place, "--until", "2023-11-14")[1] == ""
    assert len(run("logs", "query", "--ledger", place, "--since", "2023-11-14T22:00")[1].splitlines()) == 3


def test_savings_as_a_table_and_as_json(run: Run, place: Path) -> None:
    _, out, err = run("logs", "savings", "--ledger", place, "--by", "model")
    rows = [line.split() for line in out.splitlines()]
    assert rows[0][:3] == ["model", "requests", "strong"]
    assert rows[1] == ["small", "1", "0.0", "%", "$0.2500", "$1.0000", "$0.7500", "(75", "%)"]
    assert rows[-1][:2] == ["all", "3"]
    assert "1 answers are in no sum" in err
    (_, line) = run("logs", "savings", "--ledger", place, "--by", "day", "--json")[1].splitlines()
    assert json.loads(line)["requests"] == 1
    assert "no such entry" in run("logs", "savings", "--ledger", place, "--route", "none")[2]


def test_export_writes_battles_that_can_be_read_back(run: Run, place: Path, tmp_path: Path) -> None:
    with closing(open_ledger(SqliteDatabase(place))) as connection:
        keep(connection, Feedback("dec-1", "score", 1.0))
        keep(connection, Feedback("dec-2", "preferred", preferred="big"))
    file = tmp_path / "battles.jsonl"
    code, _, err = run("logs", "export", file, "--as", "battles", "--ledger", place)
    assert code == 0
    assert "1 battles" in err
    assert "1 single scores were left out" in err
    battles = Battles.read_jsonl(file)
    assert (battles.queries, battles.model_a, battles.share_a.tolist()) == (["r"], ["big"], [1.0])
    said = json.loads(run("logs", "export", file, "--as", "battles", "--ledger", place, "--json")[1])
    assert (said["battles"], said["left_out"], said["out"]) == (1, 1, str(file))
    assert run("logs", "export", file, "--as", "battles", "--ledger", place, "--single-weight", "2")[0] == 2


def test_export_writes_queries(run: Run, place: Path, tmp_path: Path) -> None:
    file = tmp_path / "queries.jsonl"
    assert run("logs", "export", file, "--as", "queries", "--ledger", place, "--model", "big")[0] == 0
    assert [json.loads(line) for line in file.read_text().splitlines()] == [{"query": "q"}, {"query": "s"}]
    said = run("logs", "export", file, "--as", "queries", "--ledger", place, "--model", "big", "--json")[1]
    assert json.loads(said) == {"queries": 2, "out": str(file)}


def test_tail_follows(place: Path) -> None:
    command = [*TURNOUT, "logs", "tail", "-n", "1", "--follow"]
    with subprocess.Popen([*command, "--ledger", str(place)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert "dec-3" in process.stdout.readline()
        write(place, [replace(ENTRY, id="dec-4")])
        assert "dec-4" in process.stdout.readline()
        process.terminate()


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["query", "--since", "yesterday"], "A time is written 2026-11-25"),
        (["query", "--ledger", "absent"], "There is no ledger at absent"),
        (["tail", "--config", "absent.toml"], "absent.toml cannot be read"),
    ],
)
def test_mistakes_are_one_clear_line(run: Run, place: Path, words: list[str], problem: str) -> None:
    if not {"--ledger", "--config"} & set(words):
        words = [*words, "--ledger", str(place)]
    code, _, err = run("logs", *words)
    assert code == 2
    assert problem in err
    assert len(err.splitlines()) == 1
