"""Whether a conversation that is with the strong model stays there although its win rate says weak.

- While a tool loop runs it stays: a task is not handed over in its middle.
- When the user speaks again, it is to rent or to buy. Staying costs, turn by turn, what weak would save. Going costs,
  when the conversation comes back, the strong model's prompt cache, if that is gone by then: its tokens have to be paid
  for in full once more. How many easy turns lie ahead, and whether a hard one follows them, no one knows.

So it stays while what staying has cost since the last turn that wanted strong, this turn included, is at most
`WORTH_SPENDING` of what the cache is worth, and goes after that:

    cost of staying = what its answers cost beyond what weak takes for the same tokens, equally cached
                      + the same for this turn, with as many calls as its turns have had on average
    worth           = cached tokens x (strong's price of writing a cache, or else of input - its cached input price)

The conversation is taken to come back with the user's next turn, after a pause as long as this one and a turn's calls,
each as slow as the last. If the cache outlives that, or is gone already, there is nothing to be kept. That weak has to
read the conversation in full when it gets it is left out of both sums: it is the same whenever it goes.

The rule was chosen among others by `benchmarks/stickiness_rules.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from turnout.boilerplate import without_boilerplate
from turnout.config import ModelConfig
from turnout.gateway.choosing.sessions import Session
from turnout.gateway.protocols.base import ModelRequest
from turnout.gateway.protocols.usage import Usage
from turnout.pricing import CHARACTERS_A_TOKEN, Price

TOOL_LOOP = "stays with strong: tool loop"

WORTH_SPENDING = 0.25
"""The share of a prompt cache's worth that may be spent on keeping it. All of it would never be worse than twice what
one who knows the future spends, if every conversation came back in time; but many end first, or pause for too long."""

_TOOL_ROLES = ("tool", "function")


def reason_to_stay(
    request: ModelRequest, session: Session, strong: ModelConfig, weak: ModelConfig, *, now: float
) -> str | None:
    """Why the conversation stays with the strong model, or None if it goes.

    Args:
        request: the request that the router would send to weak.
        session: what is remembered of its conversation.
        strong: the model that has it.
        weak: the model that would get it.
        now: seconds since 1970.
    """
    if in_tool_loop(request.body):
        return TOOL_LOOP
    calls = calls_a_turn(request)
    if not would_be_lost(session, strong, pause_s=now - session.time, calls=calls):
        return None
    tokens = max(session.cached_tokens, len(request.raw) // CHARACTERS_A_TOKEN)
    saved = saved_usd(session, strong, weak, tokens=tokens, calls=calls)
    if saved is None:
        return None
    worth, cost = thrown_away_usd(session, strong), session.stay_usd + saved
    if not pays_to_stay(cost, worth):
        return None
    return f"stays with strong: ${max(0.0, cost):.4f} so far to keep a prompt cache worth ${worth:.4f}"


def pays_to_stay(cost_usd: float, worth_usd: float) -> bool:
    """The rule: whether a cache of this worth is worth what keeping it has cost, this turn included.

    >>> pays_to_stay(0.2, 1.0), pays_to_stay(0.3, 1.0), pays_to_stay(0.0, 0.0)
    (True, False, False)
    """
    return worth_usd > 0 and cost_usd <= WORTH_SPENDING * worth_usd


def would_be_lost(session: Session, strong: ModelConfig, *, pause_s: float, calls: int) -> bool:
    """Whether the prompt cache is there after this pause, and gone after a turn away of so many calls."""
    return pause_s <= strong.cache_lifetime_s < 2 * pause_s + calls * session.pace_s


def in_tool_loop(body: Mapping[str, Any]) -> bool:
    """Whether the last that happened is a tool's result, and not that the user spoke.

    >>> in_tool_loop({"messages": [{"role": "tool", "content": "3 files"}]})
    True
    >>> in_tool_loop({"messages": [{"role": "user", "content": "And now?"}]})
    False
    """
    items = body.get("messages") or body.get("input")
    if not items or not isinstance(items, list) or not isinstance(items[-1], dict):
        return False
    last: dict[str, Any] = items[-1]
    if last.get("role") in _TOOL_ROLES or str(last.get("type")).endswith("_call_output"):
        return True
    content = last.get("content")
    if not isinstance(content, list):
        return False
    parts = [part for part in content if isinstance(part, dict)]
    # A harness may put its reminders beside the results; a word of the user's ends the loop.
    spoken = any(without_boilerplate(part["text"]) for part in parts if isinstance(part.get("text"), str))
    return not spoken and any(part.get("type") == "tool_result" for part in parts)


def thrown_away_usd(session: Session, strong: ModelConfig) -> float:
    """What has to be paid once more when the strong model's prompt cache is gone; 0 where its price is not known."""
    if strong.price is None:
        return 0.0
    cached = session.cached_tokens
    anew = strong.price.cost_usd(cached, 0, cache_write_tokens=cached)
    return anew - strong.price.cost_usd(cached, 0, cached_input_tokens=cached)


def saved_usd(session: Session, strong: ModelConfig, weak: ModelConfig, *, tokens: int, calls: int) -> float | None:
    """What weak would save over the calls of one turn, its cache being as warm as strong's; None without both prices.

    Args:
        session: what strong has cached, and how long its last answer was: so long is each of the turn's.
        strong: the model that has the conversation.
        weak: the model that would get it.
        tokens: what each call reads; the first finds `session.cached_tokens` of it cached, later ones all of it.
        calls: of the turn.
    """
    cached, output = session.cached_tokens, session.output_tokens
    first = beyond_weak_usd(Usage(tokens, output, cached, tokens - cached), strong.price, weak.price)
    later = beyond_weak_usd(Usage(tokens, output, tokens), strong.price, weak.price)
    return None if first is None or later is None else first + (calls - 1) * later


def beyond_weak_usd(usage: Usage, strong: Price | None, weak: Price | None) -> float | None:
    """What strong costs beyond weak for the same tokens, equally cached; None where a price is not known."""
    if strong is None or weak is None:
        return None
    return usage.cost_usd(strong) - usage.cost_usd(weak)


def calls_a_turn(request: ModelRequest) -> int:
    """How many answers a turn of the user's has had so far in this conversation, rounded, at least 1."""
    answers, spoken = 0, 0
    for turn in request.turns():
        if turn.get("role") == "assistant":
            answers += 1
        elif turn.get("role") == "user" and not in_tool_loop({"messages": [turn]}):
            spoken += 1
    # The turn that begins now has had no answer yet.
    return max(1, round(answers / max(1, spoken - 1)))


def has_begun(request: ModelRequest) -> bool:
    """Whether the conversation has an answer already, so that someone has it."""
    if any(turn.get("role") == "assistant" for turn in request.turns()):
        return True
    items = request.body.get("input")
    if not isinstance(items, list):
        return False
    return any(isinstance(item, dict) and item.get("type") == "function_call" for item in items)
