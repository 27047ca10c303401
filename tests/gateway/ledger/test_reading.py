from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from ledgers import ENTRY, KINDS, empty_database

from turnout.errors import DataError, InvalidValueError
from turnout.gateway.ledger.database import Database
from turnout.gateway.ledger.reading import (
    Savings,
    Selection,
    find_entry,
    last_entries,
    read_entries,
    read_queries,
    savings,
    total,
)
from turnout.gateway.ledger.schema import open_ledger
from turnout.gateway.ledger.upkeep import DAY_S
from turnout.gateway.ledger.writing import Entry, Ledger

NOON = 20_000 * DAY_S + DAY_S / 2  # 2024-10-04
BY_NAME = {"strong": None, "weak": None, "side": None, "win_rate": None, "threshold": None, "cost_usd_if_strong": None}


def entry(id: str, **changes: object) -> Entry:
    defaults = {"time": NOON, "query": id, "cost_usd": 1.0, "cost_usd_if_strong": 1.0}
    return replace(ENTRY, id=id, **{**defaults, **changes})  # type: ignore[arg-type]


ENTRIES = [
    entry("strong"),
    replace(entry("weak", model="small", side="weak"), cost_usd=0.125, time=NOON + DAY_S / 2),
    replace(entry("by-name", route="small", model="small", key_id=None, **BY_NAME), cost_usd=0.5),
    replace(entry("unpriced", side="weak", model="small"), cost_usd=None, cost_usd_if_strong=None),
    replace(entry("failed", side="weak", model="small", status=502, error="upstream_unreachable"), cost_usd=None),
    replace(entry("other", route="other", key_id="k2", query=None), cost_usd=0.25, cost_usd_if_strong=0.25),
]


@pytest.fixture(params=KINDS)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    with empty_database(request.param, tmp_path) as database:
        ledger = Ledger(database)
        ledger.start()
        for one in ENTRIES:
            ledger.record(one)
        ledger.close()
        yield database


@pytest.mark.parametrize(
    ("selection", "ids"),
    [
        (Selection(), ["strong", "weak", "by-name", "unpriced", "failed", "other"]),
        (Selection(route="other"), ["other"]),
        (Selection(route="auto", model="small"), ["weak", "unpriced", "failed"]),
        (Selection(key_id="k2"), ["other"]),
        (Selection(since=NOON + 1), ["weak"]),
        (Selection(until=NOON + 1, key_id="k1"), ["strong", "unpriced", "failed"]),
        (Selection(failed=True), ["failed"]),
        (Selection(route="'; DROP TABLE decisions; --"), []),
    ],
)
def test_a_selection_takes_what_it_says(database: Database, selection: Selection, ids: list[str]) -> None:
    assert [found.id for found in read_entries(database, selection)] == ids


def test_the_last_entries_and_those_behind_them(database: Database) -> None:
    with closing(open_ledger(database)) as connection:
        last = last_entries(connection, 2)
        assert [found.id for _, found in last] == ["failed", "other"]
        assert last_entries(connection, 2, after=last[-1][0]) == []
        assert [found.id for _, found in last_entries(connection, 9, after=last[0][0])] == ["other"]


def test_an_entry_is_found_by_its_id(database: Database) -> None:
    with closing(open_ledger(database)) as connection:
        assert find_entry(connection, "weak") == ENTRIES[1]
        assert find_entry(connection, "none") is None


def test_savings_worked_by_hand(database: Database) -> None:
    auto, small, other = savings(database)
    assert auto == Savings("auto", 4, 4, 1, spent_usd=1.125, all_strong_usd=2.0, unpriced=1)
    assert (auto.saved_usd, auto.strong_fraction) == (0.875, 0.25)
    assert small == Savings("small", 1, 0, 0, spent_usd=0.5, all_strong_usd=0.5, unpriced=0)
    assert small.strong_fraction is None
    assert other == Savings("other", 1, 1, 1, spent_usd=0.25, all_strong_usd=0.25, unpriced=0)
    assert total([auto, small, other]) == Savings("all", 6, 5, 2, 1.875, 2.75, 1)


@pytest.mark.parametrize(
    ("by", "spent"),
    [
        ("model", {"big": 1.25, "small": 0.625}),
        ("key", {"k1": 1.125, "": 0.5, "k2": 0.25}),
        ("day", {"2024-10-04": 1.75, "2024-10-05": 0.125}),
    ],
)
def test_savings_by_group(database: Database, by: str, spent: dict[str, float]) -> None:
    assert {part.group: part.spent_usd for part in savings(database, by)} == spent  # type: ignore[arg-type]
    assert list(spent) == [part.group for part in savings(database, by)]  # type: ignore[arg-type]


def test_savings_of_a_selection(database: Database) -> None:
    (part,) = savings(database, "route", Selection(key_id="k2"))
    assert part.requests == 1


def test_savings_by_something_else_are_refused(database: Database) -> None:
    with pytest.raises(InvalidValueError, match="route, model, key, day, got 'week'"):
        savings(database, "week")  # type: ignore[arg-type]


def test_queries_come_back_for_calibration(database: Database) -> None:
    assert read_queries(database, Selection(route="auto")) == ["strong", "weak", "unpriced", "failed"]


def test_a_ledger_without_texts_says_how_to_keep_them(database: Database) -> None:
    with pytest.raises(DataError, match='query_text = "full"'):
        read_queries(database, Selection(route="other"))
