"""The outcome files released with the paper: MMLU, GSM8K and MT Bench for gpt-4-1106-preview and Mixtral 8x7B.

Layout (the evaluation folders of the lm-sys/RouteLLM repository)::

    mmlu/mmlu_<subject>.csv             prompt, and a True/False column for each model
    gsm8k/gsm8k_responses.csv           the same, and the models' answers
    mt_bench/question.jsonl             question_id, category, turns
    mt_bench/judgements.jsonl           question_id, model, turn, score
    <benchmark>/contaminated_prompts.jsonl      eval_prompt: questions that were in the paper's training data
"""

from __future__ import annotations

import csv
import io
import math
from abc import abstractmethod
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from turnout.data.importers.imported import Imported
from turnout.data.importers.source import Row, Source
from turnout.data.jsonl import open_bytes, read_jsonl
from turnout.data.outcomes import Outcomes
from turnout.errors import DataError, EmptyDataError
from turnout.types import JSON

STRONG = "gpt-4-1106-preview"
WEAK = "mistralai/Mixtral-8x7B-Instruct-v0.1"
_TRUTH = {"True": 1.0, "False": 0.0}


def read_mmlu(folder: str | Path, *, decontaminate: bool = True) -> Imported:
    """MMLU, 5-shot: right or wrong on each question; the slice is the subject.

    Args:
        folder: the release's folder, which holds `mmlu/`.
        decontaminate: leave out the questions that the release lists as contaminated.

    Raises:
        DataError: a file is absent or a line cannot be used; names the file and the line.
    """
    home = Path(folder) / "mmlu"
    paths = sorted(home.glob("mmlu_*.csv"))
    if not paths:
        raise DataError("no file mmlu_<subject>.csv: expected the evaluation files of the RouteLLM release.", path=home)
    rows = [(path.stem.removeprefix("mmlu_"), line, row) for path in paths for line, row in _csv_rows(path)]
    return _right_or_wrong("mmlu", home, rows, decontaminate)


def read_gsm8k(folder: str | Path, *, decontaminate: bool = True) -> Imported:
    """GSM8K, 8-shot: right or wrong on each question. Arguments and errors as `read_mmlu`."""
    home = Path(folder) / "gsm8k"
    rows = [("", line, row) for line, row in _csv_rows(home / "gsm8k_responses.csv")]
    return _right_or_wrong("gsm8k", home, rows, decontaminate)


def read_mt_bench(folder: str | Path, *, decontaminate: bool = True) -> Imported:
    """MT Bench: a judge's score from 1 to 10, the mean of both turns; the slice is the category.

    The unit is the question, since a router decides once, on the first turn: the query is turn 1. Arguments and errors
    as `read_mmlu`.
    """
    home = Path(folder) / "mt_bench"
    scores: dict[tuple[int, str], list[float]] = defaultdict(list)
    judgements = home / "judgements.jsonl"
    for line, row in read_jsonl(judgements):
        score = row.get("score")
        if not isinstance(score, int | float) or not 1 <= score <= 10:
            raise DataError(f"'score' must be from 1 to 10, got {score!r}.", path=judgements, line=line)
        scores[_field(row, "question_id", judgements, line), _field(row, "model", judgements, line)].append(score)
    contaminated = _contaminated(home) if decontaminate else set()
    models = sorted({model for _, model in scores})
    questions = home / "question.jsonl"
    kept, dropped = [], 0
    for line, row in read_jsonl(questions):
        turns = _field(row, "turns", questions, line)
        if turns[0].strip() in contaminated:
            dropped += 1
            continue
        kept.append((_field(row, "question_id", questions, line), turns[0], str(row.get("category", ""))))
    if not kept:
        raise EmptyDataError("holds no question.", path=questions)
    return Imported(
        Outcomes.from_columns(
            [query for _, query, _ in kept],
            {model: [_mean(scores.get((number, model), [])) for number, _, _ in kept] for model in models},
            ids=[f"mt-bench/{number}" for number, _, _ in kept],
            source="mt-bench",
            slice=[category for _, _, category in kept],
        ),
        _count("contaminated", dropped),
    )


