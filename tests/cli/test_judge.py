from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from asking_runs import answers_by, read_rows, start, until, write_config, write_rows
from scripted_provider import Provider, hang_up, plain

from turnout import Battles
from turnout.data.judge_prompt import judge_messages
from turnout.data.replies import CallName, Replies, Reply

Run = Callable[..., tuple[int, str, str]]

# big's answer is right on the even questions, small's on those that 3 divides.
QUESTIONS = [
    {
        "id": f"q{n}",
        "query": f"What is {n}?",
        "answers": {
            "big": f"big {'wrong' if n % 2 else 'right'} {n}",
            "small": f"small {'wrong' if n % 3 else 'right'} {n}",
        },
    }
    for n in range(1, 9)
]
SHARES = [0.5, 1.0, 0.0, 1.0, 0.5, 0.5, 0.5, 1.0]


def verdict(body: dict[str, Any]) -> str:
    first, second = body["messages"][1]["content"].split("begin answer 2")
    return f"Verdict: {'tie' if ('right' in first) == ('right' in second) else 1 if 'right' in first else 2}"


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    async with Provider(default=answers_by(verdict)) as provider:
        yield provider


@pytest.fixture
def command(provider: Provider, tmp_path: Path) -> list[object]:
    questions = write_rows(tmp_path / "questions.jsonl", QUESTIONS)
    return [
        "data", "judge", questions, "--config", write_config(tmp_path, provider), "--judge", "judge",
        "--pair", "big,small", "--out", tmp_path / "battles.jsonl",
    ]  # fmt: skip


async def test_answers_become_battles_and_the_judge_is_measured(
    command: list[object], tmp_path: Path, run: Run
) -> None:
    votes = tmp_path / "votes.jsonl"
    Battles.from_columns(
        [row["query"] for row in QUESTIONS], "small", "big", [0.5, 0, 1, 0, 0.5, 1, 0, 0], source="people"
    ).write_jsonl(votes)
    code, out, err = await asyncio.to_thread(run, *command, "--votes", votes)
    assert code == 0, err
    battles = Battles.read_jsonl(tmp_path / "battles.jsonl")
    assert battles.share_a.tolist() == SHARES
    assert set(battles.source) == {"judge/judge"}
    assert "8 of 8 pairs judged: 3 for big, 4 ties, 1 for small; 0 unjudged" in out
    assert "both orders: 8 the same" in out
    assert "position bias rate 0.0%" in out
    assert "agrees with 75.0% [" in out
    assert "of 8 votes, kappa 0." in out
    code, out, _ = await asyncio.to_thread(run, *command, "--votes", votes, "--json")
    report = json.loads(out)
    assert (code, report["battles"]) == (0, {"strong": 3, "tie": 4, "weak": 1})
    assert (report["agreement"]["share"], report["calls"]["made"]) == (0.75, 0)
    assert report["spent_usd"] == pytest.approx(16 * 0.037)


async def test_a_kill_in_mid_run_loses_no_verdict(provider: Provider, command: list[object], tmp_path: Path) -> None:
    provider.default = answers_by(verdict, most=6)
    replies = tmp_path / "battles.replies.jsonl"
    process = await start(*command, "--concurrency", 3)
    await until(lambda: replies.exists() and replies.read_bytes().count(b"\n") == 6)
    process.kill()
    await process.communicate()
    provider.default = answers_by(verdict)
    kept = read_rows(replies)
    assert len(kept) == 6
    process = await start(*command, "--concurrency", 3, "--json")
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    assert read_rows(replies)[: len(kept)] == kept
    assert json.loads(out)["calls"]["stored_before"] == len(kept)
    times = Counter(request.raw for request in provider.requests)
    assert len(times) == 16
    # Only calls that were under way are made twice: three at most.
    assert sum(count - 1 for count in times.values()) <= 3
    assert Battles.read_jsonl(tmp_path / "battles.jsonl").share_a.tolist() == SHARES


async def test_rubbish_is_counted_and_kept_apart(
    provider: Provider, command: list[object], tmp_path: Path, run: Run
) -> None:
    provider.default = answers_by(
        lambda body: "Hm." if "What is 4?" in body["messages"][1]["content"] else verdict(body)
    )
    code, out, _ = await asyncio.to_thread(run, *command)
    assert code == 0
    assert "7 of 8 pairs judged" in out
    assert "1 unjudged" in out
    assert "2 replies without a verdict were asked for again" in out
    assert len(Battles.read_jsonl(tmp_path / "battles.jsonl")) == 7
    (row,) = read_rows(tmp_path / "battles.unjudged.jsonl")
    assert (row["id"], row["strong_first"]) == ("q4", None)


