"""When a conversation stays with strong: the sums by hand, and the behaviour over a real gateway."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from running_gateway import KeywordRouter, RunningGateway, Start
from scripted_provider import Provider, Reply, answer, plain

from turnout.config import ModelConfig
from turnout.gateway.choosing.session_name import SessionName
from turnout.gateway.choosing.sessions import Session
from turnout.gateway.choosing.stickiness import (
    TOOL_LOOP,
    beyond_weak_usd,
    calls_a_turn,
    has_begun,
    in_tool_loop,
    reason_to_stay,
    saved_usd,
    thrown_away_usd,
)
from turnout.gateway.ledger import remembered
from turnout.gateway.limits.caller import ANYONE, Caller
from turnout.gateway.protocols.anthropic_messages import ANTHROPIC_MESSAGES
from turnout.gateway.protocols.base import ClientProtocol, ModelRequest
from turnout.gateway.protocols.openai_chat import OPENAI_CHAT
from turnout.gateway.protocols.openai_responses import OPENAI_RESPONSES
from turnout.gateway.protocols.usage import Usage
from turnout.pricing import Price

URL = "http://127.0.0.1:1/v1"
STRONG = ModelConfig("big", URL, price=Price(10.0, 30.0, 1.0), cache_lifetime_s=300.0)
WEAK = ModelConfig("small", URL, price=Price(1.0, 2.0, 0.1))
CALL: dict[str, Any] = {"role": "assistant", "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f"}}]}
RESULT: dict[str, Any] = {"role": "tool", "tool_call_id": "c", "content": "3 files"}


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def request(*messages: Any, protocol: ClientProtocol = OPENAI_CHAT, **fields: Any) -> ModelRequest:
    field = "input" if protocol is OPENAI_RESPONSES else "messages"
    return protocol.parse(json.dumps({"model": "auto", field: messages, **fields}).encode())


def named(asked: ModelRequest, *, caller: Caller = ANYONE, header: bytes | None = None) -> str:
    headers = [] if header is None else [(b"x-turnout-session", header)]
    return SessionName(asked, {"headers": headers}, caller).id


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"messages": [user("x"), CALL, RESULT]}, True),
        ({"messages": [user("x")]}, False),
        ({"messages": [user("x"), CALL, RESULT, user("and now?")]}, False),
        ({"messages": [user([{"type": "tool_result", "content": "3 files"}])]}, True),
        ({"messages": [user([{"type": "tool_result"}, {"type": "text", "text": "and now?"}])]}, False),
        (
            {"messages": [user([{"type": "tool_result"}, {"type": "text", "text": "<todo-list>\n1\n</todo-list>"}])]},
            True,
        ),
        ({"messages": [user([{"type": "text", "text": "x"}])]}, False),
        ({"input": [user("x"), {"type": "function_call"}, {"type": "function_call_output", "output": "3"}]}, True),
        ({"input": [user("x")]}, False),
        ({"input": "x"}, False),
        ({"messages": []}, False),
        ({"input": []}, False),
        ({"messages": ["x"]}, False),
    ],
)
def test_a_tool_loop_is_told_by_what_happened_last(body: dict[str, Any], expected: bool) -> None:
    assert in_tool_loop(body) is expected


ANSWER = {"role": "assistant", "content": "Paris."}
ONE_ANSWER = request(user("x"), {"role": "assistant", "content": "y"}, user("and now?"))


def test_the_dollars_by_hand() -> None:
    """100,000 cached tokens; 6 answers to 3 turns, and a fourth turn that begins."""
    asked = request(*[user("x"), CALL, RESULT, ANSWER] * 3, user("and now?"))
    session = Session("big", 0.0, 100_000, 500, pace_s=150.0)
    assert calls_a_turn(asked) == 2
    # Thrown away: 100,000 tokens at $9 a million, the difference between the full and the cached price.
    assert thrown_away_usd(session, STRONG) == pytest.approx(0.9)
    # Each call at strong reads at $1 and writes 500 tokens at $30: 0.1 + 0.015; at weak at $0.1 and $2: 0.01 + 0.001.
    assert saved_usd(session, STRONG, WEAK, tokens=100_000, calls=2) == pytest.approx(2 * 0.104)
    # 20,000 new tokens are read in the first call alone, at $10 and at $1.
    longer = saved_usd(session, STRONG, WEAK, tokens=120_000, calls=2)
    assert longer == pytest.approx(0.315 - 0.031 + 0.135 - 0.013)
    reason = reason_to_stay(asked, session, STRONG, WEAK, now=100.0)
    assert reason == "stays with strong: $0.2080 so far to keep a prompt cache worth $0.9000"


@pytest.mark.parametrize(("spent", "stays"), [(0.0, True), (0.12, True), (0.122, False), (5.0, False)])
def test_it_goes_once_staying_has_cost_a_quarter_of_the_cache(spent: float, stays: bool) -> None:
    """A quarter of $0.9 is $0.225, and this turn takes $0.104."""
    assert calls_a_turn(ONE_ANSWER) == 1
    session = Session("big", 0.0, 100_000, 500, 150.0, stay_usd=spent)
    reason = reason_to_stay(ONE_ANSWER, session, STRONG, WEAK, now=200.0)
    expected = f"stays with strong: ${spent + 0.104:.4f} so far to keep a prompt cache worth $0.9000"
    assert reason == (expected if stays else None)


def test_writing_to_a_cache_has_its_price_on_either_side() -> None:
    strong, weak = Price(5.0, 25.0, 0.5, 6.25), Price(1.0, 5.0, 0.1, 1.25)
    session = Session("big", 0.0, 100_000, 0, 150.0)
    big, small = ModelConfig("big", URL, price=strong), ModelConfig("small", URL, price=weak)
    assert thrown_away_usd(session, big) == pytest.approx(0.625 - 0.05)
    assert saved_usd(session, big, small, tokens=104_000, calls=1) == pytest.approx(0.04 + 4_000 * 5 / 1e6)
    assert beyond_weak_usd(Usage(104_000, 0, 100_000, 4_000), strong, weak) == pytest.approx(0.06)


@pytest.mark.parametrize(
    ("pause_s", "pace_s", "stays"),
    [
        (301.0, 10.0, False),  # the cache is gone already
        (300.0, 10.0, True),
        (100.0, 90.0, False),  # back after 100 + 90 + 100 seconds, in time
        (100.0, 110.0, True),
        (150.1, 0.0, True),
    ],
)
def test_a_cache_counts_if_it_is_there_and_would_be_gone(pause_s: float, pace_s: float, stays: bool) -> None:
    session = Session("big", 0.0, 100_000, 500, pace_s)
    assert (reason_to_stay(ONE_ANSWER, session, STRONG, WEAK, now=pause_s) is not None) is stays


def test_a_cache_that_has_no_price_holds_nobody() -> None:
    session = Session("big", 0.0, 100_000, 500, 150.0)
    no_discount = ModelConfig("big", URL, price=Price(10.0, 30.0))
    assert reason_to_stay(ONE_ANSWER, session, no_discount, WEAK, now=100.0) is None
    assert reason_to_stay(ONE_ANSWER, session, ModelConfig("big", URL), WEAK, now=100.0) is None
    assert reason_to_stay(ONE_ANSWER, session, STRONG, ModelConfig("small", URL), now=100.0) is None


def test_a_tool_loop_stays_whatever_it_costs() -> None:
    session = Session("big", 0.0, 0, 0, 0.0)
    assert reason_to_stay(request(user("x"), CALL, RESULT), session, STRONG, WEAK, now=9e9) is TOOL_LOOP


def test_a_conversation_is_known_by_its_beginning() -> None:
    beginning = [{"role": "system", "content": "S"}, user("one")]
    later = [*beginning, {"role": "assistant", "content": "A"}, user("two")]
    name = named(request(*beginning))
    assert named(request(*later)) == name, "it goes on"
    assert named(request(*later, temperature=1)) == name
    others = [
        named(request({"role": "system", "content": "T"}, user("one"))),
        named(request({"role": "system", "content": "S"}, user("two"))),
        named(request(*beginning, user="u1")),
        named(request(*beginning, metadata={"user_id": "u1"})),
        named(request(*beginning), caller=Caller("k1")),
        named(request(*beginning), header=b"s1"),
    ]
    assert len({name, *others}) == 7
    assert named(request(user("elsewhere")), header=b"s1") == others[-1], "the header alone counts where there is one"


def test_whether_someone_has_the_conversation() -> None:
    assert not has_begun(request(user("x")))
    assert has_begun(request(user("x"), CALL, RESULT))
    assert has_begun(request(user("x"), {"type": "function_call"}, protocol=OPENAI_RESPONSES))
    assert has_begun(request(user("x"), {"role": "assistant", "content": []}, protocol=ANTHROPIC_MESSAGES))


class Clock:
    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now


def cached(tokens: int) -> Reply:
    body = answer()
    body["usage"] |= {"prompt_tokens": 90_000, "prompt_tokens_details": {"cached_tokens": tokens}}
    return plain(body)


PRICED = {
    "big": {
        "usd_per_million_input_tokens": 10.0,
        "usd_per_million_output_tokens": 30.0,
        "usd_per_million_cached_input_tokens": 1.0,
    },
    "small": {"usd_per_million_input_tokens": 1.0, "usd_per_million_output_tokens": 2.0},
}


async def priced(start: Start, provider: Provider, *, workers: int = 1, **options: Any) -> RunningGateway:
    models = {name: {"base_url": provider.base_url, **prices} for name, prices in PRICED.items()}
    route = {"router": "fake", "strong": "big", "weak": "small", "threshold": 0.5, "query": "last"}
    return await start(models=models, routes={"auto": {**route, **options}}, server={"workers": workers})


async def ask(gateway: RunningGateway, *messages: Any) -> tuple[str, str]:
    status, headers, body = await gateway.post({"model": "auto", "messages": messages})
    assert status == 200, body
    return headers["x-turnout-model"], headers["x-turnout-reason"]


HARD, EASY = user("a hard one"), user("an easy one")


async def test_a_cache_that_is_worth_more_than_staying_costs_keeps_the_conversation(
    provider: Provider, start: Start
) -> None:
    gateway = await priced(start, provider)
    gateway.app.sessions.clock = clock = Clock()
    provider.default = cached(80_000)
    assert await ask(gateway, HARD) == ("big", "at or above the threshold")
    clock.now += 200.0
    # To read 80,000 cached tokens takes $0.08 at either, and to write 19 tokens 19 x $28 / 1,000,000 more at strong.
    stays = ("big", "stays with strong: $0.0005 so far to keep a prompt cache worth $0.7200")
    assert await ask(gateway, HARD, ANSWER, EASY) == stays
    assert await ask(gateway, HARD, ANSWER, EASY, CALL, RESULT) == ("big", TOOL_LOOP)
    assert await ask(gateway, user("another hard one"), ANSWER, EASY) == ("small", "below the threshold")
    counters = gateway.app.counters
    assert (counters.stayed_for_cache, counters.stayed_in_tool_loop) == (1, 1)
    rows = await gateway.entries(4)
    assert (rows[1].side, rows[1].reason, rows[1].win_rate) == ("strong", stays[1], 0.1)
    assert rows[0].cost_usd == pytest.approx((10_000 * 10 + 80_000 * 1 + 19 * 30) / 1e6)


async def test_what_staying_has_cost_adds_up_until_it_goes_for_all_workers(
    provider: Provider, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each answer costs 10,000 x $9 + 19 x $28 a million beyond weak; a quarter of the cache is worth $0.18."""
    monkeypatch.setattr(remembered, "READ_LIMIT_S", 30.0)
    first, second = await priced(start, provider, workers=2), await priced(start, provider, workers=2)
    first.app.sessions.clock = second.app.sessions.clock = clock = Clock()
    provider.default = cached(80_000)
    talk = [HARD]

    async def say(gateway: RunningGateway, *messages: Any) -> tuple[str, str]:
        clock.now += 200.0
        talk.extend(messages)
        model, reason = await ask(gateway, *talk)
        await gateway.app.sessions.written()
        return model, reason

    assert (await say(first))[0] == "big"
    for gateway, told in ((first, 0.0005), (second, 0.0911), (first, None)):
        expected = f"stays with strong: ${told:.4f} so far to keep a prompt cache worth $0.7200" if told else None
        assert await say(gateway, ANSWER, EASY) == ("big" if told else "small", expected or "below the threshold")
    assert (await say(first, ANSWER, HARD))[0] == "big"
    assert (await say(first, ANSWER, EASY))[1].startswith("stays with strong: $0.0005 so far"), "a new absence"
    assert await say(first, CALL, RESULT) == ("big", TOOL_LOOP)
    assert await say(first, ANSWER, EASY) == ("small", "below the threshold"), "the loop's answers count, too"


