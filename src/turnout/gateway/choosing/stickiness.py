"""Whether a conversation that is with the strong model stays there although its win rate says weak.

- While a tool loop runs it stays: a task is not handed over in its middle.
- When the user speaks again, what the weak model saves is weighed against the strong model's prompt cache, if that will
  be gone by the time the conversation comes back: then its tokens have to be paid for in full once more.

The conversation is taken to come back with the user's next turn, after a pause as long as this one and as many calls as
its turns have had on average, each as slow as the last. If the cache outlives that, or is gone already, nothing is
thrown away. Both sums are in dollars, each call with an answer as long as the last one:

    saved  = calls at strong (the cached tokens at the cached price, what is new at the full one; later calls cached)
             - calls at weak (the first at the price of writing a cache, or else the full one; later ones cached)
    thrown away = cached tokens x (strong's price of writing a cache, or else of input - its cached input price)

It stays if at least as much is thrown away as saved.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from turnout.boilerplate import without_boilerplate
from turnout.config import ModelConfig
from turnout.gateway.choosing.sessions import Session
from turnout.gateway.protocols.base import ModelRequest
from turnout.pricing import CHARACTERS_A_TOKEN

TOOL_LOOP = "stays with strong: tool loop"

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
    pause_s = now - session.time
    away_s = 2 * pause_s + calls_a_turn(request) * session.pace_s
    if not pause_s <= strong.cache_lifetime_s < away_s:
        return None
    thrown_away = thrown_away_usd(session, strong)
    if thrown_away > 0 and thrown_away >= saved_usd(request, session, strong, weak):
        return f"stays with strong: its prompt cache saves ${thrown_away:.4f}"
    return None


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
    """What has to be paid once more when the strong model's prompt cache is gone."""
    if strong.price is None:
        return 0.0
    cached = session.cached_tokens
    anew = strong.price.cost_usd(cached, 0, cache_write_tokens=cached)
    return anew - strong.price.cost_usd(cached, 0, cached_input_tokens=cached)


def saved_usd(request: ModelRequest, session: Session, strong: ModelConfig, weak: ModelConfig) -> float:
    """What the weak model saves over the calls of one turn; 0 where a price is not known."""
    if strong.price is None or weak.price is None:
        return 0.0
    calls = calls_a_turn(request)
    tokens = max(session.cached_tokens, len(request.raw) // CHARACTERS_A_TOKEN)
    at_strong = strong.price.cost_usd(tokens, session.output_tokens, cached_input_tokens=session.cached_tokens)
    at_weak = weak.price.cost_usd(tokens, session.output_tokens, cache_write_tokens=tokens)
    later_at_strong = strong.price.cost_usd(tokens, session.output_tokens, cached_input_tokens=tokens)
    later_at_weak = weak.price.cost_usd(tokens, session.output_tokens, cached_input_tokens=tokens)
    return at_strong - at_weak + (calls - 1) * (later_at_strong - later_at_weak)


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
    return isinstance(items, list) and any(item.get("type") == "function_call" for item in items)
