"""What is written: two files that say the same, and pictures."""

import json
import re
from pathlib import Path

import pytest

from turnout.reproduce.figures import draw
from turnout.reproduce.paper import rows_of
from turnout.reproduce.report import write_report
from turnout.reproduce.run import Reproduction

COMMAND = "turnout reproduce --data DIR --out FOLDER"


@pytest.fixture(scope="module")
def folder(done: Reproduction) -> Path:
    write_report(done, ["table-1-apgr.png"], COMMAND)
    return done.plan.out


def test_the_report_names_what_stands_in_for_what(folder: Path) -> None:
    text = (folder / "report.md").read_text()
    assert f"Made by `{COMMAND}`" in text
    for said in ("arena_human_2023", "alpaca_eval", "arena_bench_v1", "60 random distinct questions of MMLU"):
        assert said in text
    assert [int(number) for number in re.findall(r"^## Table (\d)", text, re.MULTILINE)] == [1, 2, 3, 4, 5, 6, 7]
    assert "![table 1 apgr](table-1-apgr.png)" in text


def test_the_lines_of_a_table_are_as_long_as_its_head(folder: Path) -> None:
    tables = re.findall(r"(?:^\|.*\n)+", (folder / "report.md").read_text(), re.MULTILINE)
    assert len(tables) == 8
    for one in tables:
        assert len({line.count("|") for line in one.splitlines()}) == 1


def test_json_holds_every_figure_of_the_paper_and_ours(folder: Path) -> None:
    report = json.loads((folder / "report.json").read_text())
    assert report["command"] == COMMAND
    assert [one["table"] for one in report["tables"]] == [1, 2, 3, 4, 5, 6, 7]
    for number in (1, 2, 3, 4):
        shown = {row["figures"]["apgr"]["paper"] for row in report["tables"][number - 1]["rows"]}
        assert {paper.apgr for paper in rows_of(number)} <= shown
    knn = next(row for row in report["tables"][0]["rows"] if row["router"] == "knn")
    assert knn["figures"]["apgr"]["low"] <= knn["figures"]["apgr"]["ours"] <= knn["figures"]["apgr"]["high"]
    assert report["training_sets"]["arena"]["battles"] > 0


def test_neither_file_shows_where_the_data_lies(done: Reproduction, folder: Path) -> None:
    for name in ("report.md", "report.json"):
        text = (folder / name).read_text()
        assert str(done.plan.data_dir) not in text
        assert str(done.plan.out) not in text


def test_what_augmentation_adds_is_the_difference_of_the_two_lines(done: Reproduction) -> None:
    table = done.tables[2]
    arena, judged = (
        next(row for row in table.rows if row.labels[:2] == (trained_on, "knn")).figures["apgr"].ours
        for trained_on in ("arena", "arena + judge")
    )
    assert arena is not None
    assert judged is not None
    note = next(note for note in table.notes if note.startswith("APGR of arena + judge minus"))
    assert f"knn {judged - arena:+.3f} [" in note


def test_pictures_are_drawn_for_tables_1_to_4_and_the_curves(done: Reproduction) -> None:
    pytest.importorskip("matplotlib")
    names = draw(done)
    assert names[:4] == [f"table-{number}-apgr.png" for number in (1, 2, 3, 4)]
    assert names[4:] == ["curves-mt-bench.png", "curves-mmlu.png", "curves-gsm8k.png"]
    for name in names:
        assert (done.plan.out / name).read_bytes().startswith(b"\x89PNG")
