from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from asking_runs import answers_by, asked
from scripted_provider import Provider, hang_up, plain

from turnout.call_limits import Retries
from turnout.config import ModelConfig
from turnout.data.asking import Asking, AskingSettings
from turnout.data.judge import Judge, Judgement, Judgements
from turnout.data.questions import Answer, Question
from turnout.data.replies import Replies
from turnout.errors import EmptyDataError
from turnout.types import ModelPair

PAIR = ModelPair("big", "small")


def question(id_: str, big: str, small: str) -> Question:
    return Question(id_, f"What is {id_}?", answers={"big": Answer(big), "small": Answer(small)})


def answers_shown(body: dict[str, Any]) -> tuple[str, str]:
    """The two answers in the order in which a judge was shown them."""
    user = body["messages"][1]["content"]
    first, second = re.findall(r"--- begin answer \d \[\w+\] ---\n(.*?)\n--- end answer", user, re.DOTALL)
    return first, second


def prefers_longer(body: dict[str, Any]) -> str:
    first, second = answers_shown(body)
    return f"Length.\nVerdict: {'tie' if len(first) == len(second) else 1 if len(first) > len(second) else 2}"


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    async with Provider(default=answers_by(prefers_longer)) as provider:
        yield provider


async def judged(
    provider: Provider, tmp_path: Path, *questions: Question, graded: bool = False, concurrency: int = 4
) -> tuple[Judgements, Asking]:
    settings = AskingSettings(concurrency=concurrency, retries=Retries(most=1, first_wait_s=0.01))
    models = [ModelConfig(name, provider.base_url) for name in ("judge", "small")]
    with Replies(tmp_path / "replies.jsonl") as replies:
        async with Asking(models, replies, settings) as asking:
            judge = Judge(asking, "judge", PAIR, graded=graded)
            await judge.judge(questions)
            return judge.result(questions), asking


async def test_both_orders_are_asked_and_agree(provider: Provider, tmp_path: Path) -> None:
    found, _ = await judged(
        provider,
        tmp_path,
        question("x", "long answer", "short"),
        question("y", "no", "yes, it is"),
        question("z", "a", "b"),
    )
    battles = found.battles("judge/judge")
    assert battles.share_a.tolist() == [1.0, 0.0, 0.5]
    assert (battles.pair, battles.source[0], battles.queries[0]) == (PAIR, "judge/judge", "What is x?")
    shown = {answers_shown(request.body) for request in provider.requests}
    assert {("long answer", "short"), ("short", "long answer")} < shown
    assert len(provider.requests) == 6
    assert found.position() == {
        "pairs": 3, "same": 3, "first_twice": 0, "second_twice": 0, "half": 0, "bias_rate": 0.0,
    }  # fmt: skip


async def test_a_judge_that_follows_the_place_gives_ties_and_is_found_out(provider: Provider, tmp_path: Path) -> None:
    provider.default = answers_by(lambda body: "Verdict: 2" if "slow" in answers_shown(body) else "Verdict: 1")
    found, _ = await judged(provider, tmp_path, question("x", "aa", "b"), question("y", "slow", "b"))
    assert found.battles("j").share_a.tolist() == [0.5, 0.5]
    assert found.position() == {
        "pairs": 2, "same": 0, "first_twice": 1, "second_twice": 1, "half": 0, "bias_rate": 1.0,
    }  # fmt: skip


async def test_a_winner_in_one_order_only_is_a_tie(provider: Provider, tmp_path: Path) -> None:
    provider.default = answers_by(lambda body: "Verdict: 1" if answers_shown(body)[0] == "aa" else "Verdict: tie")
    found, _ = await judged(provider, tmp_path, question("x", "aa", "b"))
    assert found.battles("j").share_a.tolist() == [0.5]
    assert (found.position()["half"], found.position()["bias_rate"]) == (1, 0.0)


