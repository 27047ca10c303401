"""Tables of many models' answers: pairs that the paper's routers were not trained for, newer models, recorded dollars.

MMLU-Pro, ZeroEval, RouterBench and Arena-Bench publish what each model scored on each question. Name any two of their
models with `--pair`; which there are is said where a name is wrong.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from turnout.data.importers.right_or_wrong import ArenaBench, MMLUPro, RouterBench, ZeroEval
from turnout.data.importers.source import Reading, Source
from turnout.data.outcomes import Outcomes
from turnout.errors import DataError
from turnout.evaluation.benchmarks.base import Benchmark
from turnout.types import ModelPair


def outcomes_below(data_dir: Path, folder: str, source: Source, part: str = "") -> Outcomes:
    """The outcomes of `folder`, which stands in `data_dir` or is it.

    Args:
        data_dir: what `--data` names.
        folder: holds one file of JSON Lines, packed or not.
        source: how a line is read.
        part: only the queries from this source, such as `zeroeval/crux`; empty means all.

    Raises:
        DataError: there is no such folder, not one file in it, or no query of that part.
    """
    home = data_dir / folder
    if not home.is_dir():
        if data_dir.resolve().name != folder:
            raise DataError(f"holds no folder {folder}/. Expected there: {source.expects}.", path=data_dir)
        home = data_dir
    files = sorted([*home.glob("*.jsonl"), *home.glob("*.jsonl.gz")])
    if len(files) != 1:
        raise DataError(
            f"must hold one file *.jsonl or *.jsonl.gz, holds {len(files)}. Expected: {source.expects}.", path=home
        )
    outcomes = Reading(source, files[0]).to_memory().data
    assert isinstance(outcomes, Outcomes)
    if part:
        outcomes = outcomes.take(np.array([name == part for name in outcomes.source], dtype=bool))
    if not len(outcomes):
        raise DataError(f"holds no question of {part or source.name}.", path=files[0])
    return outcomes


_ZEROEVAL = "https://github.com/WildEval/ZeroEval (result files)"
_ROUTERBENCH = "https://huggingface.co/datasets/withmartian/routerbench"
_ROUTERBENCH_PAIR = ModelPair("gpt-4-1106-preview", "mistralai/mixtral-8x7b-chat")

MMLU_PRO = Benchmark(
    name="mmlu-pro",
    title="MMLU-Pro without MMLU",
    source="https://github.com/TIGER-AI-Lab/MMLU-Pro (answers of each model)",
    revision="models of 2023 to 2026, without the questions that MMLU-Pro took over from MMLU",
    licence="Apache-2.0 (outcomes); the questions' own licences are not verified",
    pair=ModelPair("gpt4o_may2024", "Mixtral-8x7B-Instruct-v0.1"),
    read=lambda folder: outcomes_below(folder, "mmlu_pro", MMLUPro()),
)

ZEROEVAL_CRUX = Benchmark(
    name="zeroeval-crux",
    title="CRUX (ZeroEval)",
    source=_ZEROEVAL,
    revision="models up to 2024-12",
    licence="Apache-2.0 (outcomes)",
    pair=ModelPair("gpt-4o-2024-05-13", "Mixtral-8x7B-Instruct-v0.1"),
    read=lambda folder: outcomes_below(folder, "zeroeval", ZeroEval(), "zeroeval/crux"),
)

ZEROEVAL_MATH = Benchmark(
    name="zeroeval-math",
    title="MATH level 5 (ZeroEval)",
    source=_ZEROEVAL,
    revision="models up to 2024-12",
    licence="Apache-2.0 (outcomes); the questions' own licence is not verified",
    pair=ModelPair("Meta-Llama-3.1-70B-Instruct", "Meta-Llama-3.1-8B-Instruct"),
    read=lambda folder: outcomes_below(folder, "zeroeval", ZeroEval(), "zeroeval/math-l5"),
)

MBPP = Benchmark(
    name="mbpp",
    title="MBPP (RouterBench)",
    source=_ROUTERBENCH,
    revision="the subset MBPP; US dollars as recorded there",
    licence="MIT (outcomes)",
    pair=_ROUTERBENCH_PAIR,
    read=lambda folder: outcomes_below(folder, "routerbench_subset", RouterBench(), "routerbench/mbpp"),
)

WINOGRANDE = Benchmark(
    name="winogrande",
    title="WinoGrande (RouterBench)",
    source=_ROUTERBENCH,
    revision="each prompt with the same examples before its question; US dollars as recorded there",
    licence="MIT (outcomes)",
    pair=_ROUTERBENCH_PAIR,
    read=lambda folder: outcomes_below(folder, "routerbench_subset", RouterBench(), "routerbench/winogrande"),
)

ARENA_BENCH = Benchmark(
    name="arena-bench",
    title="Arena-Bench",
    source="Arena-Bench v1 (prompts of Chatbot Arena, a judge's scores of each model's answer)",
    revision="16 models, where a score is a list of runs their mean",
    licence="Apache-2.0 (scores), CC-BY-4.0 (prompts)",
    scale=(1.0, 10.0),
    units="prompts",
    pair=ModelPair("gpt-4-1106-preview", "mixtral-8x7b-instruct-v0.1"),
    read=lambda folder: outcomes_below(folder, "arena_bench_v1", ArenaBench()),
)
