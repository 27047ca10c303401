"""Golden labels (paper, section 3.1): stored answers, compared with the known key, become outcomes.

`Outcomes.battles` makes battles of them: the model that is right wins; both right or both wrong is a tie.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from turnout.data.grading import Grader
from turnout.data.outcomes import Outcomes
from turnout.data.questions import Answer, Question, models_of
from turnout.errors import DataError, EmptyDataError
from turnout.types import JSON

_NUMBERS = ("cost_usd", "input_tokens", "output_tokens")


@dataclass(frozen=True, eq=False)
class Graded:
    """Outcomes of graded answers, and how many answers held nothing that could be graded."""

    outcomes: Outcomes
    """A score in [0, 1] for each answer; NaN where a model has not answered."""
    unreadable: Mapping[str, int]
    """Model → answers that the grader could not read. They count as wrong."""

    def by_model(self) -> dict[str, dict[str, JSON]]:
        """Model → how many answers, their mean score, how many could not be read, and their dollars where known."""
        found: dict[str, dict[str, JSON]] = {}
        for column, model in enumerate(self.outcomes.models):
            scores = self.outcomes.scores[:, column]
            known = np.isfinite(scores)
            found[model] = {
                "answers": int(known.sum()),
                "mean_score": float(scores[known].mean()),
                "unreadable": self.unreadable.get(model, 0),
            }
            costs = None if self.outcomes.cost_usd is None else self.outcomes.cost_usd[:, column]
            if costs is not None and np.isfinite(costs).any():
                found[model]["cost_usd"] = float(np.nansum(costs))
        return found

    def text(self) -> str:
        """The same as lines for people."""
        lines = []
        for model, found in self.by_model().items():
            line = f"{model}: mean score {found['mean_score']:.3f} on {found['answers']:,} questions"
            line += f", {found['unreadable']:,} unreadable" if found["unreadable"] else ""
            line += f", ${found['cost_usd']:.3g}" if "cost_usd" in found else ""
            lines.append(line)
        return "\n".join(lines)


def grade_answers(questions: Iterable[Question], grader: Grader) -> Graded:
    """The outcomes of all questions that at least one model has answered.

    Raises:
        DataError: a question has no key that the grader can use; names the question.
        EmptyDataError: no question has an answer.
    """
    answered = [question for question in questions if question.answers]
    if not answered:
        raise EmptyDataError("No question has an answer: 'answers' is an object {model: text}.")
    unreadable: Counter[str] = Counter()
    scores: list[dict[str, float]] = []
    for question in answered:
        check_key(question, grader)
        row = {}
        for model, answer in question.answers.items():
            score = grader.grade(question, answer.text)
            unreadable[model] += score is None
            row[model] = score or 0.0
        scores.append(row)
    models = models_of(answered)
    outcomes = Outcomes.from_columns(
        [question.text for question in answered],
        {model: [row.get(model, float("nan")) for row in scores] for model in models},
        ids=[question.id for question in answered],
        source=[question.source for question in answered],
        slice=[question.slice for question in answered],
        **{name: columns for name in _NUMBERS if (columns := _columns(answered, models, name))},
    )
    return Graded(outcomes, {model: unreadable[model] for model in models})


def check_key(question: Question, grader: Grader) -> None:
    """Raise a DataError that names the question if its key cannot be used."""
    try:
        grader.check(question)
    except ValueError as error:
        raise DataError(f"question '{question.id}': {error}") from error


def _columns(questions: list[Question], models: tuple[str, ...], name: str) -> dict[str, list[float]]:
    """Model → one of an answer's numbers for each question; empty if it is known of no answer."""
    nothing = Answer("")
    columns = {
        model: [
            float("nan") if value is None else float(value)
            for question in questions
            for value in (getattr(question.answers.get(model, nothing), name),)
        ]
        for model in models
    }
    return columns if any(value == value for column in columns.values() for value in column) else {}
