"""AlpacaEval annotations: a judge's preference between two models' answers, from 1 (first) to 2 (second)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from turnout.data.importers.source import LeftOut, Row, Source, text_of
from turnout.data.jsonl import read_jsonl
from turnout.errors import DataError
from turnout.types import JSON

IN_DOUBT = frozenset({"gpt4_turbo", "gpt4_1106_preview", "example", "gpt4_gamed"})
"""Names in the leaderboard's files that are the reference itself, or no model."""


class AlpacaEval(Source):
    """The annotations that the tool writes: instruction, generator_1, generator_2, preference."""

    name = "alpaca-eval"
    kind = "battles"
    expects = "AlpacaEval annotations.json: instruction, generator_1, generator_2, preference (1 to 2)"

    def convert(self, row: Row) -> dict[str, JSON]:
        """One annotation as a battle."""
        return _battle(text_of(row, "instruction"), row["generator_1"], row["generator_2"], row["preference"])


class AlpacaEvalLeaderboard(Source):
    """Preferences of many models against a reference, with the prompts in a file beside them.

    Rows: prompt_id, ref, model, judge, pref (1 = the reference is preferred, 2 = the model). `prompts.jsonl` in the
    same folder: prompt_id, prompt.
    """

    name = "alpaca-eval-leaderboard"
    kind = "battles"
    expects = "AlpacaEval preferences by prompt: prompt_id, ref, model, pref; with prompts.jsonl(.gz) beside it"

    def __init__(self, *, ref: str = "gpt4_1106_preview") -> None:
        self.ref = ref

    def rows(self, path: Path) -> Iterator[tuple[int, Row]]:
        """The preferences, each with its prompt's text."""
        beside = next((p for name in ("prompts.jsonl.gz", "prompts.jsonl") if (p := path.parent / name).exists()), None)
        if beside is None:
            raise DataError("needs prompts.jsonl or prompts.jsonl.gz in the same folder.", path=path)
        prompts = {row.get("prompt_id"): row.get("prompt") for _, row in read_jsonl(beside)}
        for line, row in read_jsonl(path):
            yield line, {**row, "prompt": prompts.get(row.get("prompt_id"))}

    def convert(self, row: Row) -> dict[str, JSON]:
        """One preference as a battle between the reference and the model."""
        if row["ref"] != self.ref:
            raise LeftOut("against another reference")
        if row["model"] in IN_DOUBT:
            raise LeftOut("of a name that is no other model")
        return _battle(text_of(row, "prompt"), row["ref"], row["model"], row["pref"])


class AlpacaEvalPair(Source):
    """The paper's pair alone: prompt, and a column pref_<judge> for each judge; the mean of the judges counts."""

    name = "alpaca-eval-pair"
    kind = "battles"
    expects = "AlpacaEval judgements of gpt-4-1106-preview (1) against mixtral-8x7b (2): prompt, pref_<judge> …"

    def convert(self, row: Row) -> dict[str, JSON]:
        """One prompt as a battle."""
        judged = [value for key, value in row.items() if key.startswith("pref_") and value is not None]
        if not judged:
            raise LeftOut("without a judgement")
        preference = sum(judged) / len(judged)
        return _battle(text_of(row, "prompt"), "gpt-4-1106-preview", "mixtral-8x7b-instruct-v0.1", preference)


def _battle(query: str, first: JSON, second: JSON, preference: JSON) -> dict[str, JSON]:
    if preference is None:
        raise LeftOut("without a judgement")
    if not isinstance(preference, int | float) or not 1 <= preference <= 2:
        raise ValueError(f"a preference must be from 1 (first) to 2 (second), got {preference!r}.")
    return {"query": query, "model_a": first, "model_b": second, "share_a": 2.0 - preference, "source": "alpaca-eval"}