async def test_a_turn_that_wants_strong_ends_what_staying_has_cost(provider: Provider, start: Start) -> None:
    gateway = await priced(start, provider)
    gateway.app.sessions.clock = clock = Clock()
    provider.default = cached(80_000)
    talk, spent = [HARD], []
    for then in (EASY, HARD, EASY):
        await ask(gateway, *talk)
        session = await gateway.app.sessions.find(named(request(HARD)))
        assert session is not None
        spent.append(session.stay_usd)
        talk += [ANSWER, then]
        clock.now += 200.0
    assert spent == pytest.approx([0.0, 0.090532, 0.0])
    provider.default = cached(0)
    await ask(gateway, *talk[:-2])
    session = await gateway.app.sessions.find(named(request(HARD)))
    assert session is not None
    assert (session.cached_tokens, session.time) == (0, clock.now), "a cache that was not found is not counted on"


async def test_without_a_cache_it_goes_when_the_user_speaks(provider: Provider, start: Start) -> None:
    gateway = await priced(start, provider)
    assert (await ask(gateway, HARD))[0] == "big"
    assert await ask(gateway, HARD, ANSWER, EASY) == ("small", "below the threshold")


async def test_a_loop_that_strong_has_by_exception_stays_there(provider: Provider, start: Start) -> None:
    class FailsOnce(KeywordRouter):
        failed = False

        def predict_win_rate(self, queries: Any) -> Any:
            if "stumble" in queries[0] and not self.failed:
                self.failed = True
                raise RuntimeError
            return super().predict_win_rate(queries)

    gateway = await start(router=FailsOnce())
    stumble = user("an easy one to stumble over")
    assert await ask(gateway, stumble) == ("big", "router failed")
    assert await ask(gateway, stumble, CALL, RESULT) == ("big", TOOL_LOOP)
    assert await ask(gateway, stumble, CALL, RESULT, CALL, RESULT) == ("big", TOOL_LOOP)
    assert await ask(gateway, stumble, CALL, RESULT, ANSWER, EASY) == ("small", "below the threshold")
    assert await ask(gateway, stumble, CALL, RESULT) == ("small", "below the threshold"), "strong has it no longer"


