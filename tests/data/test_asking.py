from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from scripted_provider import PROVIDER_KEY, Provider, Reply, Request, answer, hang_up, plain

from turnout.call_limits import Retries, TimeLimits
from turnout.config import ModelConfig
from turnout.data.asking import Asking, AskingSettings
from turnout.data.replies import CallName, Replies
from turnout.errors import (
    BudgetExceededError,
    ConfigError,
    DataError,
    InvalidValueError,
    UnknownNameError,
    UpstreamError,
)
from turnout.pricing import Price

PRICE = Price(1_000_000, 1_000_000)  # a dollar a token
SOON = Retries(most=2, first_wait_s=0.01, longest_wait_s=1.0)
BODY = {"max_tokens": 50}
NAMES = [f"q{number}" for number in range(10)]
# The scripted answer takes 18 tokens and 19; the worst case of "hello" is 5 bytes, 32 around them, and 50.
COST, WORST = 37.0, 87.0


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    async with Provider() as provider:
        yield provider


Ask = Callable[..., Any]


@pytest.fixture
def ask(provider: Provider, tmp_path: Path) -> Ask:
    """Asks "hello" under each name, in a run of its own; gives (asking, error or None)."""

    async def run(
        names: list[str] = NAMES, *, words: str = "hello", model: ModelConfig | None = None, **settings: Any
    ) -> tuple[Asking, BaseException | None]:
        model = model or ModelConfig("big", provider.base_url, price=PRICE)
        settings = {"retries": SOON, "body": BODY, **settings}
        with Replies(tmp_path / "replies.jsonl") as replies:
            async with Asking([model], replies, AskingSettings(**settings)) as asking:

                async def one(name: str) -> None:
                    await asking.ask(CallName(name, "big"), [{"role": "user", "content": words}])

                try:
                    await asking.each(names, one)
                except Exception as error:
                    return asking, error
                return asking, None

    return run


def stored(tmp_path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (tmp_path / "replies.jsonl").read_text().splitlines()]


async def test_what_is_sent_and_what_is_kept(provider: Provider, ask: Ask, tmp_path: Path) -> None:
    model = ModelConfig("big", provider.base_url, upstream_model="big-2026", price=PRICE)
    asking, error = await ask(["q1"], model=model, body={"max_tokens": 50, "temperature": None, "seed": 1})
    assert error is None
    messages = [{"role": "user", "content": "hello"}]
    assert provider.requests[0].body == {"model": "big-2026", "messages": messages, "max_tokens": 50, "seed": 1}
    (row,) = stored(tmp_path)
    assert (row["reply"], row["input_tokens"], row["output_tokens"], row["cost_usd"]) == ("Paris.", 18, 19, COST)
    assert (asking.tally.asked, asking.budget.spent_usd) == (1, COST)


async def test_what_is_stored_is_not_asked_again(provider: Provider, ask: Ask) -> None:
    await ask(NAMES[:6])
    asking, error = await ask()
    assert error is None
    assert (asking.tally.stored, asking.tally.asked, len(provider.requests)) == (6, 4, 10)
    assert asking.budget.spent_usd == 10 * COST


async def test_other_words_or_settings_end_the_run_and_cost_nothing(provider: Provider, ask: Ask) -> None:
    await ask(NAMES)
    for change in ({"words": "good day"}, {"body": {"max_tokens": 51}}):
        _, error = await ask(NAMES, **change)
        assert isinstance(error, DataError)
        assert "in other words" in str(error)
    assert len(provider.requests) == 10


async def test_so_many_at_once_and_no_more(provider: Provider, ask: Ask) -> None:
    now = most = 0
    three = asyncio.Event()

    async def slow(provider: Provider, request: Request, writer: asyncio.StreamWriter) -> None:
        nonlocal now, most
        now += 1
        most = max(most, now)
        if now == 3:
            three.set()
        async with asyncio.timeout(20):
            await three.wait()
        await asyncio.sleep(0.02)
        now -= 1
        await plain()(provider, request, writer)

    provider.default = slow
    await ask(concurrency=3)
    assert most == 3


