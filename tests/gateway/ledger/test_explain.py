from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ledgers import ENTRY

from turnout import Battles, Calibration, ModelPair
from turnout.config import Config, parse_config
from turnout.encoders.hashing import HashingEncoder
from turnout.errors import InvalidValueError, LedgerError
from turnout.gateway.ledger.explain import explain, nearest_battles, share_above
from turnout.gateway.ledger.feedback import Feedback, keep
from turnout.gateway.ledger.schema import open_ledger
from turnout.gateway.ledger.sqlite import SqliteDatabase
from turnout.gateway.ledger.writing import Entry, Ledger, query_sha256
from turnout.routers.baselines import RandomRouter
from turnout.routers.nearest_neighbors import NearestNeighbors

PAIR = ModelPair("big", "small")
QUERIES = ["a proof about primes", "a poem about rivers", "a proof about graphs", "a recipe for bread"]
BATTLES = Battles.from_columns(QUERIES, "big", "small", [1.0, 0.0, 1.0, 0.0], pair=PAIR)
QUERY = "a proof about primes please"


@pytest.fixture
def database(tmp_path: Path) -> SqliteDatabase:
    database = SqliteDatabase(tmp_path / "ledger.sqlite3")
    weak = replace(
        ENTRY,
        model="small",
        side="weak",
        win_rate=0.25,
        threshold=0.5,
        query=QUERY,
        query_sha256=query_sha256(QUERY),
        input_tokens=1_000_000,
        output_tokens=0,
        cost_usd=1.0,
        cost_usd_if_strong=10.0,
    )
    by_name: dict[str, Any] = {"side": None, "strong": None, "weak": None, "win_rate": None, "threshold": None}
    ledger = Ledger(database)
    ledger.start()
    entries: list[Entry] = [
        replace(weak, id="dec-full"),
        replace(weak, id="dec-hashed", query=None),
        replace(weak, id="dec-name", route="small", **by_name),
        replace(weak, id="dec-gone", route="gone"),
    ]
    for entry in entries:
        ledger.record(entry)
    ledger.close()
    return database


@pytest.fixture
def config(tmp_path: Path) -> Config:
    calibration = Calibration.from_win_rates([0.1, 0.2, 0.3, 0.4], data="four queries").to_json()
    NearestNeighbors(HashingEncoder(), k=2).fit(BATTLES).save(tmp_path / "knn", calibration=calibration)
    RandomRouter(seed=1).fit(BATTLES).save(tmp_path / "random")
    model = {"base_url": "http://127.0.0.1:9"}
    dear = {"usd_per_million_input_tokens": 20, "usd_per_million_output_tokens": 1}
    route = {"strong": "big", "weak": "small", "threshold": 0.5}
    content = {
        "models": {"big": {**model, **dear}, "small": model},
        "routes": {"auto": {"router": "knn", **route}, "chance": {"router": "random", **route}},
    }
    return parse_config(content, folder=tmp_path)


def test_a_decision_is_explained_by_score_neighbors_and_prices(database: SqliteDatabase, config: Config) -> None:
    with closing(open_ledger(database)) as connection:
        keep(connection, Feedback("dec-full", "score", 1.0))
    found = explain(database, "dec-full", config)
    assert found.entry.id == "dec-full"
    assert (found.calibration_above, found.calibration_queries, found.calibration_data) == (0.5, 4, "four queries")
    assert found.win_rate_now is not None
    nearest = [neighbor for neighbor, _ in found.neighbors]
    assert [neighbor.share for neighbor in nearest[:2]] == [1.0, 1.0], "the two proofs"
    assert nearest == sorted(nearest, key=lambda neighbor: -neighbor.cosine)
    assert 0 < nearest[1].cosine <= nearest[0].cosine <= 1
    assert found.costs_usd == {"big": 20.0}, "today's price; the small one has none"
    assert found.feedback == [Feedback("dec-full", "score", 1.0)]
    assert not found.notes


def test_the_routers_neighbors_are_those_of_its_battles(database: SqliteDatabase, config: Config) -> None:
    by_router = explain(database, "dec-full", config).neighbors
    by_battles = explain(database, "dec-full", config, battles=BATTLES).neighbors
    assert [text for _, text in by_battles[:2]] == [QUERIES[0], QUERIES[2]]
    assert [near.cosine for near, _ in by_router] == pytest.approx([near.cosine for near, _ in by_battles], abs=1e-3)
    assert [near.share for near, _ in by_router[:2]] == [near.share for near, _ in by_battles[:2]]


def test_a_hashed_query_can_be_given_and_is_checked(database: SqliteDatabase, config: Config) -> None:
    silent = explain(database, "dec-hashed", config)
    assert not silent.neighbors
    assert "Give it with --query" in silent.notes[0]
    assert explain(database, "dec-hashed", config, query=QUERY).neighbors
    with pytest.raises(InvalidValueError, match="not the query of that decision"):
        explain(database, "dec-hashed", config, query="another one")


def test_without_a_configuration_the_ledger_alone_speaks(database: SqliteDatabase) -> None:
    found = explain(database, "dec-full")
    assert (found.win_rate_now, found.calibration_above, found.neighbors) == (None, None, [])
    assert explain(database, "dec-full", battles=BATTLES).neighbors[0][1] == QUERIES[0]


def test_a_model_asked_for_by_name_has_no_router_to_ask(database: SqliteDatabase, config: Config) -> None:
    found = explain(database, "dec-name", config, battles=BATTLES)
    assert (found.win_rate_now, found.neighbors, found.notes) == (None, [], [])


def test_routes_and_routers_that_are_gone_are_noted(database: SqliteDatabase, config: Config, tmp_path: Path) -> None:
    assert "no route 'gone'" in explain(database, "dec-gone", config).notes[0]
    (tmp_path / "knn/router.json").write_text("{")
    assert "cannot be loaded" in explain(database, "dec-full", config).notes[0]


def test_a_router_without_memory_says_what_it_would_take(database: SqliteDatabase, config: Config) -> None:
    changed = replace(config, routes={"auto": config.routes["chance"]})
    (note,) = explain(database, "dec-full", changed).notes
    assert "give them with --battles" in note
    assert explain(database, "dec-full", changed, battles=BATTLES).neighbors[0][1] == QUERIES[0]


def test_an_unknown_id_says_where_ids_are_found(database: SqliteDatabase) -> None:
    with pytest.raises(LedgerError, match="holds no decision 'dec-ful'.*turnout logs tail"):
        explain(database, "dec-ful")


@pytest.mark.parametrize(
    ("win_rate", "above"), [(0.05, 1), (0.1, 0.75), (0.15, 0.75), (0.2, 0.5), (0.25, 0.5), (0.4, 0), (0.9, 0)]
)
def test_the_share_of_harder_queries(win_rate: float, above: float) -> None:
    assert share_above(Calibration.from_win_rates([0.1, 0.2, 0.3, 0.4], data="four"), win_rate) == above


def test_nearest_battles_are_distinct_queries_with_their_mean_share() -> None:
    twice = Battles.from_columns(["x y", "x y", "z"], "big", "small", [1.0, 0.0, 1.0], pair=PAIR)
    found = nearest_battles(twice, "x y", HashingEncoder(), n=1)
    ((neighbor, text),) = found
    assert (text, neighbor.share, neighbor.votes) == ("x y", 0.5, 2.0)
    assert neighbor.cosine == pytest.approx(1)
