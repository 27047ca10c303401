"""Benchmarks' own files as questions for `turnout collect` and `turnout data golden`."""

from __future__ import annotations

from turnout.data.importers.source import Row, Source, text_of
from turnout.data.questions import LETTERS
from turnout.types import JSON


class MMLUQuestions(Source):
    """MMLU as on the hub: the key is the right choice's letter, the slice the subject."""

    name = "mmlu-questions"
    kind = "questions"
    expects = "cais/mmlu (Parquet): question, subject, choices, answer (the right choice's place from 0)"

    def convert(self, row: Row) -> dict[str, JSON]:
        """One question."""
        choices, answer = row["choices"], row["answer"]
        if not isinstance(choices, list) or not all(isinstance(choice, str) for choice in choices):
            raise ValueError(f"'choices' must be a list of texts, got {choices!r}.")
        if not isinstance(answer, int) or not 0 <= answer < len(choices):
            raise ValueError(f"'answer' must be from 0 to {len(choices) - 1}, got {answer!r}.")
        return {
            "query": text_of(row, "question"),
            "choices": choices,
            "key": LETTERS[answer],
            "source": "mmlu",
            "slice": text_of(row, "subject"),
        }


class GSM8KQuestions(Source):
    """GSM8K as on the hub: the key is the worked answer, whose last number counts."""

    name = "gsm8k-questions"
    kind = "questions"
    expects = "openai/gsm8k (Parquet): question, answer (ends in #### NUMBER)"

    def convert(self, row: Row) -> dict[str, JSON]:
        """One question."""
        worked, marks, number = text_of(row, "answer").rpartition("####")
        if not marks or not number.strip():
            raise ValueError(f"'answer' must end in #### and a number, got {worked[-80:]!r}.")
        return {"query": text_of(row, "question"), "key": number.strip(), "source": "gsm8k"}


class MTBenchQuestions(Source):
    """MT Bench's first turns; there is no key, since a judge scores the answers."""

    name = "mt-bench-questions"
    kind = "questions"
    expects = "MT Bench question.jsonl: question_id, category, turns"

    def convert(self, row: Row) -> dict[str, JSON]:
        """One question's first turn."""
        turns = row["turns"]
        if not isinstance(turns, list) or not turns or not isinstance(turns[0], str):
            raise ValueError(f"'turns' must be a list of texts, got {turns!r}.")
        return {
            "id": f"mt-bench/{row['question_id']}",
            "query": turns[0],
            "source": "mt-bench",
            "slice": row.get("category", ""),
        }