async def test_the_budget_is_never_exceeded_and_a_larger_one_goes_on(provider: Provider, ask: Ask) -> None:
    budget = 5 * COST + 20
    asking, error = await ask(budget_usd=budget, concurrency=4)
    assert isinstance(error, BudgetExceededError)
    # With 3 replies there is no room for the worst case of a fifth call beside a fourth, but for a fourth there is.
    assert asking.tally.asked == 4 == len(provider.requests)
    assert asking.budget.spent_usd == 4 * COST
    asking, error = await ask(budget_usd=10 * COST + 50)
    assert (error, asking.tally.stored, asking.tally.asked) == (None, 4, 6)


async def test_a_run_that_ends_early_still_does_what_is_stored(provider: Provider, ask: Ask) -> None:
    await ask(["q8", "q9"])
    asking, error = await ask(budget_usd=2 * COST + 1)
    assert isinstance(error, BudgetExceededError)
    assert (asking.tally.stored, asking.tally.asked, len(provider.requests)) == (2, 0, 2)


async def test_no_call_that_was_waiting_is_made_once_the_run_has_ended(provider: Provider, ask: Ask) -> None:
    # Three calls at once: two wait for the provider's pause to end, while the third finds the key refused.
    slow_refusal = plain(status="401 No")

    async def refuse_late(*arguments: Any) -> None:
        await asyncio.sleep(0.1)
        await slow_refusal(*arguments)

    busy = plain(status="429 Slow", headers=["Retry-After: 1"])
    provider.script = [busy, busy, refuse_late]
    _, error = await ask(concurrency=3)
    assert isinstance(error, ConfigError)
    assert len(provider.requests) == 3


async def test_an_interrupted_call_counts_with_its_worst_case(provider: Provider, ask: Ask, tmp_path: Path) -> None:
    async def hang(*_: object) -> None:
        await asyncio.sleep(30)

    provider.script = [plain(), hang]
    task = asyncio.create_task(ask(["q1", "q2", "q3"], concurrency=1))
    while len(provider.requests) < 2:
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [row.get("charged_usd", row.get("cost_usd")) for row in stored(tmp_path)] == [COST, WORST]
    asking, error = await ask(["q1", "q2", "q3"])
    assert (error, asking.tally.stored, asking.budget.spent_usd) == (None, 1, 3 * COST + WORST)


async def test_without_usage_the_worst_case_is_charged_and_the_cost_unknown(
    provider: Provider, ask: Ask, tmp_path: Path
) -> None:
    provider.default = plain({**answer(), "usage": None})
    asking, error = await ask(["q1"])
    assert error is None
    (row,) = stored(tmp_path)
    assert "cost_usd" not in row
    assert row["charged_usd"] == WORST == asking.budget.spent_usd


@pytest.mark.parametrize(
    ("fault", "charged"),
    [
        (plain(status="429 Slow", headers=["Retry-After: 0"]), 0.0),
        (plain(status="503 Busy"), 0.0),
        (hang_up, WORST),
        (plain(b"rubbish"), WORST),
        (plain({"choices": []}), WORST),
        (plain({"choices": [{"message": {"content": [1]}}]}), WORST),
    ],
    ids=["429", "503", "cut", "rubbish", "no-choice", "no-text"],
)
async def test_a_fault_is_tried_again_and_charged_only_if_it_may_be_billed(
    provider: Provider, ask: Ask, tmp_path: Path, fault: Reply, charged: float
) -> None:
    provider.script = [fault]
    asking, error = await ask(["q1"])
    assert error is None
    assert (asking.tally.retries, asking.tally.asked, len(provider.requests)) == (1, 1, 2)
    assert asking.budget.spent_usd == charged + COST
    assert len(stored(tmp_path)) == (2 if charged else 1)
    asking, _ = await ask(["q1"])
    assert asking.budget.spent_usd == charged + COST  # the file remembers


async def test_a_hang_runs_out_of_time_and_is_given_up(provider: Provider, ask: Ask) -> None:
    async def hang(provider: Provider, request: Request, writer: asyncio.StreamWriter) -> None:
        if request.body["messages"][0]["content"] == "hello":
            await asyncio.sleep(30)

    provider.default = hang
    asking, error = await ask(["q1", "q2"], limits=TimeLimits(first_byte_s=0.1), retries=Retries(most=0))
    assert error is None
    ((problem, count),) = asking.tally.failed.items()
    assert (count, problem[:5]) == (2, "big: ")
    assert "first_byte_s" in problem
    provider.default = plain()
    asking, error = await ask(["q1", "q2"])
    assert (asking.tally.asked, asking.budget.spent_usd) == (2, 2 * WORST + 2 * COST)


