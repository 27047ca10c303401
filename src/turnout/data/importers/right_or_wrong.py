"""Benchmarks of many models: right or wrong, or a score, on each question."""

from __future__ import annotations

import ast
import statistics
from typing import ClassVar

from turnout.data.importers.source import LeftOut, Row, Source, text_of
from turnout.data.questions import lettered
from turnout.types import JSON


class MMLUPro(Source):
    """MMLU-Pro answers of many models.

    Rows with `src` beginning with `ori_mmlu` are MMLU's own test questions: by default they are left out.
    """

    name = "mmlu-pro"
    kind = "outcomes"
    expects = "MMLU-Pro per question: question, options, src, correct {model: 0 | 1}"
    IGNORED: ClassVar = frozenset({"DeepSeek-Coder-V2", "deepseek_v2_chat"})
    """Models with answers to few questions, or of doubtful origin."""

    def __init__(self, *, with_mmlu: bool = False) -> None:
        self.with_mmlu = with_mmlu

    def convert(self, row: Row) -> dict[str, JSON]:
        """One question, with its options as lettered lines."""
        if not self.with_mmlu and text_of(row, "src").startswith("ori_mmlu"):
            raise LeftOut("that are MMLU questions")
        return {
            "id": f"mmlu-pro/{row['idx']}",
            "query": "\n".join([text_of(row, "question"), *lettered(row["options"])]),
            "source": f"mmlu-pro/{text_of(row, 'src').split('-')[0]}",
            "slice": row.get("category", ""),
            "scores": {model: right for model, right in _known(row["correct"]).items() if model not in self.IGNORED},
        }


class ZeroEval(Source):
    """ZeroEval answers of many models: CRUX (code) and MATH level 5."""

    name = "zeroeval"
    kind = "outcomes"
    expects = "ZeroEval per question: task, id, question, correct {model: 0 | 1}"

    def convert(self, row: Row) -> dict[str, JSON]:
        """One question."""
        return {
            "id": f"zeroeval/{row['id']}",
            "query": text_of(row, "question"),
            "source": f"zeroeval/{text_of(row, 'task')}",
            "scores": _known(row["correct"]),
        }


class RouterBench(Source):
    """RouterBench: a score and US dollars for each model's answer."""

    name = "routerbench"
    kind = "outcomes"
    expects = "RouterBench per prompt: sample_id, eval_name, prompt, score {model: …}, cost {model: US dollars}"

    def convert(self, row: Row) -> dict[str, JSON]:
        """One prompt."""
        return {
            "id": f"routerbench/{row['sample_id']}",
            "query": text_of(row, "prompt"),
            "source": f"routerbench/{text_of(row, 'eval_name').split('.')[0]}",
            "scores": _known(row["score"]),
            "cost_usd": _known(row["cost"]),
        }


class ArenaBench(Source):
    """Arena prompts with a judge's scores from 1 to 10: a number, a list of runs (their mean counts), or null."""

    name = "arena-bench"
    kind = "outcomes"
    expects = "Arena-Bench per prompt: question_id, prompt, scores {model: number | [numbers] | null}"

    def convert(self, row: Row) -> dict[str, JSON]:
        """One prompt."""
        scores = {model: score for model, value in row["scores"].items() if (score := _mean(value)) is not None}
        return {
            "id": f"arena-bench/{row['question_id']}",
            "query": text_of(row, "prompt"),
            "source": "arena-bench",
            "scores": _known(scores),
        }


class LLMPool(Source):
    """A pool of small models on mixed benchmarks; `scores` is an object, or one written as text."""

    name = "llm-pool"
    kind = "outcomes"
    expects = "Scores of a pool of models: question, scores {model: …}"

    def convert(self, row: Row) -> dict[str, JSON]:
        """One question."""
        scores = row["scores"]
        if isinstance(scores, str):
            scores = ast.literal_eval(scores)  # a Python literal, as the source writes it: data, not code
        return {"query": text_of(row, "question"), "source": "llm-pool", "scores": _known(scores)}


def _known(values: JSON) -> dict[str, float]:
    """The numbers of an object {model: number | null}; right or wrong may be written true and false."""
    if not isinstance(values, dict):
        raise ValueError(f"expected an object {{model: number}}, got {values!r}.")
    for model, value in values.items():
        if value is not None and not isinstance(value, int | float):
            raise ValueError(f"the value of '{model}' must be a number, got {value!r}.")
    known = {model: float(value) for model, value in values.items() if value is not None}
    if not known:
        raise LeftOut("without a score")
    return known


def _mean(value: JSON) -> float | None:
    runs = [run for run in (value if isinstance(value, list) else [value]) if run is not None]
    return float(statistics.fmean(runs)) if runs else None
