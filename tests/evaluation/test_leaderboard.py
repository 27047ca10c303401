from dataclasses import replace

import numpy as np
import pytest

from turnout.errors import InvalidValueError
from turnout.evaluation.footprint import Footprint
from turnout.evaluation.leaderboard import Leaderboard
from turnout.evaluation.metrics import oracle_win_rates
from turnout.evaluation.pair_table import PairTable
from turnout.evaluation.replay import Replay
from turnout.evaluation.runner import Evaluation, evaluate


@pytest.fixture
def evaluations(table: PairTable) -> list[Evaluation]:
    best = oracle_win_rates(table.strong_scores, table.weak_scores)
    replays = {
        "worst": [Replay.of_all(1 - best)],
        "flat": [Replay.of_all(np.zeros(len(table)))],
        "best": [Replay.of_all(best)],
    }
    return [evaluate(one, replays, n_replicates=50) for one in (table, replace(table, title="Again"))]


def test_best_first_with_paired_differences(evaluations: list[Evaluation]) -> None:
    board = Leaderboard.of(evaluations, {"best": Footprint(1.25, 0.0005, 2_000)})
    assert [entry.router for entry in board.entries] == ["best", "flat", "worst"]
    best, flat, worst = board.entries
    assert best.against_best == {}
    assert flat.against_best["Again"].difference == pytest.approx(0.5 - best.mean_apgr)
    assert worst.against_best["Made up"].interval.high < 0
    text = board.markdown()
    assert "| 1.2 | 0.50 | 2 |" in text
    assert "(constant)" in text
    assert "APGR minus that of best" in text
    assert text.count(" *") >= 4
    columns = {line.count("|") for line in text.split("\n\n")[0].splitlines()}
    assert columns == {8}


def test_as_json(evaluations: list[Evaluation]) -> None:
    first, second, _ = Leaderboard.of(evaluations, {}).to_json()
    assert first["against_best"] == {}
    assert set(second["apgr"]) == {"Made up", "Again"}
    assert first["footprint"] is None


def test_one_router_has_no_one_to_be_compared_with(table: PairTable) -> None:
    one = evaluate(table, {"flat": [Replay.of_all(np.zeros(len(table)))]}, n_replicates=5)
    assert "minus" not in Leaderboard.of([one], {}).markdown()


def test_other_routers_and_none(evaluations: list[Evaluation], table: PairTable) -> None:
    other = evaluate(table, {"flat": [Replay.of_all(np.zeros(len(table)))]}, n_replicates=5)
    with pytest.raises(InvalidValueError, match="other routers"):
        Leaderboard.of([evaluations[0], replace(other, table=replace(table, title="Other"))], {})
    with pytest.raises(InvalidValueError, match="needs an evaluation"):
        Leaderboard.of([], {})
