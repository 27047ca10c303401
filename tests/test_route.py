from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from turnout import Battles, Calibration, ModelPair, Route
from turnout.config import parse_config
from turnout.errors import ArtifactError, InvalidValueError, UnknownNameError
from turnout.routers.baselines import RandomRouter

PAIR = ModelPair("big", "small")
QUERIES = [f"query number {n}" for n in range(101)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    battles = Battles.from_columns(["q"], "big", "small", [1.0], pair=PAIR)
    router = RandomRouter(seed=3).fit(battles)
    calibration = Calibration.from_win_rates(router.predict_win_rate(QUERIES), data="101 numbered queries")
    router.save(tmp_path / "router", calibration=calibration.to_json())
    return tmp_path / "router"


def test_a_route_keeps_the_wish_it_was_calibrated_for(folder: Path) -> None:
    decisions = Route.load(folder, strong_fraction=0.3).decide(QUERIES)
    assert sum(decision.side == "strong" for decision in decisions) == 30  # 30/101 is the largest below 0.3


def test_half_of_the_queries_is_the_default_wish(folder: Path) -> None:
    assert sum(d.side == "strong" for d in Route.load(folder).decide(QUERIES)) == 50


def test_a_threshold_is_used_as_it_is(folder: Path) -> None:
    route = Route.load(folder, threshold=0.9, name="auto")
    rates = np.array([decision.win_rate for decision in route.decide(QUERIES)])
    assert [d.side == "strong" for d in route.decide(QUERIES)] == (rates >= 0.9).tolist()
    assert {(d.threshold, d.route) for d in route.decide(QUERIES)} == {(0.9, "auto")}


def test_another_pair_is_decided_between_and_the_training_pair_is_named(folder: Path) -> None:
    mine = ModelPair("mine", "cheap")
    route = Route.load(folder, pair=mine)
    assert {decision.model for decision in route.decide(QUERIES)} == {"mine", "cheap"}
    assert route.pair_scored == PAIR


def test_a_wish_and_a_threshold_together_are_refused(folder: Path) -> None:
    with pytest.raises(InvalidValueError, match="not both"):
        Route.load(folder, threshold=0.5, strong_fraction=0.5)


def test_a_wish_needs_a_calibration(folder: Path) -> None:
    (folder / "calibration.json").unlink()
    with pytest.raises(ArtifactError, match="turnout calibrate"):
        Route.load(folder, strong_fraction=0.5)
    assert Route.load(folder, threshold=0.5).calibration is None


def conversation(*turns: str) -> list[dict[str, str]]:
    return [{"role": "system", "content": "Be brief."}, *({"role": "user", "content": turn} for turn in turns)]


def test_a_conversation_is_decided_by_its_query(folder: Path) -> None:
    route = Route.load(folder, threshold=0.5)
    decision = route.decide_messages(conversation("one", "two"))
    assert decision.win_rate == route.decide(["one\n\ntwo"])[0].win_rate
    assert replace(route, query="last").decide_messages(conversation("one", "two")).win_rate == (
        route.decide(["two"])[0].win_rate
    )


def test_weighted_turns_are_scored_one_by_one(folder: Path) -> None:
    route = replace(Route.load(folder, threshold=0.5), query="weighted")
    one, two = (decision.win_rate for decision in route.decide(["one", "two"]))
    assert route.decide_messages(conversation("one", "two")).win_rate == pytest.approx((one + 2 * two) / 3)


def test_a_conversation_without_user_text_goes_to_strong(folder: Path) -> None:
    decision = Route.load(folder, threshold=2.0).decide_messages(conversation())
    assert (decision.side, decision.reason) == ("strong", "no text to route by")


def test_a_route_of_a_configuration_needs_no_providers_key(folder: Path) -> None:
    content = {
        "models": {
            "big": {"base_url": "http://127.0.0.1:9/v1", "api_key_env": "NOT_SET"},
            "small": {"base_url": "http://127.0.0.1:9/v1"},
        },
        "routes": {
            "auto": {
                "router": folder.name,
                "strong": "big",
                "weak": "small",
                "strong_fraction": 0.3,
                "query": "last",
                "strip_boilerplate": False,
            }
        },
    }
    config = parse_config(content, folder=folder.parent)
    route = Route.from_config(config, "auto")
    assert route.policy == Route.load(folder, strong_fraction=0.3, name="auto").policy
    assert (route.query, route.strip_boilerplate) == ("last", False)
    with pytest.raises(UnknownNameError, match="Did you mean 'auto'"):
        Route.from_config(config, "aut")


@pytest.mark.parametrize("queries", ["one text", [None], ["text", 5], [b"bytes"]], ids=repr)
def test_what_is_no_query_is_refused(folder: Path, queries: object) -> None:
    with pytest.raises(InvalidValueError, match=r"one text\. For one query write \[query\]|must be text"):
        Route.load(folder).decide(queries)  # type: ignore[arg-type]


@pytest.mark.parametrize("messages", ["a text", [1], [None]], ids=repr)
def test_what_is_no_conversation_is_refused(folder: Path, messages: object) -> None:
    with pytest.raises(InvalidValueError, match="Messages are written"):
        Route.load(folder).decide_messages(messages)  # type: ignore[arg-type]
