from turnout.reproduce.differences import against_random, compared, learned_from
from turnout.reproduce.paper import ARENA
from turnout.reproduce.table import APGR, Figure, Measure, Row, Table


def test_a_difference_says_how_much_and_whether_the_interval_holds_the_papers() -> None:
    assert compared(Figure(0.5, 0.6, 0.45, 0.7), APGR).startswith(
        "APGR is 0.100 above the paper's 0.500, which lies within"
    )
    assert "lies outside" in compared(Figure(0.5, 0.6, 0.55, 0.7), APGR)
    assert compared(Figure(0.5, 0.5001, 0.4, 0.6), APGR) == "APGR is the paper's."
    assert "not run" in compared(Figure(0.5), APGR)
    assert "no such line" in compared(Figure(None, 0.5, 0.4, 0.6), APGR)


def test_a_verdict_needs_an_interval_that_leaves_out_randoms() -> None:
    assert against_random(Figure(0.4, 0.6, 0.55, 0.7)) == "ours is better than random routing, the paper's is worse"
    assert against_random(Figure(0.4, 0.45, 0.4, 0.49)) == "both are worse than random routing"
    assert against_random(Figure(None, 0.45, 0.4, 0.55)) == "ours is not shown to differ from random routing"
    assert against_random(Figure(0.4)) == ""


def test_what_went_in_tells_the_papers_own_data_from_a_stand_in() -> None:
    assert "ours learned from 9 battles" in learned_from(9, ARENA, papers_own=False, encoder="static")
    own = learned_from(9, ARENA, papers_own=True, encoder="openai")
    assert own == "arena: both learned from the paper's own data, ours from 9 battles of it."


def test_a_measure_that_the_paper_has_not_gets_one_column() -> None:
    rows = (Row(("sw",), {"x": Figure(None, 0.25)}, "no such line."),)
    lines = Table(9, "Made up", "made up.", ("router",), (Measure("x", "x", digits=2),), rows).markdown()
    assert lines[4:7] == ["| router | x, ours [95 %] |", "|---|---|", "| sw | 0.25 |"]
    assert not any("no such line" in line for line in lines)


def test_a_table_as_markdown() -> None:
    measure = Measure("x", "Share in %", 100, 1)
    rows = (Row(("sw",), {"x": Figure(0.5, 0.25, 0.2, 0.3)}, "as said."), Row(("mf",), {"x": Figure(0.4)}, "not run."))
    lines = Table(9, "Made up", "made up.", ("router",), (measure,), rows, ("Mind this.",), ("Other data.",)).markdown()
    assert lines == [
        "## Table 9: Made up",
        "",
        "Our data: made up.",
        "",
        "| router | Share in %, paper | Share in %, ours [95 %] |",
        "|---|---|---|",
        "| sw | 50.0 | 25.0 [20.0, 30.0] |",
        "| mf | 40.0 | – |",
        "",
        "Mind this.",
        "",
        "**Differences**",
        "",
        "- Other data.",
        "- sw: as said.",
        "- Lines without a figure of ours were not run here; `--routers` adds a router.",
    ]
