"""A coding agent's conversation of 30 requests with tools, through the gateway: where each went, why, what it cost.

    python benchmarks/agent_conversation.py [--json benchmarks/results/agent_conversation.json]

The conversation is made up here, tool results and answers included; no model is asked. A stand-in provider replays
the answers, counts four characters as a token, and keeps a prompt cache for each model as OpenAI describes its own
(prefixes from 1,024 tokens on, in steps of 128, for `cache_lifetime_s` after the last use), so the dollars are those
of the published prices for these token counts. Time is made up, too: each request takes a while, and so does the user
before each turn.

What is shown is what switching costs, not how well a router chooses: the shipped router's threshold is calibrated on
the seven user turns themselves, so that at most half of them go to strong. Each replay has a gateway and a provider of
its own.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from turnout.atomic_write import write_atomically
from turnout.calibration import Calibration
from turnout.config import parse_config
from turnout.demo.stand_in import answering
from turnout.gateway.app import build_app
from turnout.gateway.ledger.reading import read_entries
from turnout.gateway.server import listen, running
from turnout.pricing import CHARACTERS_A_TOKEN, Price
from turnout.route import Route

Message = dict[str, Any]

PAIRS: dict[str, dict[str, Price]] = {
    "gpt-4.1": {"gpt-4.1": Price(2.00, 8.00, 0.50), "gpt-4.1-mini": Price(0.40, 1.60, 0.10)},
    "gpt-5": {"gpt-5": Price(1.25, 10.00, 0.125), "gpt-5-mini": Price(0.25, 2.00, 0.025)},
}
"""By the strong model: the models' prices in US dollars per million tokens of input, output and cached input."""

PRICES_READ = "2026-11-25"
PRICE_SOURCES = {
    "gpt-4.1": "https://vercel.com/ai-gateway/models/gpt-4.1/providers (row OpenAI)",
    "gpt-4.1-mini": "https://vercel.com/ai-gateway/models/gpt-4.1-mini/providers (row OpenAI)",
    "gpt-5": "https://developers.openai.com/api/docs/models/gpt-5-codex (its input, beside GPT-5-Codex)",
    "gpt-5-mini": "https://developers.openai.com/api/docs/models/gpt-5-mini",
}
"""Where each price was read on that day. All four, cached input too, stand alike in the price history that Simon
Willison keeps (https://github.com/simonw/llm-prices, data/openai.json at commit 0838d1a)."""

PACES = {"brisk": (10.0, 60.0), "slow": (45.0, 240.0)}
"""Seconds that a request takes, and that the user takes before each turn."""

CACHE_LIFETIME_S = 300.0
STRONG_FRACTION = 0.5
COLUMNS = (
    "request",
    "user_turn",
    "model",
    "win_rate",
    "reason",
    "input_tokens",
    "cached_tokens",
    "output_tokens",
    "cost_usd",
)

CACHED_FROM, CACHED_IN_STEPS_OF = 1_024, 128

SYSTEM = (
    "You are a coding agent in the repository of a ferry timetable. Read before you write, keep the public interface, "
    "run the tests after each change, and say briefly what you did. "
) * 12
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": name,
            "description": what,
            "parameters": {"type": "object", "properties": {"argument": {"type": "string"}}},
        },
    }
    for name, what in (
        ("list_files", "The files below a folder."),
        ("read_file", "A file with line numbers."),
        ("edit_file", "Replaces a piece of a file."),
        ("run_tests", "Runs the tests and gives their output."),
    )
]

