import numpy as np
import pytest

from turnout.reproduce.overhead import overhead_table
from turnout.reproduce.paper import NOTHING
from turnout.reproduce.plan import Plan
from turnout.reproduce.recipes import Recipe
from turnout.reproduce.scoring import Scored


@pytest.fixture
def plan(tmp_path) -> Plan:
    return Plan(tmp_path, tmp_path, machine_usd_per_hour=0.36)


def scored(paper: str | None) -> Scored:
    """A router that takes 1 ms for a query, and 25.6 ms for a batch of 256."""
    return Scored(Recipe("mine", "knn", {}, paper), {}, 7.5, np.full(20, 1e-3), np.full(4, 25.6e-3))


def test_queries_a_second_and_dollars_a_million(plan: Plan) -> None:
    table = overhead_table([scored("SW")], plan, "a machine", 100)
    row = next(row for row in table.rows if row.labels == ("mine", "SW"))
    assert row.figures["queries_per_s"].ours == pytest.approx(1000)
    assert row.figures["queries_per_s_batched"].ours == pytest.approx(10_000)
    # 0.36 dollars an hour are 0.0001 a second, in which there are 1,000 queries.
    assert row.figures["usd_per_million"].ours == pytest.approx(0.1)
    assert row.figures["queries_per_s"].paper == 2.9
    assert row.figures["train_s"].ours == 7.5
    assert "997.1 above the paper's 2.9" in row.difference


def test_each_of_the_papers_routers_has_a_line_and_ours_come_last(plan: Plan) -> None:
    table = overhead_table([scored(None)], plan, "a machine", 100)
    assert [row.labels for row in table.rows] == [
        (NOTHING, "SW"),
        (NOTHING, "MF"),
        (NOTHING, "BERT"),
        (NOTHING, "Causal LLM"),
        ("mine", NOTHING),
    ]
    assert "not run here" in table.rows[0].difference
    assert any("0.36 an hour" in note for note in table.notes)