async def test_a_route_that_is_not_sticky_lets_go(provider: Provider, start: Start) -> None:
    gateway = await priced(start, provider, sticky=False)
    gateway.app.sessions.clock = clock = Clock()
    provider.default = cached(80_000)
    assert (await ask(gateway, HARD))[0] == "big"
    clock.now += 200.0
    assert await ask(gateway, HARD, ANSWER, EASY) == ("small", "below the threshold")


async def test_another_worker_and_a_restarted_one_know_it_too(provider: Provider, start: Start, tmp_path: Path) -> None:
    clock = Clock()
    first = await priced(start, provider)
    first.app.sessions.clock = clock
    provider.default = cached(80_000)
    await ask(first, HARD)
    await first.app.sessions.written()
    second = await priced(start, provider)
    second.app.sessions.clock = clock
    clock.now += 200.0
    assert (await ask(second, HARD, ANSWER, EASY))[1].startswith("stays with strong")


async def test_the_pace_is_that_of_the_tool_loop(provider: Provider, start: Start) -> None:
    gateway = await priced(start, provider)
    gateway.app.sessions.clock = clock = Clock()
    provider.default = cached(80_000)
    name = named(request(HARD))
    paces = []
    for wait_s, messages in ((0, [HARD]), (40, [HARD, CALL, RESULT]), (200, [HARD, CALL, RESULT, ANSWER, HARD])):
        clock.now += wait_s
        await ask(gateway, *messages)
        session = await gateway.app.sessions.find(name)
        assert session is not None
        paces.append(session.pace_s)
    assert paces[0] < 5
    assert paces[1:] == pytest.approx([40.0, 40.0]), "a pause of the user's is not the loop's"
