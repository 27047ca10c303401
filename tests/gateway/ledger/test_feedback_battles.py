from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from ledgers import ENTRY, KINDS, empty_database

from turnout.errors import EmptyDataError, InvalidValueError
from turnout.gateway.ledger.database import Database
from turnout.gateway.ledger.feedback import Feedback, keep
from turnout.gateway.ledger.feedback_battles import COMPARED, PREFERRED, SINGLE, Judged, battles_from_feedback, combine
from turnout.gateway.ledger.reading import Selection
from turnout.gateway.ledger.schema import open_ledger
from turnout.gateway.ledger.writing import Entry, Ledger

PAIR = {"big": "small", "small": "big"}


def scored(query: str, model: str, score: float, route: str = "auto") -> Judged:
    return Judged(query, route, model, PAIR[model], score, None)


def test_a_preferred_answer_is_a_battle_won() -> None:
    found = combine(
        [Judged("q", "auto", "small", "small", None, "big"), Judged("r", "auto", "small", "big", None, "small")]
    )
    assert list(found.battles.rows()) == [
        {"query": "q", "model_a": "big", "model_b": "small", "share_a": 1.0, "source": PREFERRED},
        {"query": "r", "model_a": "small", "model_b": "big", "share_a": 1.0, "source": PREFERRED},
    ]
    assert (found.preferred, found.compared, found.single, found.left_out) == (2, 0, 0, 0)


@pytest.mark.parametrize(
    ("big", "small", "share"), [(1, 0, 1.0), (0, 1, 0.0), (1, 1, 0.5), (0, 0, 0.5), (0.9, 0.5, 0.7)]
)
def test_scores_of_two_models_on_the_same_query_are_a_battle(big: float, small: float, share: float) -> None:
    found = combine([scored("q", "big", big), scored("q", "small", small)])
    (row,) = found.battles.rows()
    assert (row["model_a"], row["model_b"], row["source"]) == ("big", "small", COMPARED)
    assert row["share_a"] == pytest.approx(share)
    assert (found.compared, found.left_out) == (1, 0)


def test_several_scores_of_a_model_on_a_query_are_averaged() -> None:
    found = combine([scored("q", "big", 1), scored("q", "big", 0), scored("q", "small", 0)])
    assert found.battles.share_a.tolist() == [0.75]


def test_a_single_thumb_is_no_comparison() -> None:
    found = combine([scored("q", "small", 1), scored("r", "big", 1)])
    assert len(found.battles) == 0
    assert found.left_out == 2


def test_single_scores_are_set_against_the_others_mean_if_a_weight_is_named() -> None:
    judged = [scored("q", "small", 1), scored("r", "big", 1), scored("s", "big", 0.5), scored("t", "big", 1, "other")]
    found = combine(judged, single_weight=0.25)
    rows = list(found.battles.rows())
    assert rows[0] == {
        "query": "q",
        "model_a": "small",
        "model_b": "big",
        "share_a": pytest.approx((1 + 1 - 0.75) / 2),
        "weight": 0.25,
        "source": SINGLE,
    }
    assert [row["share_a"] for row in rows[1:]] == [pytest.approx(0.5), pytest.approx(0.25)]
    assert (found.single, found.left_out) == (3, 1), "no model was ever scored beside the last one's route"


def test_scores_without_a_rival_are_left_out() -> None:
    alone = Judged("q", "small", "small", None, 1.0, None)
    assert combine([alone], single_weight=0.5).left_out == 1


@pytest.mark.parametrize("weight", [0, -1, 1.5, float("nan")])
def test_a_weight_outside_its_range_is_refused(tmp_path: Path, weight: float) -> None:
    with empty_database("sqlite", tmp_path) as database, pytest.raises(InvalidValueError, match="at most 1"):
        battles_from_feedback(database, single_weight=weight)


@pytest.fixture(params=KINDS)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    with empty_database(request.param, tmp_path) as database:
        yield database


def fill(database: Database, entries: list[Entry], said: list[Feedback]) -> None:
    ledger = Ledger(database)
    ledger.start()
    for entry in entries:
        ledger.record(entry)
    ledger.close()
    with closing(open_ledger(database)) as connection:
        for feedback in said:
            keep(connection, feedback)


def test_feedback_in_a_ledger_becomes_battles(database: Database) -> None:
    small = replace(ENTRY, model="small", side="weak", query="q")
    entries = [
        replace(small, id="1"),
        replace(small, id="2", model="big"),
        replace(small, id="3", query="r"),
        replace(small, id="4", query=None),
        replace(small, id="5", query="s", time=time.time()),
    ]
    said = [
        Feedback("1", "score", 1.0),
        Feedback("2", "score", 0.5),
        Feedback("3", "preferred", preferred="small"),
        Feedback("4", "score", 1.0),
        Feedback("5", "preferred", preferred="big"),
    ]
    fill(database, entries, said)
    found = battles_from_feedback(database)
    assert [(row["query"], row["model_a"], row["share_a"]) for row in found.battles.rows()] == [
        ("r", "small", 1.0),
        ("s", "big", 1.0),
        ("q", "big", 0.25),
    ]
    assert (found.preferred, found.compared, found.without_text) == (2, 1, 1)
    assert len(battles_from_feedback(database, Selection(since=time.time() - 100)).battles) == 1


def test_feedback_without_texts_says_how_to_keep_them(database: Database) -> None:
    fill(database, [replace(ENTRY, id="1", query=None)], [Feedback("1", "score", 1.0)])
    with pytest.raises(EmptyDataError, match='query_text = "full"'):
        battles_from_feedback(database)


def test_no_feedback_is_no_battle(database: Database) -> None:
    fill(database, [ENTRY], [])
    assert len(battles_from_feedback(database).battles) == 0
