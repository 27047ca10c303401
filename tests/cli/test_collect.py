from __future__ import annotations

import asyncio
import json
import signal
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from asking_runs import answers_by, asked, read_rows, start, until, write_config, write_rows
from scripted_provider import Provider, plain

from turnout import Outcomes
from turnout.data.grading import GRADERS
from turnout.data.questions import Question
from turnout.evaluation.collect import prompt_of

Run = Callable[..., tuple[int, str, str]]

QUESTIONS = [{"id": f"q{n}", "query": f"{n} + {n}?", "key": 2 * n, "source": "sums"} for n in range(8)]


def add_up(body: dict[str, Any]) -> str:
    """big is always right, small only up to 3."""
    n = int(body["messages"][0]["content"].split()[0])
    return f"Answer: {2 * n if body['model'] == 'big' or n <= 3 else 99}"


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    async with Provider(default=answers_by(add_up)) as provider:
        yield provider


@pytest.fixture
def command(provider: Provider, tmp_path: Path) -> list[object]:
    questions = write_rows(tmp_path / "questions.jsonl", QUESTIONS)
    return [
        "collect", questions, "--config", write_config(tmp_path, provider), "--model", "big", "--model", "small",
        "--grader", "number", "--out", tmp_path / "outcomes.jsonl",
    ]  # fmt: skip


async def test_a_place_that_cannot_be_written_is_told_before_anything_is_asked(
    provider: Provider, command: list[object], tmp_path: Path, run: Run
) -> None:
    (tmp_path / "taken").write_text("a file")
    for out, problem in ((tmp_path / "taken" / "outcomes.jsonl", "is not a folder"), (tmp_path, "it is a folder")):
        code, _, err = await asyncio.to_thread(run, *command, "--out", out)
        assert code == 2
        assert problem in err
    assert provider.requests == []
    assert not list(tmp_path.glob("*.replies.jsonl"))


async def test_questions_become_outcomes_with_cost_and_tokens(
    provider: Provider, command: list[object], tmp_path: Path, run: Run
) -> None:
    code, out, err = await asyncio.to_thread(run, *command, "--budget-usd", 50)
    assert code == 0, err
    outcomes = Outcomes.read_jsonl(tmp_path / "outcomes.jsonl")
    assert outcomes.models == ("big", "small")
    assert outcomes.scores.tolist() == [[1.0, float(n <= 3)] for n in range(8)]
    assert (outcomes.ids[0], outcomes.source[0], outcomes.queries[0]) == ("q0", "sums", "0 + 0?")
    assert outcomes.cost_usd is not None
    assert outcomes.output_tokens is not None
    assert outcomes.cost_usd[0] == pytest.approx([0.037, 0.0037])
    assert outcomes.output_tokens[0].tolist() == [19, 19]
    assert "small: mean score 0.500 on 8 questions, $0.0296" in out
    # What the grader needs is said below the question.
    assert asked(provider)[0][1].endswith("in this form:\nAnswer: 42")
    assert provider.requests[0].body["temperature"] == 0


async def test_a_kill_in_mid_run_loses_no_answer(provider: Provider, command: list[object], tmp_path: Path) -> None:
    provider.default = answers_by(add_up, most=6)
    replies = tmp_path / "outcomes.replies.jsonl"
    process = await start(*command, "--concurrency", 2)
    await until(lambda: replies.exists() and replies.read_bytes().count(b"\n") == 6)
    process.kill()
    await process.communicate()
    provider.default = answers_by(add_up)
    assert not (tmp_path / "outcomes.jsonl").exists()
    kept = read_rows(replies)
    assert len(kept) == 6
    before = Counter(asked(provider))

    process = await start(*command, "--concurrency", 2, "--json")
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    assert read_rows(replies)[: len(kept)] == kept
    assert json.loads(out)["calls"]["stored_before"] == len(kept)
    # Everything was asked once, but for calls that were under way: two at most.
    twice = {question for question, times in Counter(asked(provider)).items() if times > 1}
    assert len(twice) <= 2
    assert twice <= set(before)
    assert len(Counter(asked(provider))) == 16
    outcomes = Outcomes.read_jsonl(tmp_path / "outcomes.jsonl")
    assert outcomes.scores.tolist() == [[1.0, float(n <= 3)] for n in range(8)]


async def test_an_interruption_says_that_all_is_kept(provider: Provider, command: list[object], tmp_path: Path) -> None:
    provider.default = answers_by(add_up, most=2)
    replies = tmp_path / "outcomes.replies.jsonl"
    process = await start(*command, "--concurrency", 1)
    await provider.asked(3)
    process.send_signal(signal.SIGINT)
    _, err = await process.communicate()
    assert process.returncode == 1
    assert b"Interrupted. What was answered is kept" in err
    assert b"Traceback" not in err
    # The call that was under way may be billed: it counts with its worst case.
    *kept, last = read_rows(replies)
    assert all("reply" in row for row in kept)
    assert last["failed"] == "The run was interrupted."


async def test_a_full_disk_ends_the_run_with_one_line_and_all_that_was_stored(
    provider: Provider, command: list[object], tmp_path: Path
) -> None:
    pytest.importorskip("resource")
    replies = tmp_path / "outcomes.replies.jsonl"
    process = await start(*command, "--concurrency", 3, limit_file_bytes=1000)
    _, err = await process.communicate()
    assert process.returncode == 2
    assert b"Traceback" not in err
    assert err.decode().splitlines()[-1] == f"turnout: {replies} cannot be written: File too large."
    assert replies.read_bytes().endswith(b"\n")
    kept = read_rows(replies)
    assert 1 <= len(kept) < 16
    assert not (tmp_path / "outcomes.jsonl").exists()

    process = await start(*command, "--json")
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    assert json.loads(out)["calls"]["stored_before"] == len(kept)


