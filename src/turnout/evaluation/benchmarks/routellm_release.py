"""MMLU, GSM8K and MT Bench with the outcomes that were released with the paper, for its strong and its weak model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from turnout.data.importers.imported import Imported
from turnout.data.importers.routellm_release import STRONG, WEAK, read_gsm8k, read_mmlu, read_mt_bench
from turnout.data.outcomes import Outcomes
from turnout.errors import DataError
from turnout.evaluation.benchmarks.base import Benchmark
from turnout.types import ModelPair

SOURCE = "https://github.com/lm-sys/RouteLLM (evaluation files)"
REVISION = "as released with arXiv 2406.18665v4, without the questions listed in contaminated_prompts.jsonl"
PAIR = ModelPair(STRONG, WEAK)


def release_folder(data_dir: Path, benchmark: str) -> Path:
    """The folder that holds `benchmark/`: the one named, or its `routellm_release/`.

    `data_dir` may also be the benchmark's own folder.

    Raises:
        DataError: none of them holds it.
    """
    for folder in (data_dir / "routellm_release", data_dir):
        if (folder / benchmark).is_dir():
            return folder
    if data_dir.resolve().name == benchmark:
        return data_dir.resolve().parent
    raise DataError(
        f"holds no folder {benchmark}/ or routellm_release/{benchmark}/. Expected the evaluation files that were "
        f"released with the RouteLLM paper: {SOURCE}",
        path=data_dir,
    )


def _outcomes(read: Callable[[Path], Imported], data_dir: Path, benchmark: str) -> Outcomes:
    outcomes = read(release_folder(data_dir, benchmark)).data
    assert isinstance(outcomes, Outcomes)
    return outcomes


MMLU = Benchmark(
    name="mmlu",
    title="MMLU",
    source=SOURCE,
    revision=REVISION,
    licence="Apache-2.0 (outcomes), MIT (questions)",
    pair=PAIR,
    read=lambda folder: _outcomes(read_mmlu, folder, "mmlu"),
)

GSM8K = Benchmark(
    name="gsm8k",
    title="GSM8K",
    source=SOURCE,
    revision=REVISION,
    licence="Apache-2.0 (outcomes), MIT (questions)",
    pair=PAIR,
    read=lambda folder: _outcomes(read_gsm8k, folder, "gsm8k"),
)

MT_BENCH = Benchmark(
    name="mt-bench",
    title="MT Bench",
    source=SOURCE,
    revision=REVISION,
    licence="Apache-2.0",
    scale=(1.0, 10.0),
    pair=PAIR,
    read=lambda folder: _outcomes(read_mt_bench, folder, "mt_bench"),
)