# What the user says; then the tools that are called in turn, each with how many lines come back; then the answer.
TURNS: list[tuple[str, list[tuple[str, str, int]], str]] = [
    (
        "Read the timetable code and tell me how it decides which ferry is the next one.",
        [("list_files", "src", 30), ("read_file", "src/timetable.py", 260), ("read_file", "src/models.py", 120)],
        "next_departure() sorts the day's departures and takes the first one that is later than now.",
    ),
    ("What is the name of the function that loads the CSV?", [], "It is load_departures()."),
    (
        "Around midnight and on the day when summer time begins the next ferry is sometimes wrong. Find the cause, "
        "prove it with a failing test, then fix it without changing the public interface, and explain why the fix is "
        "right for a sailing that crosses midnight on exactly that day.",
        [
            ("read_file", "src/clock.py", 180),
            ("read_file", "tests/test_timetable.py", 220),
            ("edit_file", "tests/test_timetable.py", 3),
            ("run_tests", "tests/test_timetable.py", 60),
            ("edit_file", "src/clock.py", 3),
            ("run_tests", "tests/test_timetable.py", 45),
            ("edit_file", "src/timetable.py", 3),
            ("run_tests", "tests", 25),
        ],
        "Local times were compared without their offset. They are compared in UTC now, and a sailing keeps the day on "
        "which it began.",
    ),
    (
        "Add a docstring to next_departure.",
        [("edit_file", "src/timetable.py", 3), ("run_tests", "tests", 20)],
        "Done: one line and the errors that it raises.",
    ),
    (
        "Now design how to support several harbours with their own time zones and overlapping seasonal timetables. "
        "Weigh at least two data models against each other, derive what each costs for a query across harbours, choose "
        "one, and migrate the loader to it step by step with the tests green in between.",
        [
            ("read_file", "src/loader.py", 240),
            ("read_file", "data/seasons.csv", 150),
            ("edit_file", "src/models.py", 3),
            ("run_tests", "tests", 40),
            ("edit_file", "src/loader.py", 3),
            ("run_tests", "tests", 35),
            ("edit_file", "src/timetable.py", 3),
        ],
        "Seasons are intervals of validity on a departure, harbours own their zone; a query joins by harbour and day.",
    ),
    (
        "Rename the variable t to departure in that loop.",
        [("edit_file", "src/timetable.py", 3), ("run_tests", "tests", 20)],
        "Renamed.",
    ),
    ("Thanks! Write one line for the changelog.", [("edit_file", "CHANGELOG.md", 3)], "Written."),
]


def conversation() -> list[Message]:
    """All messages, from the system prompt to the last answer."""
    messages: list[Message] = [{"role": "system", "content": SYSTEM}]
    for said, calls, answer in TURNS:
        messages.append({"role": "user", "content": said})
        for tool, argument, lines in calls:
            call = {"name": tool, "arguments": json.dumps({"argument": argument})}
            id = f"call_{len(messages)}"
            content = f"I look at {argument} with {tool}."
            tool_calls = [{"id": id, "type": "function", "function": call}]
            messages.append({"role": "assistant", "content": content, "tool_calls": tool_calls})
            messages.append({"role": "tool", "tool_call_id": id, "content": _result(argument, lines)})
        messages.append({"role": "assistant", "content": answer})
    return messages


def _result(argument: str, lines: int) -> str:
    return "\n".join(f"{n:4}\t# {argument}: departure {n * 7 % 60:02} of line {n % 9}" for n in range(1, lines + 1))


class Clock:
    """Seconds since 1970, as we would have it."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        """The present."""
        return self.now


class Provider:
    """Answers with what stands next in the conversation, and keeps a prompt cache for each model."""

    def __init__(self, messages: list[Message], clock: Clock) -> None:
        self._messages = messages
        self._clock = clock
        self._cached: dict[tuple[str, str], float] = {}
        """When each prompt of each model was last used."""

    async def answer(self, request: web.Request) -> web.Response:
        """The script's next message."""
        body = await request.json()
        prompt = json.dumps([body["tools"], body["messages"]])
        cached = self._cached_tokens(body["model"], prompt)
        message = self._messages[len(body["messages"])]
        usage = {
            "prompt_tokens": len(prompt) // CHARACTERS_A_TOKEN,
            "completion_tokens": len(json.dumps(message)) // CHARACTERS_A_TOKEN,
            "prompt_tokens_details": {"cached_tokens": cached},
        }
        choice = {"index": 0, "message": message, "finish_reason": "tool_calls" if "tool_calls" in message else "stop"}
        answer = {"id": "c", "object": "chat.completion", "created": 0, "model": body["model"], "choices": [choice]}
        return web.json_response({**answer, "usage": usage})

    def _cached_tokens(self, model: str, prompt: str) -> int:
        now, best, used = self._clock.now, 0, None
        for (other_model, other), last_used in self._cached.items():
            if other_model == model and now - last_used <= CACHE_LIFETIME_S:
                tokens = _common_tokens(prompt, other)
                if tokens > best:
                    best, used = tokens, (other_model, other)
        if used is not None:
            self._cached[used] = now
        self._cached[model, prompt] = now
        return best


