"""The paper's figures fit together: what it computes from others of its figures comes out."""

import pytest

from turnout.reproduce.paper import (
    ARENA_GOLD,
    ARENA_JUDGE,
    OVERHEAD,
    RANDOM,
    ROWS,
    SAVINGS,
    PaperRow,
    paper_row,
    rows_of,
)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.table} {row.setting} {row.router}")
def test_the_improvement_is_that_over_the_random_router_of_its_table(row: PaperRow) -> None:
    random = next(one for one in rows_of(row.table) if one.router == RANDOM and one.setting in (row.setting, "–"))
    assert row.apgr / random.apgr - 1 == pytest.approx(row.improvement, abs=0.003)
    assert 0 < row.cpt50 < row.cpt80 < 1


def test_each_table_has_all_its_lines() -> None:
    assert [len(rows_of(table)) for table in (1, 2, 3, 4)] == [9, 9, 9, 10]


@pytest.mark.parametrize(("table", "benchmark", "setting"), [(1, "mt-bench", ARENA_JUDGE), (2, "mmlu", ARENA_GOLD)])
def test_savings_are_randoms_calls_over_the_best_routers(table: int, benchmark: str, setting: str) -> None:
    random = next(row for row in rows_of(table) if row.router == RANDOM)
    ratios = [random.cpt50 / row.cpt50 for row in rows_of(table) if row.setting == setting]
    assert max(ratios) == pytest.approx(SAVINGS[benchmark].at_cpt50, abs=0.01)


def test_overhead_is_the_machines_price_at_least() -> None:
    for paper in OVERHEAD.values():
        assert paper.usd_per_million_requests >= paper.usd_per_hour / 3600 / paper.requests_per_s * 1e6 - 0.01


def test_a_line_that_the_paper_has_not_is_none() -> None:
    assert paper_row(1, ARENA_JUDGE, "knn") is None
    found = paper_row(1, ARENA_JUDGE, "MF")
    assert found is not None
    assert found.apgr == 0.802