def _right_or_wrong(
    source: str, home: Path, rows: list[tuple[str, int, dict[str, str]]], decontaminate: bool
) -> Imported:
    contaminated = _contaminated(home) if decontaminate else set()
    kept = [row for row in rows if row[2]["prompt"].strip() not in contaminated]
    if not kept:
        raise EmptyDataError("holds no question.", path=home)
    return Imported(
        Outcomes.from_columns(
            [row["prompt"] for _, _, row in kept],
            {model: [_TRUTH[row[model]] for _, _, row in kept] for model in (STRONG, WEAK)},
            ids=[f"{source}/{part}/{line}" if part else f"{source}/{line}" for part, line, _ in kept],
            source=source,
            slice=[part for part, _, _ in kept],
        ),
        _count("contaminated", len(rows) - len(kept)),
    )


def _csv_rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """(line, row) of a file of questions, each checked; the line is the one on which the row ends."""
    with open_bytes(path) as file:
        reader = csv.DictReader(io.TextIOWrapper(file, encoding="utf-8", newline=""))
        missing = [name for name in ("prompt", STRONG, WEAK) if name not in (reader.fieldnames or ())]
        if missing:
            raise DataError(f"lacks the column {', '.join(missing)}.", path=path, line=1)
        try:
            for row in reader:
                for model in (STRONG, WEAK):
                    if row[model] not in _TRUTH:
                        raise DataError(
                            f"'{model}' must be True or False, got {row[model]!r}.", path=path, line=reader.line_num
                        )
                yield reader.line_num, row
        except (csv.Error, UnicodeDecodeError) as error:
            raise DataError(f"not a CSV file ({error}).", path=path, line=reader.line_num + 1) from error


def _contaminated(home: Path) -> set[str]:
    path = home / "contaminated_prompts.jsonl"
    return {_field(row, "eval_prompt", path, line).strip() for line, row in read_jsonl(path)}


def _field(row: dict[str, JSON], key: str, path: Path, line: int) -> JSON:
    if key not in row:
        raise DataError(f"'{key}' is missing.", path=path, line=line)
    return row[key]


def _mean(scores: list[float]) -> float:
    return sum(scores) / len(scores) if scores else math.nan


def _count(reason: str, rows: int) -> dict[str, int]:
    return {reason: rows} if rows else {}


class _Released(Source):
    """One benchmark of the release, from its folder."""

    kind = "outcomes"

    @abstractmethod
    def read(self, folder: Path) -> Imported:
        """The benchmark's outcomes."""

    def rows(self, path: Path) -> Iterator[tuple[int, Row]]:
        """The questions that are not contaminated."""
        return enumerate(self.read(path).data.rows(), start=1)

    def convert(self, row: Row) -> dict[str, JSON]:
        """The row as it is: it was checked when it was read."""
        return dict(row)


class ReleasedMMLU(_Released):
    """MMLU as released with the paper."""

    name = "routellm-mmlu"
    expects = "the RouteLLM release's folder that holds mmlu/"

    def read(self, folder: Path) -> Imported:
        """See `read_mmlu`."""
        return read_mmlu(folder)


class ReleasedGSM8K(_Released):
    """GSM8K as released with the paper."""

    name = "routellm-gsm8k"
    expects = "the RouteLLM release's folder that holds gsm8k/"

    def read(self, folder: Path) -> Imported:
        """See `read_gsm8k`."""
        return read_gsm8k(folder)


class ReleasedMTBench(_Released):
    """MT Bench as released with the paper."""

    name = "routellm-mt-bench"
    expects = "the RouteLLM release's folder that holds mt_bench/"

    def read(self, folder: Path) -> Imported:
        """See `read_mt_bench`."""
        return read_mt_bench(folder)