def _common_tokens(prompt: str, other: str) -> int:
    low, high = 0, min(len(prompt), len(other))
    while low < high:  # the longest common prefix, by halves
        middle = (low + high + 1) // 2
        low, high = (middle, high) if prompt.startswith(other[:middle]) else (low, middle - 1)
    tokens = low // CHARACTERS_A_TOKEN
    return tokens - tokens % CACHED_IN_STEPS_OF if tokens >= CACHED_FROM else 0


def threshold() -> float:
    """From where on at most half of the user turns go to strong."""
    rates = Route.load(threshold=0.0).router.predict_win_rate([said for said, _, _ in TURNS])
    return Calibration.from_win_rates(rates, data="the conversation").operating_point(STRONG_FRACTION).threshold


async def replay(pair: dict[str, Price], pace: tuple[float, float], *, sticky: bool, ask_for: str) -> list[Any]:
    """Each request of the conversation: where it went, why, and what it cost. `ask_for` is the route or a model."""
    script, clock = conversation(), Clock()
    strong, weak = pair
    with tempfile.TemporaryDirectory() as folder:
        async with answering(Provider(script, clock).answer, max_bytes=1 << 24) as provider:
            models = {
                name: {
                    "base_url": provider,
                    "usd_per_million_input_tokens": price.usd_per_million_input_tokens,
                    "usd_per_million_output_tokens": price.usd_per_million_output_tokens,
                    "usd_per_million_cached_input_tokens": price.usd_per_million_cached_input_tokens,
                    "cache_lifetime_s": CACHE_LIFETIME_S,
                }
                for name, price in pair.items()
            }
            route = {"router": "default", "strong": strong, "weak": weak, "query": "last"}
            content = {
                "models": models,
                "routes": {"auto": {**route, "threshold": threshold(), "sticky": sticky}},
                "ledger": {"path": "ledger.sqlite3", "query_text": "off"},
            }
            app = build_app(parse_config(content, folder=Path(folder)))
            app.sessions.clock = clock
            async with running(app, listen("127.0.0.1", 0)) as address, aiohttp.ClientSession() as client:
                seen = await _converse(client, address, ask_for, script, clock, pace)
        entries = list(read_entries(Path(folder) / "ledger.sqlite3"))
    return [
        {
            "request": number,
            "user_turn": sum(message["role"] == "user" for message in script[:sent]),
            "model": entry.model,
            "win_rate": None if entry.win_rate is None else round(entry.win_rate, 4),
            "reason": entry.reason,
            "input_tokens": entry.input_tokens,
            "cached_tokens": cached_tokens,
            "output_tokens": entry.output_tokens,
            "cost_usd": round(entry.cost_usd or 0.0, 6),
        }
        for number, (entry, (sent, cached_tokens)) in enumerate(zip(entries, seen, strict=True), 1)
    ]


