"""Chatbot Arena votes: the 55k CSV, the JSON forms with turns or conversations, and judged battles in its columns."""

from __future__ import annotations

import json
from typing import ClassVar

from turnout.data.importers.source import Row, Source, Turns, check_turns, query_of_turns, text_of, winner_share
from turnout.types import JSON


class ArenaJson(Source):
    """Votes as JSON: model_a, model_b, winner, and the conversation as turns, conversation_a or a prompt."""

    name = "arena"
    kind = "battles"
    expects = "Arena votes as JSON or JSON Lines: model_a, model_b, winner, turns | conversation_a | prompt"

    def __init__(self, *, turns: str = "all") -> None:
        self.turns: Turns = check_turns(turns)

    def convert(self, row: Row) -> dict[str, JSON]:
        """One vote as a battle."""
        conversation = next((row[key] for key in ("turns", "conversation_a", "conversation") if key in row), None)
        if conversation is None:
            query = text_of(row, "prompt")
        elif isinstance(conversation, list):
            query = query_of_turns(conversation, self.turns)
        else:
            raise ValueError(f"the conversation must be a list of turns, got {conversation!r}.")
        return {
            "query": query,
            "model_a": text_of(row, "model_a"),
            "model_b": text_of(row, "model_b"),
            "share_a": winner_share(row["winner"]),
            "source": "arena",
        }


class ArenaCsv(Source):
    """Votes as CSV: the columns of lmsys-arena-human-preference-55k."""

    name = "arena-55k"
    kind = "battles"
    expects = "lmsys-arena-human-preference-55k CSV: model_a, model_b, prompt, winner_model_a, …"

    def __init__(self, *, turns: str = "all") -> None:
        self.turns: Turns = check_turns(turns)

    def convert(self, row: Row) -> dict[str, JSON]:
        """One vote as a battle; `prompt` is a JSON list of turns, of which some may be null."""
        return {
            "query": query_of_turns(turns_of(row["prompt"]), self.turns),
            "model_a": text_of(row, "model_a"),
            "model_b": text_of(row, "model_b"),
            "share_a": vote_of(row),
            "source": "arena",
        }


class JudgeBattles(Source):
    """A judge's battles with the columns of `routellm/gpt4_judge_battles`, such as the release's golden labels too."""

    name = "gpt4-judge-battles"
    kind = "battles"
    expects = "routellm/gpt4_judge_battles (Parquet): model_a, model_b, prompt, winner_model_a, …"
    source_name: ClassVar[str] = "gpt4-judge"

    def __init__(self, *, turns: str = "all") -> None:
        self.turns: Turns = check_turns(turns)

    def convert(self, row: Row) -> dict[str, JSON]:
        """One judgement as a battle; `prompt` is text, or a JSON list of turns as in the votes."""
        prompt = text_of(row, "prompt")
        try:
            turns = turns_of(prompt)
        except ValueError:
            turns = [prompt]  # a text, though it may begin with a bracket
        return {
            "query": query_of_turns(turns, self.turns),
            "model_a": text_of(row, "model_a"),
            "model_b": text_of(row, "model_b"),
            "share_a": vote_of(row),
            "source": self.source_name,
        }


class MMLUBattles(JudgeBattles):
    """The released golden labels: the same columns, decided by MMLU's key."""

    name = "mmlu-battles"
    expects = "routellm/mmlu_battles (Parquet): model_a, model_b, prompt, winner_model_a, …"
    source_name = "mmlu-validation"


def vote_of(row: Row) -> float:
    """Model a's share, of three columns of which one is 1."""
    votes = {column: str(row[column]) for column in ("winner_model_a", "winner_tie", "winner_model_b")}
    if sorted(votes.values()) != ["0", "0", "1"]:
        raise ValueError(f"exactly one of {', '.join(votes)} must be 1, got {list(votes.values())}.")
    return 1.0 if votes["winner_model_a"] == "1" else 0.5 if votes["winner_tie"] == "1" else 0.0


def turns_of(prompt: str) -> list[JSON]:
    """The list that a prompt is as JSON."""
    turns = json.loads(prompt, strict=False)  # some turns hold raw line breaks
    if not isinstance(turns, list):
        raise ValueError(f"'prompt' must be a JSON list of turns, got {turns!r}.")
    return turns
