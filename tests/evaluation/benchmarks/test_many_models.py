import gzip
import json
import os
from pathlib import Path
from typing import Any

import pytest

from turnout.errors import DataError, UnknownNameError
from turnout.evaluation.benchmarks.base import load_benchmark
from turnout.evaluation.pair_table import PairTable
from turnout.types import ModelPair

needs_data = pytest.mark.skipif("TURNOUT_DATA" not in os.environ, reason="TURNOUT_DATA does not name the data")
PAIR = ModelPair("big", "small")


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(path, "wt") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    right = {"big": 1, "small": 0}
    write(
        tmp_path / "mmlu_pro" / "answers.jsonl.gz",
        [
            {"idx": n, "src": src, "category": "law", "question": f"Q{n}?", "options": ["x", "y"], "correct": right}
            for n, src in enumerate(["ori_mmlu-law", "stemez-law"])
        ],
    )
    write(
        tmp_path / "zeroeval" / "answers.jsonl.gz",
        [{"task": task, "id": task, "question": f"{task}?", "correct": right} for task in ("crux", "math-l5")],
    )
    cost = {"big": 0.01, "small": 0.001}
    write(
        tmp_path / "routerbench_subset" / "answers.jsonl.gz",
        [
            {"sample_id": name, "eval_name": name, "prompt": f"{name}?", "score": right, "cost": cost}
            for name in ("mbpp", "winogrande")
        ],
    )
    return tmp_path


@pytest.mark.parametrize(
    ("name", "queries"),
    [
        ("mmlu-pro", ["Q1?\nA. x\nB. y"]),  # the other question is MMLU's
        ("zeroeval-crux", ["crux?"]),
        ("zeroeval-math", ["math-l5?"]),
        ("mbpp", ["mbpp?"]),
        ("winogrande", ["winogrande?"]),
    ],
)
def test_any_pair_of_the_models_is_a_table(data: Path, name: str, queries: list[str]) -> None:
    table = PairTable.of_benchmark(load_benchmark(name), data, PAIR)
    assert list(table.outcomes.queries) == queries
    assert (table.strong_scores.tolist(), table.weak_scores.tolist()) == ([1.0], [0.0])
    assert table.in_per_cent


def test_a_judges_scores_keep_their_scale(tmp_path: Path) -> None:
    scores = [{"big": [9, 7], "small": 5}, {"big": 3, "small": None}]
    rows = [{"question_id": n, "prompt": f"P{n}?", "scores": each} for n, each in enumerate(scores)]
    write(tmp_path / "arena_bench_v1" / "scores.jsonl.gz", rows)
    table = PairTable.of_benchmark(load_benchmark("arena-bench"), tmp_path, PAIR)
    assert list(table.outcomes.queries) == ["P0?"]  # the other was not asked of both
    assert (table.strong_scores.tolist(), table.weak_scores.tolist()) == ([8.0], [5.0])
    assert (table.scale, table.in_per_cent) == (9.0, False)


def test_recorded_dollars_are_those_of_the_answers(data: Path) -> None:
    costs = PairTable.of_benchmark(load_benchmark("mbpp"), data, PAIR).costs
    assert costs is not None
    assert (costs.strong_usd.tolist(), costs.weak_usd.tolist()) == ([0.01], [0.001])


def test_the_folder_itself_may_be_named(data: Path) -> None:
    assert len(load_benchmark("zeroeval-crux").load(data / "zeroeval")) == 1


def test_a_model_that_is_not_there_is_answered_with_those_that_are(data: Path) -> None:
    with pytest.raises(UnknownNameError, match="'smal'.*Did you mean 'small'"):
        PairTable.of_benchmark(load_benchmark("mbpp"), data, ModelPair("big", "smal"))


def test_a_missing_folder_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no folder mmlu_pro/.*MMLU-Pro per question"):
        load_benchmark("mmlu-pro").load(tmp_path)


def test_two_files_are_not_guessed_between(data: Path) -> None:
    write(data / "zeroeval" / "more.jsonl.gz", [])
    with pytest.raises(DataError, match="must hold one file .* holds 2"):
        load_benchmark("zeroeval-crux").load(data)


def test_a_part_that_is_absent_is_named(tmp_path: Path) -> None:
    row = {"task": "crux", "id": "1", "question": "Q?", "correct": {"big": 1}}
    write(tmp_path / "zeroeval" / "answers.jsonl.gz", [row])
    with pytest.raises(DataError, match=r"holds no question of zeroeval/math-l5"):
        load_benchmark("zeroeval-math").load(tmp_path)


@needs_data
@pytest.mark.parametrize(
    ("name", "n"),
    [("mmlu-pro", 5_222), ("zeroeval-crux", 800), ("zeroeval-math", 721), ("mbpp", 427), ("winogrande", 1_267)],
)
def test_the_published_files_have_the_known_sizes(name: str, n: int) -> None:
    table = PairTable.of_benchmark(load_benchmark(name), os.environ["TURNOUT_DATA"])
    assert len(table) == n
    assert table.strong_scores.mean() > table.weak_scores.mean()