async def _converse(
    client: aiohttp.ClientSession,
    address: str,
    model: str,
    script: list[Message],
    clock: Clock,
    pace: tuple[float, float],
) -> list[tuple[int, int]]:
    """(messages sent, tokens that were cached) of each request."""
    seen = []
    for sent, message in enumerate(script):
        if message["role"] != "assistant":
            continue
        clock.now += pace[0] + (pace[1] if script[sent - 1]["role"] == "user" else 0.0)
        body = {"model": model, "messages": script[:sent], "tools": TOOLS}
        async with client.post(f"{address}/chat/completions", json=body) as response:
            answer = await response.json()
            assert response.status == 200, answer
        assert answer["choices"][0]["message"] == message
        seen.append((sent, answer["usage"]["prompt_tokens_details"]["cached_tokens"]))
    return seen


async def measure() -> dict[str, Any]:
    """All replays, and what stickiness saved."""
    cases = []
    for strong, pair in PAIRS.items():
        for pace, seconds in PACES.items():
            rows = {
                name: await replay(pair, seconds, sticky=name == "sticky", ask_for="auto")
                for name in ("sticky", "not sticky")
            }
            rows |= {f"all {model}": await replay(pair, seconds, sticky=False, ask_for=model) for model in pair}
            usd = {name: round(sum(row["cost_usd"] for row in found), 6) for name, found in rows.items()}
            cases.append(
                {
                    "strong": strong,
                    "pace": pace,
                    "usd": usd,
                    "saved_by_stickiness_usd": round(usd["not sticky"] - usd["sticky"], 6),
                    "strong_requests": {name: sum(row["model"] == strong for row in rows[name]) for name in rows},
                    "switches": {
                        name: sum(a["model"] != b["model"] for a, b in zip(rows[name], rows[name][1:], strict=False))
                        for name in ("sticky", "not sticky")
                    },
                    "sticky_requests": [[row[column] for column in COLUMNS] for row in rows["sticky"]],
                }
            )
    prices = {
        name: {**asdict(price), "source": PRICE_SOURCES[name]}
        for pair in PAIRS.values()
        for name, price in pair.items()
    }
    facts = {"strong_fraction_wished": STRONG_FRACTION, "prices_read": PRICES_READ, "prices": prices}
    return {**facts, "columns": COLUMNS, "cases": cases}


def _compact(result: dict[str, Any]) -> str:
    """JSON with a line for each request."""
    text = json.dumps(result, indent=1)
    return re.sub(r"\[\s+(\d[^\[\]]*?)\s+\]", lambda match: "[" + re.sub(r"\s*\n\s*", " ", match[1]) + "]", text) + "\n"


def main() -> None:
    """Replay and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write everything here, too")
    options = parser.parse_args()
    result = asyncio.run(measure())
    for case in result["cases"]:
        print(f"\n{case['strong']}, {case['pace']}, sticky")
        for values in case["sticky_requests"]:
            row = dict(zip(COLUMNS, values, strict=True))
            rate = "" if row["win_rate"] is None else f"{row['win_rate']:.3f}"
            print(
                f"{row['request']:>3} turn {row['user_turn']}  {row['model']:13}{rate:>6}{row['input_tokens']:>7}"
                f"{row['cached_tokens']:>7} ${row['cost_usd']:.4f}  {row['reason']}"
            )
    print(f"\n{'':18}{'sticky':>9}{'not':>9}{'all strong':>12}{'all weak':>10}{'saved':>9}  at strong, switches")
    for case in result["cases"]:
        usd, at_strong, switches = case["usd"], case["strong_requests"], case["switches"]
        *_, all_strong, all_weak = usd.values()
        print(
            f"{case['strong']:10}{case['pace']:8}{usd['sticky']:>9.4f}{usd['not sticky']:>9.4f}{all_strong:>12.4f}"
            f"{all_weak:>10.4f}{case['saved_by_stickiness_usd']:>9.4f}  {at_strong['sticky']} and {switches['sticky']}"
            f", not sticky {at_strong['not sticky']} and {switches['not sticky']}"
        )
    if options.json:
        with write_atomically(options.json) as file:
            file.write(_compact(result).encode())


if __name__ == "__main__":
    main()
