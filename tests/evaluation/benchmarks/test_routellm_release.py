"""PAPER's oracle figures, recomputed from the published outcomes (TURNOUT_DATA names their folder)."""

import os
from pathlib import Path

import numpy as np
import pytest

from turnout.errors import DataError
from turnout.evaluation.benchmarks.base import load_benchmark
from turnout.evaluation.benchmarks.routellm_release import release_folder
from turnout.evaluation.metrics import apgr, cpt, oracle_win_rates, random_apgr_interval
from turnout.evaluation.pair_table import PairTable

needs_data = pytest.mark.skipif("TURNOUT_DATA" not in os.environ, reason="TURNOUT_DATA does not name the data")


def test_the_release_is_found_in_the_usual_places(tmp_path: Path) -> None:
    (tmp_path / "routellm_release" / "gsm8k").mkdir(parents=True)
    home = tmp_path / "routellm_release"
    for place in (tmp_path, home, home / "gsm8k"):
        assert release_folder(place, "gsm8k") == home


def test_another_folder_is_told_what_is_expected(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no folder mmlu/.*RouteLLM"):
        load_benchmark("mmlu").load(tmp_path)


@needs_data
@pytest.mark.parametrize(
    ("name", "n", "strong", "weak", "oracle", "cpt50", "cpt80"),
    [
        ("mmlu", 14_037, 0.8059, 0.6809, 1.285, 0.0625, 0.1000),
        # Half of GSM8K's gap is 144 of 1,307 questions to the question: 11.02 %, which rounding may turn into 145.
        ("gsm8k", 1_307, 0.8577, 0.6373, 1.121, 0.1102, 0.1767),
        ("mt-bench", 72, 9.212, 8.281, 0.964, 0.0833, 0.1806),
    ],
)
def test_oracle_figures(
    name: str, n: int, strong: float, weak: float, oracle: float, cpt50: float, cpt80: float
) -> None:
    table = PairTable.of_benchmark(load_benchmark(name), os.environ["TURNOUT_DATA"])
    best = oracle_win_rates(table.strong_scores, table.weak_scores)
    one_by_one = np.empty(len(table))
    one_by_one[np.argsort(-best, kind="stable")] = -np.arange(len(table))
    columns = table.strong_scores, table.weak_scores
    assert len(table) == n
    assert table.strong_scores.mean() == pytest.approx(strong, abs=5e-4)
    assert table.weak_scores.mean() == pytest.approx(weak, abs=5e-4)
    assert apgr(best, *columns) == pytest.approx(oracle, abs=5e-4)
    assert apgr(one_by_one, *columns) == pytest.approx(oracle, abs=5e-4)
    assert cpt(one_by_one, *columns, 0.5).reachable_strong_fraction == pytest.approx(cpt50, abs=5e-5)
    assert cpt(one_by_one, *columns, 0.8).reachable_strong_fraction == pytest.approx(cpt80, abs=5e-5)


@needs_data
def test_on_mt_bench_luck_alone_reaches_far() -> None:
    table = PairTable.of_benchmark(load_benchmark("mt-bench"), os.environ["TURNOUT_DATA"])
    assert random_apgr_interval(table.strong_scores, table.weak_scores) == pytest.approx((0.366, 0.634), abs=1e-3)