async def test_a_dry_run_asks_nothing_and_names_the_worst_case(
    provider: Provider, command: list[object], tmp_path: Path, run: Run
) -> None:
    code, out, _ = await asyncio.to_thread(run, *command, "--max-output-tokens", 100, "--dry-run")
    # A prompt has 76 bytes and 32 around them; big has a price of 0.001 a token, small of 0.0001.
    assert len(prompt_of(Question("q1", "1 + 1?"), GRADERS["number"].instruction)) == 76
    assert (code, out) == (0, f"16 calls to make, 0 replies stored; at most ${8 * 208 * 0.0011:.3g}\n")
    assert provider.requests == []
    assert not (tmp_path / "outcomes.jsonl").exists()
    await asyncio.to_thread(run, *command, "--max-output-tokens", 100)
    arguments = [*command, "--max-output-tokens", 100, "--model", "free", "--dry-run"]
    _, out, _ = await asyncio.to_thread(run, *arguments)
    assert out == "8 calls to make, 16 replies stored; at most $0; no price for free\n"


async def test_a_half_written_line_is_dropped_and_said(
    provider: Provider, command: list[object], tmp_path: Path, run: Run
) -> None:
    await asyncio.to_thread(run, *command)
    replies = tmp_path / "outcomes.replies.jsonl"
    replies.write_bytes(replies.read_bytes()[:-20])
    code, _, err = await asyncio.to_thread(run, *command)
    assert code == 0
    assert "the last line was cut off" in err
    assert len(provider.requests) == 17


async def test_the_budget_ends_the_run_and_keeps_what_it_bought(
    provider: Provider, command: list[object], tmp_path: Path, run: Run
) -> None:
    arguments = [*command, "--max-output-tokens", 20, "--concurrency", 1]
    code, out, err = await asyncio.to_thread(run, *arguments, "--budget-usd", 0.3)
    assert code == 2
    assert "The budget of $0.3 does not allow another call" in err
    n_answers = len(read_rows(tmp_path / "outcomes.replies.jsonl"))
    assert 0 < n_answers < 16
    assert f"{16 - n_answers} answers are missing" in out
    assert sum(row["cost_usd"] for row in read_rows(tmp_path / "outcomes.replies.jsonl")) <= 0.3
    code, _, err = await asyncio.to_thread(run, *arguments, "--budget-usd", 3)
    assert (code, len(provider.requests)) == (0, 16), err


async def test_failed_calls_are_told_and_made_again(
    provider: Provider, command: list[object], tmp_path: Path, run: Run
) -> None:
    provider.script = [plain({"error": "too long"}, status="400 Bad")]
    code, _, err = await asyncio.to_thread(run, *command, "--concurrency", 1)
    assert code == 2
    assert "1 calls failed, most often: big: The provider answered with HTTP status 400." in err
    assert len(Outcomes.read_jsonl(tmp_path / "outcomes.jsonl")) == 8
    code, *_ = await asyncio.to_thread(run, *command)
    assert (code, len(provider.requests)) == (0, 17)


async def test_stored_answers_can_be_graded_again_for_nothing(
    provider: Provider, command: list[object], tmp_path: Path, run: Run
) -> None:
    await asyncio.to_thread(run, *command)
    code, out, _ = await asyncio.to_thread(
        run, "data", "golden", tmp_path / "questions.jsonl", "--answers", tmp_path / "outcomes.replies.jsonl",
        "--grader", "number", "--pair", "big,small", "--out", tmp_path / "battles.jsonl",
    )  # fmt: skip
    assert code == 0
    assert "8 battles written" in out
    assert len(provider.requests) == 16


async def test_mistakes_are_found_before_anything_is_asked(
    provider: Provider, command: list[object], tmp_path: Path, run: Run
) -> None:
    bad_key = write_rows(tmp_path / "bad.jsonl", [*QUESTIONS, {"id": "last", "query": "?", "key": "many"}])
    for arguments, message in [
        ([command[0], bad_key, *command[2:]], "question 'last': 'key' must be a number"),
        ([*command, "--model", "bigg"], "No model in the configuration named 'bigg'. Did you mean 'big'?"),
        ([*command, "--model", "free", "--budget-usd", 1], "[models.free]: a budget needs a price"),
        ([*command, "--body", "stream=true"], "'stream' of the request is set by Turnout"),
        ([*command, "--body", "seed"], "is written KEY=JSON"),
        ([*command, "--budget-usd", 0], "The budget must be a number of dollars above 0"),
        ([*command, "--replies", bad_key], "not a reply"),
        ([*command, "--replies", tmp_path / "replies.jsonl.gz"], "cannot be packed"),
    ]:
        code, out, err = await asyncio.to_thread(run, *arguments)
        assert (code, out) == (2, ""), arguments
        assert message in err
    assert provider.requests == []


async def test_a_wrong_key_stops_at_once(provider: Provider, command: list[object], run: Run) -> None:
    provider.default = plain({"error": "no"}, status="401 No")
    code, _, err = await asyncio.to_thread(run, *command, "--concurrency", 1)
    assert code == 2
    assert "answered with HTTP status 401: the key was refused" in err
    assert len(provider.requests) == 1
