import numpy as np
import pytest

from turnout.data.golden import grade_answers
from turnout.data.grading import GRADERS
from turnout.data.questions import Answer, Question
from turnout.errors import DataError, EmptyDataError
from turnout.types import ModelPair


def question(id_: str, key: object, answers: dict[str, str], **more: float) -> Question:
    return Question(
        id_, f"How many {id_}?", key=key, source="s", answers={m: Answer(t, **more) for m, t in answers.items()}
    )


QUESTIONS = [
    question("cats", 1, {"big": "1", "small": "2"}, cost_usd=0.5),
    question("dogs", 2, {"big": "2", "small": "It is 2."}),
    question("birds", 3, {"big": "4", "small": "3"}),
    question("fish", 4, {"big": "4", "small": "no idea"}),
    question("ants", 5, {"big": "5"}),
    question("bees", "many", {}),
]


def test_answers_become_outcomes_and_battles() -> None:
    graded = grade_answers(QUESTIONS, GRADERS["number"])
    outcomes = graded.outcomes
    assert outcomes.models == ("big", "small")
    assert outcomes.ids == ["cats", "dogs", "birds", "fish", "ants"]
    np.testing.assert_array_equal(outcomes.scores, [[1, 0], [1, 1], [0, 1], [1, 0], [1, np.nan]])
    assert graded.unreadable == {"big": 0, "small": 1}
    assert outcomes.cost_usd is not None
    np.testing.assert_array_equal(outcomes.cost_usd[:2], [[0.5, 0.5], [np.nan, np.nan]])
    assert outcomes.output_tokens is None
    battles = outcomes.battles(ModelPair("big", "small"), scale=1)
    assert battles.share_a.tolist() == [1.0, 0.5, 0.0, 1.0]
    assert battles.source == ["s"] * 4


def test_a_bad_key_names_the_question() -> None:
    with pytest.raises(DataError, match="question 'x': 'key' must be a number"):
        grade_answers([question("x", "many", {"big": "1"})], GRADERS["number"])


def test_no_answer_is_an_error() -> None:
    with pytest.raises(EmptyDataError, match="No question has an answer"):
        grade_answers([question("x", 1, {})], GRADERS["number"])
