"""Questions to ask models, with the known answer where there is one and models' answers where they are stored."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path

from turnout.data.jsonl import read_jsonl
from turnout.errors import DataError, EmptyDataError
from turnout.types import JSON

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
"""What choices are named by; no question has more than these."""

_KEYS = frozenset(
    {
        "id", "query", "prompt", "key", "choices", "source", "slice", "answers",
        "cost_usd", "input_tokens", "output_tokens",
    }
)  # fmt: skip
_KEYS_OF_NUMBERS = ("cost_usd", "input_tokens", "output_tokens")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model said to a question, and what that took, where it is known."""

    text: str
    cost_usd: float | None = None
    input_tokens: float | None = None
    output_tokens: float | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """One question. `id` names it in every file that is about it."""

    id: str
    query: str
    """Without the choices."""
    key: JSON = None
    """The known answer, in the form that the grader wants (see turnout.data.grading); None if there is none."""
    choices: tuple[str, ...] = ()
    prompt: str = ""
    """What models are asked instead of `text`, such as the question behind worked examples."""
    source: str = ""
    slice: str = ""
    answers: Mapping[str, Answer] = field(default_factory=dict)
    """Model → its stored answer."""

    @property
    def text(self) -> str:
        """What a router sees: the query, and below it the choices as lettered lines.

        >>> print(Question("1", "Which is a river?", choices=("Rhine", "Rome")).text)
        Which is a river?
        A. Rhine
        B. Rome
        """
        return "\n".join([self.query, *lettered(self.choices)])

    def has_answers(self, models: Set[str]) -> bool:
        """Whether all these models have answered."""
        return models <= self.answers.keys()


def lettered(choices: Iterable[str]) -> list[str]:
    """Each choice behind its letter: `A. Rhine`."""
    return [f"{letter}. {choice}" for letter, choice in zip(LETTERS, choices, strict=False)]


def read_questions(path: str | Path) -> Iterator[Question]:
    """The questions of a JSON Lines file, one by one; docs/reference/data.md lists the keys.

    Without `id` a question is named by its line.

    Raises:
        DataError: a line cannot be used, or repeats an id; names the file and the line.
        EmptyDataError: there is no question.
    """
    line_of: dict[str, int] = {}
    for line, row in read_jsonl(path):
        try:
            question = _question(row, line)
            if question.id in line_of:
                raise ValueError(f"the id '{question.id}' is that of line {line_of[question.id]} too.")
        except ValueError as error:
            raise DataError(str(error), path=path, line=line) from error
        line_of[question.id] = line
        yield question
    if not line_of:
        raise EmptyDataError("holds no question.", path=path)


def _question(row: Mapping[str, JSON], line: int) -> Question:
    if unknown := row.keys() - _KEYS:
        raise ValueError(f"unknown key '{min(unknown)}'; expected {', '.join(sorted(_KEYS))}.")
    query = _text(row, "query")
    if not query.strip():
        raise ValueError("'query' is missing or empty.")
    choices = row.get("choices") or []
    if not isinstance(choices, list) or not all(isinstance(choice, str) for choice in choices):
        raise ValueError(f"'choices' must be a list of texts, got {choices!r}.")
    if len(choices) == 1 or len(choices) > len(LETTERS):
        raise ValueError(f"'choices' must be from 2 to {len(LETTERS)}, got {len(choices)}.")
    return Question(
        id=_id(row, line),
        query=query,
        key=row.get("key"),
        choices=tuple(choices),
        prompt=_text(row, "prompt"),
        source=_text(row, "source"),
        slice=_text(row, "slice"),
        answers=_answers(row),
    )


def _id(row: Mapping[str, JSON], line: int) -> str:
    value = row.get("id", line)
    if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        raise ValueError(f"'id' must be text or a whole number, got {value!r}.")
    return str(value)


def _text(row: Mapping[str, JSON], key: str) -> str:
    value = row.get(key, "")
    if not isinstance(value, str):
        raise ValueError(f"'{key}' must be text, got {value!r}.")
    return value


def _answers(row: Mapping[str, JSON]) -> dict[str, Answer]:
    texts = _by_model(row, "answers", str, "text")
    numbers = {key: _by_model(row, key, (int, float), "a number") for key in _KEYS_OF_NUMBERS}
    for key, values in numbers.items():
        for model, value in values.items():
            if model not in texts:
                raise ValueError(f"'{key}' names '{model}', but 'answers' does not.")
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"'{key}' of '{model}' must be at least 0, got {value!r}.")
    return {
        model: Answer(text, *(numbers[key].get(model) for key in _KEYS_OF_NUMBERS)) for model, text in texts.items()
    }


def _by_model(row: Mapping[str, JSON], key: str, kinds: type | tuple[type, ...], kind_name: str) -> dict[str, JSON]:
    values = row.get(key) or {}
    if not isinstance(values, dict):
        raise ValueError(f"'{key}' must be an object {{model: …}}, got {values!r}.")
    for model, value in values.items():
        if not model or not isinstance(value, kinds) or isinstance(value, bool):
            raise ValueError(f"'{key}' of '{model}' must be {kind_name}, got {value!r}.")
    return values


def models_of(questions: Sequence[Question]) -> tuple[str, ...]:
    """The models that have answered at least one of the questions, sorted."""
    return tuple(sorted({model for question in questions for model in question.answers}))