async def test_graded_verdicts_are_averaged_where_they_agree(provider: Provider, tmp_path: Path) -> None:
    def verdict(body: dict[str, Any]) -> str:
        return {"big": "Verdict: 1>>2", "small": "Verdict: 2>1"}[answers_shown(body)[0]]

    provider.default = answers_by(verdict)
    found, _ = await judged(provider, tmp_path, question("x", "big", "small"), graded=True)
    assert found.battles("j").share_a.tolist() == [0.875]


async def test_a_rubbish_verdict_is_asked_for_again_once(provider: Provider, tmp_path: Path) -> None:
    def at_second_try(body: dict[str, Any]) -> str:
        return prefers_longer(body) if len(body["messages"]) == 4 else "Both have their merits."

    provider.default = answers_by(at_second_try)
    found, _ = await judged(provider, tmp_path, question("x", "long answer", "short"))
    assert found.battles("j").share_a.tolist() == [1.0]
    assert (found.asked_again, len(provider.requests)) == (2, 4)


async def test_rubbish_twice_is_unjudged_and_no_tie(provider: Provider, tmp_path: Path) -> None:
    def rubbish_about_y(body: dict[str, Any]) -> str:
        return "I would rather not." if answers_shown(body)[0] == "yes" else prefers_longer(body)

    provider.default = answers_by(rubbish_about_y)
    questions = question("x", "long answer", "short"), question("y", "yes", "y")
    found, _ = await judged(provider, tmp_path, *questions)
    assert found.battles("j").queries == ["What is x?"]
    assert found.to_json()["unjudged"] == 1
    assert found.unjudged_rows() == [{"id": "y", "query": "What is y?", "strong_first": None, "weak_first": 1.0}]
    assert found.position()["pairs"] == 1
    # Rubbish is paid for too: it is stored, and not asked for again by the next run.
    n_asked = len(provider.requests)
    again, _ = await judged(provider, tmp_path, *questions)
    assert (again.to_json(), len(provider.requests)) == (found.to_json(), n_asked)


async def test_identical_answers_are_a_tie_for_which_nobody_is_asked(provider: Provider, tmp_path: Path) -> None:
    found, _ = await judged(provider, tmp_path, question("x", "Paris.", " Paris.\n"))
    assert found.battles("j").share_a.tolist() == [0.5]
    assert (found.to_json()["identical"], provider.requests) == (1, [])


async def test_a_missing_answer_is_generated_once(provider: Provider, tmp_path: Path) -> None:
    def reply(body: dict[str, Any]) -> str:
        return "generated" if body["model"] == "small" else prefers_longer(body)

    provider.default = answers_by(reply)
    lacking = Question("x", "What is x?", answers={"big": Answer("a long answer of the strong model")})
    for _ in range(2):
        found, _ = await judged(provider, tmp_path, lacking)
        assert found.battles("j").share_a.tolist() == [1.0]
    assert asked(provider)[0] == ("small", "What is x?")
    assert answers_shown(provider.requests[1].body)[1] == "generated"
    assert len(provider.requests) == 3


async def test_a_failed_call_leaves_its_pair_open_and_the_next_run_closes_it(
    provider: Provider, tmp_path: Path
) -> None:
    questions = [question(name, "long answer", "short") for name in "xyz"]
    provider.script = [hang_up, hang_up, plain(status="429 Slow", headers=["Retry-After: 0"])]
    found, asking = await judged(provider, tmp_path, *questions, concurrency=1)
    assert [one.question.id for one in found.judgements] == ["y", "z"]
    assert asking.tally.n_failed == 1
    found, asking = await judged(provider, tmp_path, *questions)
    assert [one.question.id for one in found.judgements] == ["x", "y", "z"]
    assert (asking.tally.asked, asking.tally.stored) == (2, 4)


def test_nothing_judged_is_an_error() -> None:
    unjudged = Judgements(PAIR, [Judgement(question("x", "a", "b"), 1.0, None)])
    with pytest.raises(EmptyDataError, match="No pair of answers was judged: 1 without a readable verdict"):
        unjudged.battles("j")
