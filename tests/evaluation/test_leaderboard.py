from dataclasses import replace

import numpy as np
import pytest

from turnout.errors import InvalidValueError, UnknownNameError
from turnout.evaluation.footprint import Footprint
from turnout.evaluation.leaderboard import Leaderboard
from turnout.evaluation.metrics import oracle_win_rates
from turnout.evaluation.pair_table import PairTable
from turnout.evaluation.replay import Replay
from turnout.evaluation.runner import Evaluation, evaluate


@pytest.fixture
def replays(table: PairTable) -> dict[str, list[Replay]]:
    best = oracle_win_rates(table.strong_scores, table.weak_scores)
    return {
        "worst": [Replay.of_all(1 - best)],
        "flat": [Replay.of_all(np.zeros(len(table)))],
        "best": [Replay.of_all(best)],
    }


@pytest.fixture
def evaluations(table: PairTable, replays: dict[str, list[Replay]]) -> list[Evaluation]:
    return [evaluate(one, replays, n_replicates=50) for one in (table, replace(table, title="Again"))]


def rows(text: str) -> list[list[str]]:
    """The cells of each table row."""
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:2] == "| "]


def test_best_first_with_paired_differences(evaluations: list[Evaluation]) -> None:
    board = Leaderboard.of(evaluations, {"best": Footprint(1.25, 0.0005, 2_000)})
    assert [entry.router for entry in board.entries] == ["best", "flat", "worst"]
    best, flat, worst = board.entries
    assert (board.reference, best.against, best.mean_against) == ("best", {}, None)
    assert best.mean is not None
    assert flat.mean_against is not None
    assert flat.against["Again"].difference == pytest.approx(0.5 - best.mean.value)
    assert flat.mean_against.value == pytest.approx(0.5 - best.mean.value)
    assert worst.against["Made up"].interval.high < 0


def test_a_mean_over_one_benchmark_twice_has_its_interval(evaluations: list[Evaluation]) -> None:
    best, flat, worst = Leaderboard.of(evaluations, {}).entries
    for entry in (best, worst):
        assert entry.mean is not None
        assert entry.mean.interval == pytest.approx(entry.results["Again"].apgr.interval, abs=1e-12)
    assert worst.mean_against is not None
    assert worst.mean_against.interval == pytest.approx(worst.against["Again"].interval, abs=1e-12)
    assert flat.mean is not None
    assert flat.mean.spread == 0


def test_printed_as_markdown(evaluations: list[Evaluation]) -> None:
    text = Leaderboard.of(evaluations, {"best": Footprint(1.25, 0.0005, 2_000)}).markdown()
    whole, first, second = text.split("\n### ")
    header, best, flat, worst, luck, oracle = rows(whole)
    assert header[:5] == ["router", "mean APGR [95 %]", "minus best [95 %]", "Made up", "Again"]
    assert (best[0], best[2], best[-3:]) == ("best", "", ["1.2", "0.50", "2"])
    assert (flat[1], flat[3]) == ("0.500 [0.500, 0.500]", "0.500")
    assert worst[2].endswith("*")
    assert (luck[0], oracle[0], oracle[3]) == ("one random router, 95 in 100", "the oracle", best[3])
    assert {len(row) for row in rows(whole)} == {8}
    assert first.startswith("Made up: 240 queries. Strong: gpt-4-1106-preview (")
    header, _, flat, worst = rows(second)
    assert header == [
        "router",
        "APGR [95 %]",
        "minus best [95 %]",
        "tied, %",
        "drawn to the mean, %",
        "wholly below 0.500",
    ]
    assert flat[1].endswith("(constant)")
    assert (flat[-1], worst[-1]) == ("", "yes")


def test_a_reference_may_be_named(evaluations: list[Evaluation]) -> None:
    board = Leaderboard.of(evaluations, {}, against="flat")
    assert [entry.router for entry in board.entries if not entry.against] == ["flat"]
    assert board.entries[0].against["Again"].difference > 0
    assert "minus flat [95 %]" in board.markdown()
    with pytest.raises(UnknownNameError, match="No router on this leaderboard named 'flt'. Did you mean 'flat'"):
        Leaderboard.of(evaluations, {}, against="flt")


def test_seeds_have_their_spread(table: PairTable, replays: dict[str, list[Replay]]) -> None:
    part, whole = np.arange(50), np.arange(len(table))
    runs = {name: [one.take(part, 0), one.take(whole, 1)] for name, (one,) in replays.items()}
    board = Leaderboard.of([evaluate(table, runs, n_replicates=20)], {})
    best = board.entries[0]
    assert best.mean is not None
    assert best.mean.spread == best.results["Made up"].apgr.spread > 0
    whole_text, section = board.markdown().split("\n### ")
    assert rows(whole_text)[1][2] == rows(section)[1][2] == f"{best.mean.spread:.3f}"


def test_a_router_that_sat_one_out_has_no_mean_and_comes_last(
    evaluations: list[Evaluation], replays: dict[str, list[Replay]]
) -> None:
    without = evaluate(evaluations[1].table, {k: v for k, v in replays.items() if k != "best"}, n_replicates=50)
    board = Leaderboard.of([evaluations[0], without], {})
    assert [entry.router for entry in board.entries] == ["flat", "worst", "best"]
    last = board.entries[-1]
    assert (last.mean, last.mean_against, list(last.results), list(last.against)) == (
        None,
        None,
        ["Made up"],
        ["Made up"],
    )
    whole, _, second = board.markdown().split("\n### ")
    assert rows(whole)[3][1] == rows(whole)[3][4] == "–"
    assert "then no mean" in whole
    assert "best" not in [row[0] for row in rows(second)]


def test_as_json(evaluations: list[Evaluation]) -> None:
    first, second, third = Leaderboard.of(evaluations, {}).to_json()
    assert first["against"] == {"router": "best", "mean": None, "by_benchmark": {}}
    assert set(second["apgr"]) == set(second["against"]["by_benchmark"]) == {"Made up", "Again"}
    assert second["mean_apgr"] == pytest.approx({"value": 0.5, "low": 0.5, "high": 0.5, "sd_over_seeds": 0.0})
    assert (first["footprint"], first["wholly_below_random"]) == (None, [])
    assert third["wholly_below_random"] == ["Made up", "Again"]


def test_one_router_has_no_one_to_be_compared_with(table: PairTable) -> None:
    one = evaluate(table, {"flat": [Replay.of_all(np.zeros(len(table)))]}, n_replicates=5)
    assert "minus" not in Leaderboard.of([one], {}).markdown()


def test_a_title_cannot_break_the_table(table: PairTable) -> None:
    one = evaluate(replace(table, title="a|b\nc"), {"flat": [Replay.of_all(np.zeros(len(table)))]}, n_replicates=5)
    assert "| a\\|b c |" in Leaderboard.of([one], {}).markdown().splitlines()[0]


def test_none_and_one_twice(evaluations: list[Evaluation]) -> None:
    with pytest.raises(InvalidValueError, match="needs an evaluation"):
        Leaderboard.of([], {})
    with pytest.raises(InvalidValueError, match="a title of its own"):
        Leaderboard.of([evaluations[0], evaluations[0]], {})
