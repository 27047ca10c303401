"""Collecting outcomes: models are asked a benchmark's questions once, and their answers graded.

The answers lie in a replies file (turnout.data.replies), so that grading can be done again, another way, for nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from turnout.data.asking import Asking
from turnout.data.questions import Question
from turnout.data.replies import CallName, Replies


def prompt_of(question: Question, instruction: str = "") -> str:
    """What a model is asked: the question's own prompt if it has one, else its text and below it the instruction.

    >>> print(prompt_of(Question("1", "1 + 1?"), "Answer with the number."))
    1 + 1?
    <BLANKLINE>
    Answer with the number.
    """
    if question.prompt:
        return question.prompt
    return f"{question.text}\n\n{instruction}" if instruction else question.text


async def collect(
    questions: Sequence[Question],
    models: Sequence[str],
    asking: Asking,
    *,
    instruction: str = "",
    done: Callable[[], None] = lambda: None,
) -> None:
    """Ask every model every question, question by question; the replies are in `asking.replies`.

    Args:
        questions: what to ask.
        models: whom to ask; `asking` must know them.
        asking: does the asking; holds rate limits, budget and replies.
        instruction: see `prompt_of`.
        done: is called after each of the len(questions) × len(models) answers.

    Raises:
        TurnoutError: see `Asking.each`. What was answered until then is kept.
    """

    async def ask(pending: tuple[Question, str]) -> None:
        question, model = pending
        await asking.ask(CallName(question.id, model), [{"role": "user", "content": prompt_of(question, instruction)}])

    await asking.each(((question, model) for question in questions for model in models), ask, done=done)


def answered(questions: Iterable[Question], models: Sequence[str], replies: Replies) -> list[Question]:
    """The questions with what these models have said to them so far, and no other answers."""
    return [
        replace(
            question,
            answers={
                model: reply.as_answer()
                for model in models
                if (reply := replies.get(CallName(question.id, model))) is not None
            },
        )
        for question in questions
    ]