async def test_faults_are_survived(provider: Provider, command: list[object], tmp_path: Path, run: Run) -> None:
    async def hang(*_: object) -> None:
        await asyncio.sleep(30)

    config = tmp_path / "turnout.toml"
    config.write_text(config.read_text().replace("first_byte_s = 60.0", "first_byte_s = 0.5"))
    provider.script = [plain(status="429 Slow", headers=["Retry-After: 0.1"]), hang, plain(b"rubbish"), hang_up]
    code, _, err = await asyncio.to_thread(run, *command)
    assert code == 0, err
    assert Battles.read_jsonl(tmp_path / "battles.jsonl").share_a.tolist() == SHARES
    # What may have been billed is in the file: the hang, the rubbish and the cut.
    failed = [row for row in read_rows(tmp_path / "battles.replies.jsonl") if "failed" in row]
    for problem in (
        "first_byte_s",
        "is not JSON",
        "broke the connection",
    ):  # on a busy machine others may be too slow as well
        assert any(problem in row["failed"] for row in failed), failed
    assert all(row["charged_usd"] > 0.037 for row in failed)


async def test_the_budget_ends_the_run_and_the_same_command_goes_on(
    provider: Provider, command: list[object], tmp_path: Path, run: Run
) -> None:
    messages = judge_messages("What is 4?", "big right 4", "small wrong 4")
    worst_usd = (sum(len(message["content"]) + 16 for message in messages) + 16 + 20) / 1000
    arguments = [*command, "--max-output-tokens", 20, "--concurrency", 1, "--budget-usd"]
    # Room for five calls at 0.037 and the worst case of a sixth: three pairs.
    code, out, err = await asyncio.to_thread(run, *arguments, worst_usd + 5 * 0.037)
    assert code == 2
    assert "does not allow another call: $0.2220 is spent" in err
    assert "3 of 3 pairs judged" in out
    assert "5 pairs are missing" in out
    assert Battles.read_jsonl(tmp_path / "battles.jsonl").share_a.tolist() == SHARES[:3]
    code, _, err = await asyncio.to_thread(run, *arguments, 30)
    assert code == 0, err
    assert Battles.read_jsonl(tmp_path / "battles.jsonl").share_a.tolist() == SHARES
    assert len(provider.requests) == 16


async def test_a_dry_run_counts_both_orders_and_a_second_question_each(
    provider: Provider, command: list[object], run: Run
) -> None:
    code, out, _ = await asyncio.to_thread(run, *command, "--dry-run")
    assert code == 0
    assert out.startswith("32 calls to make, 0 replies stored; at most $")
    assert provider.requests == []


async def test_answers_come_from_collect_and_from_the_model(
    provider: Provider, command: list[object], tmp_path: Path, run: Run
) -> None:
    rows = [{**row, "answers": {"big": row["answers"]["big"]}} for row in QUESTIONS]
    questions = write_rows(tmp_path / "lacking.jsonl", rows)
    with Replies(tmp_path / "collected.jsonl") as replies:
        for row in QUESTIONS[:4]:
            replies.add(CallName(str(row["id"]), "small"), "r", Reply(row["answers"]["small"]))
    lacking = [*command[:2], questions, *command[3:], "--answers", tmp_path / "collected.jsonl"]
    code, out, err = await asyncio.to_thread(run, *lacking)
    assert code == 0
    assert "left out: 4 questions without both answers" in err
    assert "4 of 4 pairs judged" in out

    def small_or_judge(body: dict[str, Any]) -> str:
        return "small made up" if body["model"] == "small" else verdict(body)

    provider.default = answers_by(small_or_judge)
    code, out, err = await asyncio.to_thread(run, *lacking, "--generate", "small")
    assert code == 0, err
    assert "8 of 8 pairs judged" in out
    assert sum(request.body["model"] == "small" for request in provider.requests) == 4


async def test_mistakes_are_found_before_anything_is_asked(
    provider: Provider, command: list[object], tmp_path: Path, run: Run
) -> None:
    for arguments, message in [
        ([*command, "--judge", "juge"], "No model in the configuration named 'juge'. Did you mean 'judge'?"),
        ([*command, "--pair", "big,tiny"], "questions.jsonl: has no question with answers of both 'big' and 'tiny'"),
        ([*command, "--generate", "judge"], "--generate takes a model of the pair big,small, got 'judge'"),
        ([*command, "--votes", tmp_path / "none.jsonl"], "none.jsonl: cannot be read"),
        ([*command, "--concurrency", 0], "concurrency must be at least 1"),
    ]:
        code, out, err = await asyncio.to_thread(run, *arguments)
        assert (code, out) == (2, ""), arguments
        assert message in err
    assert provider.requests == []