async def test_retry_after_holds_back_the_models_other_calls_too(provider: Provider, ask: Ask) -> None:
    started = time.monotonic()
    times: list[float] = []

    async def note(provider: Provider, request: Request, writer: asyncio.StreamWriter) -> None:
        times.append(time.monotonic() - started)
        await plain()(provider, request, writer)

    async def note_late(provider: Provider, request: Request, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.2)
        await plain()(provider, request, writer)

    # Two calls at once: while the first is put off, the second is answered, and the third must wait like the first.
    provider.script = [plain(status="429 Slow", headers=["Retry-After: 0.5"]), note_late]
    provider.default = note
    asking, _ = await ask(concurrency=2)
    assert (asking.tally.retries, len(times)) == (1, 9)
    assert min(times) >= 0.5


async def test_nobody_there_is_given_up_after_some_in_a_row_and_costs_nothing(ask: Ask) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    asking, error = await ask(
        [str(n) for n in range(100)],
        model=ModelConfig("big", url, price=PRICE),
        retries=Retries(most=0),
        most_failures_in_a_row=5,
        concurrency=2,
    )
    assert isinstance(error, UpstreamError)
    assert "calls of 'big' in a row failed" in str(error)
    assert asking.tally.n_failed <= 6
    assert asking.budget.spent_usd == 0


async def test_single_failures_do_not_end_the_run(provider: Provider, ask: Ask) -> None:
    provider.script = [plain(), plain({"error": "too long"}, status="400 Bad"), plain()]
    asking, error = await ask(concurrency=1, most_failures_in_a_row=2)
    assert error is None
    assert dict(asking.tally.failed) == {
        'big: The provider answered with HTTP status 400. It said: {"error": "too long"}': 1
    }
    assert asking.tally.asked == 9


@pytest.mark.parametrize("status", ["401 No", "403 No", "404 No"])
async def test_a_refusal_of_all_calls_ends_the_run_at_once(provider: Provider, ask: Ask, status: str) -> None:
    provider.default = plain(status=status)
    _, error = await ask(concurrency=2)
    assert isinstance(error, ConfigError)
    assert f"[models.big]: {provider.base_url} answered with HTTP status {status[:3]}" in str(error)
    assert len(provider.requests) <= 2


async def test_the_key_is_sent_and_shown_nowhere(
    provider: Provider, ask: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BIG_KEY", PROVIDER_KEY)
    provider.script = [plain({"error": f"no credit on {PROVIDER_KEY}"}, status="400 Bad")]
    model = ModelConfig("big", provider.base_url, api_key_env="BIG_KEY", price=PRICE)
    asking, _ = await ask(["q1", "q2"], model=model, concurrency=1)
    assert provider.requests[0].headers["authorization"] == f"Bearer {PROVIDER_KEY}"
    assert "(the key)" in next(iter(asking.tally.failed))
    assert PROVIDER_KEY not in repr(asking.tally)
    assert PROVIDER_KEY not in (tmp_path / "replies.jsonl").read_text()


@pytest.mark.parametrize("limit", [{"requests_per_minute": 3}, {"tokens_per_minute": 3 * int(COST) + 60}])
async def test_rate_limits_hold_calls_back(provider: Provider, ask: Ask, limit: dict[str, int]) -> None:
    asking = asyncio.create_task(ask(concurrency=1, **limit))
    await provider.asked(3)
    await asyncio.sleep(0.2)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert len(provider.requests) == 3


async def test_a_model_that_is_not_there_and_settings_that_cannot_be_kept(ask: Ask, provider: Provider) -> None:
    free = ModelConfig("big", provider.base_url)
    with pytest.raises(ConfigError, match=r"\[models.big\]: a budget needs a price"):
        await ask(model=free, budget_usd=1.0)
    with pytest.raises(InvalidValueError, match="needs a bound on what a reply may take"):
        await ask(budget_usd=1.0, body={})
    with pytest.raises(InvalidValueError, match="max_tokens must be a whole number"):
        await ask(budget_usd=1.0, body={"max_tokens": "many"})
    with pytest.raises(InvalidValueError, match="concurrency must be at least 1"):
        await ask(concurrency=0)
    _, error = await ask(model=ModelConfig("bigger", provider.base_url))
    assert isinstance(error, UnknownNameError)
    assert "Did you mean 'bigger'?" in str(error)
    assert provider.requests == []
