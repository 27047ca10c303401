import json
import math
from pathlib import Path

import pytest

from turnout.artifacts import read_artifact
from turnout.cli.calibrate import queries_in
from turnout.cli.main import main
from turnout.data.battles import Battles
from turnout.encoders.hashing import HashingEncoder
from turnout.errors import DataError
from turnout.gateway.ledger.sqlite import SqliteDatabase
from turnout.gateway.ledger.writing import Entry, Ledger
from turnout.route import Route
from turnout.routers.baselines import AlwaysStrong, RandomRouter
from turnout.routers.blend import Blend
from turnout.types import ModelPair

PAIR = ModelPair("big", "small")
BATTLES = Battles.from_columns([f"query {n}" for n in range(50)], "big", "small", [1.0] * 50, pair=PAIR)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    RandomRouter(seed=3).fit(BATTLES).save(tmp_path / "router")
    return tmp_path / "router"


@pytest.fixture
def queries(tmp_path: Path) -> Path:
    (tmp_path / "queries.jsonl").write_text("".join(f'{{"query": "query {n}"}}\n' for n in range(50)))
    return tmp_path / "queries.jsonl"


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    return capsys.readouterr().err


def printed(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 0
    return capsys.readouterr().out


def test_a_written_calibration_routes_as_wished(
    folder: Path, queries: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["calibrate", str(folder), "--queries", str(queries), "--strong-fraction", "0.3", "--write", "--json"]
    point = json.loads(printed(words, capsys))
    assert (point["strong_fraction"], point["n_queries"]) == (0.3, 50)
    decisions = Route.load(folder, strong_fraction=0.3).decide(BATTLES.queries)
    assert sum(decision.side == "strong" for decision in decisions) == 15
    assert decisions[0].threshold == point["threshold"]


def test_nothing_is_written_unless_asked(folder: Path, queries: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(["calibrate", str(folder), "--queries", str(queries)], capsys)
    assert "0.5000, at most 0.5 was wished for" in text
    assert "50 from" in text
    assert not (folder / "calibration.json").exists()


def test_battles_give_their_queries(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    BATTLES.write_jsonl(tmp_path / "battles.jsonl")
    words = ["calibrate", str(folder), "--battles", str(tmp_path / "battles.jsonl"), "--json"]
    assert json.loads(printed(words, capsys))["n_queries"] == 50


def test_a_ledger_gives_what_users_asked(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from dataclasses import fields

    ledger = Ledger(SqliteDatabase(tmp_path / "ledger.sqlite3"), query_text="full")
    ledger.start()
    for number in range(4):
        known = {"id": f"dec-{number}", "time": 0.0, "route": "auto", "model": "big", "reason": "", "stream": False}
        known |= {"status": 200, "latency_s": 0.0, "query": f"query {number}"}
        ledger.record(Entry(**{field.name: known.get(field.name) for field in fields(Entry)}))  # type: ignore[arg-type]
    ledger.close()
    words = ["calibrate", str(folder), "--ledger", ledger.database.name, "--json"]
    assert json.loads(printed(words, capsys))["n_queries"] == 4


def test_a_constant_router_is_told_what_it_can_reach(
    tmp_path: Path, queries: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    AlwaysStrong().fit(BATTLES).save(tmp_path / "constant")
    text = printed(["calibrate", str(tmp_path / "constant"), "--queries", str(queries)], capsys)
    assert "only a strong fraction of 0 or 1 can be reached" in text
    assert "0.0000, at most 0.5" in text


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--strong-fraction", "50"], "For 50 % write 0.5"),
        ([], "Give one of --queries, --battles and --ledger, got none"),
        (["--queries", "nowhere.jsonl"], "nowhere.jsonl: cannot be read"),
        (["--ledger", "nowhere.sqlite3"], "There is no ledger at nowhere.sqlite3"),
    ],
)
def test_mistakes_are_one_clear_line(
    folder: Path, options: list[str], problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert problem in refused(["calibrate", str(folder), *options], capsys)


def test_a_file_without_queries_is_refused(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty.txt").write_text("\n\n")
    error = refused(["calibrate", str(folder), "--queries", str(tmp_path / "empty.txt")], capsys)
    assert "empty.txt: holds no query" in error


def test_a_router_that_gives_no_numbers_is_refused(
    folder: Path, queries: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RandomRouter, "predict_win_rate", lambda self, queries: [math.nan] * len(queries))
    error = refused(["calibrate", str(folder), "--queries", str(queries)], capsys)
    assert "50 of 50 win rates are not numbers" in error


def test_a_shipped_router_is_not_written_to(
    folder: Path, queries: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("turnout.routers.base.shipped_routers", lambda: {"default": folder})
    error = refused(["calibrate", "default", "--queries", str(queries), "--write"], capsys)
    assert "is shipped with Turnout" in error
    assert not (folder / "calibration.json").exists()


WRAP = "You are the assistant of Example Ltd. Answer in short.\nQuestion: {}\nSay so if you do not know."
SUMS = [f"What is {a} * {b}?" for a in range(2, 8) for b in range(3, 9)]
POEMS = [f"Write a poem about {thing}." for thing in ("rain", "a fox", "home", "the sea", "iron", "a lens")]


@pytest.fixture
def blend(tmp_path: Path) -> Path:
    battles = Battles.from_columns(SUMS + POEMS, "big", "small", [1.0] * len(SUMS) + [0.0] * len(POEMS), pair=PAIR)
    Blend(HashingEncoder(dim=64)).fit(battles).save(tmp_path / "blend", card="# Card", extra={"data": "made up"})
    return tmp_path / "blend"


def test_a_threshold_fits_queries_that_come_wrapped(
    blend: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrapped = [WRAP.format(query) for query in SUMS + POEMS]
    (tmp_path / "wrapped.jsonl").write_text("".join(json.dumps({"query": query}) + "\n" for query in wrapped))
    (tmp_path / "bare.jsonl").write_text("".join(json.dumps({"query": query}) + "\n" for query in SUMS + POEMS))
    original = read_artifact(blend)
    out = tmp_path / "routed"
    words = ["calibrate", str(blend), "--queries", str(tmp_path / "wrapped.jsonl"), "--template", "--out", str(out)]
    text = printed(words, capsys)
    assert "template         2 whole lines, 1 word at the start" in text
    assert f"Written to {out}" in text
    bare = json.loads(printed(["calibrate", str(blend), "--queries", str(tmp_path / "bare.jsonl"), "--json"], capsys))
    again = json.loads(printed([*words, "--json"], capsys))
    assert again["threshold"] == pytest.approx(bare["threshold"], abs=1e-12)
    assert again["template"] == "2 whole lines, 1 word at the start"
    decisions = Route.load(out, strong_fraction=0.5).decide(wrapped)
    assert sum(decision.side == "strong" for decision in decisions) <= len(wrapped) / 2
    copy = read_artifact(out)
    assert (copy.card, dict(copy.extra)) == ("# Card", {"data": "made up"})
    assert read_artifact(blend).learned == original.learned, "the original is as it was"
    assert not (blend / "calibration.json").exists()


def test_a_shipped_router_is_calibrated_in_a_copy(
    folder: Path, queries: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("turnout.routers.base.shipped_routers", lambda: {"default": folder})
    printed(["calibrate", "default", "--queries", str(queries), "--out", str(tmp_path / "mine")], capsys)
    assert (
        sum(d.side == "strong" for d in Route.load(tmp_path / "mine", strong_fraction=0.5).decide(BATTLES.queries))
        == 25
    )


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--template"], "give --out FOLDER"),
        (["--template", "--out", "{new}"], "kind 'random' cannot cut a template off; those of the kind 'blend' can"),
        (["--write", "--out", "{new}"], "and not both"),
        (["--out", "{taken}"], "holds other things than a router"),
    ],
)
def test_a_copy_that_cannot_be_is_refused_and_nothing_written(
    folder: Path, queries: Path, tmp_path: Path, options: list[str], problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "notes.txt").write_text("mine")
    places = {"new": tmp_path / "new", "taken": tmp_path / "taken"}
    words = ["calibrate", str(folder), "--queries", str(queries), *(option.format(**places) for option in options)]
    assert problem in refused(words, capsys)
    assert not (tmp_path / "new").exists()
    assert not (folder / "calibration.json").exists()


def test_every_form_of_a_query_is_read(tmp_path: Path) -> None:
    path = tmp_path / "mixed.jsonl"
    path.write_text('{"query": "a"}\n{"prompt": "b", "id": 1}\n\n{"turns": ["c", "d"]}\n')
    assert list(queries_in(path)) == ["a", "b", "c", "c\n\nd"]
    (tmp_path / "plain.txt").write_text("one\n\n  two  \n")
    assert list(queries_in(tmp_path / "plain.txt")) == ["one", "two"]


@pytest.mark.parametrize("row", ['{"text": "a"}', '{"query": 3}', '{"turns": []}', '{"turns": [1]}', "[1]", "a"])
def test_a_broken_line_is_named(tmp_path: Path, row: str) -> None:
    path = tmp_path / "broken.jsonl"
    path.write_text(f'{{"query": "a"}}\n{row}\n')
    with pytest.raises(DataError, match=r"broken\.jsonl, line 2"):
        list(queries_in(path))


def test_bytes_that_are_no_text_are_named(tmp_path: Path) -> None:
    (tmp_path / "latin.txt").write_bytes(b"fine\n\xff\xfe\n")
    with pytest.raises(DataError, match=r"latin\.txt, line 2: not UTF-8"):
        list(queries_in(tmp_path / "latin.txt"))
