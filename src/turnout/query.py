"""What the query of a conversation is: the text that a router sees. Defined here and nowhere else.

The query is the text of the last user turn, after as many of the earlier user turns as fit, oldest first, with an
empty line between turns. System prompts, the model's own answers and tool results are left out: a tool loop adds no
user turn, so its query and hence its model stay the same until the user speaks again. Of list content the text
parts count. What a program put into a turn is taken out first (`boilerplate`). A last turn that is too long keeps its
beginning and its end, where people put what they want done. A conversation without any user text has the empty query;
no router is asked about it, and it goes to strong.

That is the policy `conversation`. A route may look at the `last` user turn alone, or have the turns `weighted`: each is
scored by itself, and the win rate is their mean, in which a turn counts half as much as the one after it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from turnout.boilerplate import without_boilerplate

MAX_QUERY_CHARACTERS = 4_000
"""Beyond this the query is cut: about a thousand tokens, more than any shipped router reads with profit."""

MAX_WEIGHTED_TURNS = 6
"""Older turns would count for less than two hundredths."""

NO_TEXT = "no text to route by"
"""The reason of a decision on a conversation with the empty query."""

QueryPolicy = Literal["last", "conversation", "weighted"]
"""What of a conversation is routed by."""

_BETWEEN_TURNS = "\n\n"
_CUT = "\n…\n"
_TEXT_TYPES = ("text", "input_text")


def query_of(
    messages: Sequence[Mapping[str, Any]], *, max_characters: int = MAX_QUERY_CHARACTERS, strip: bool = True
) -> str:
    """The text that a router sees of a conversation; empty if no user turn has text.

    >>> query_of([
    ...     {"role": "system", "content": "Be brief."},
    ...     {"role": "user", "content": "Name a river."},
    ...     {"role": "assistant", "content": "The Seine."},
    ...     {"role": "user", "content": [{"type": "text", "text": "And a longer one?"}]},
    ... ])
    'Name a river.\\n\\nAnd a longer one?'

    Args:
        messages: the conversation, oldest first.
        max_characters: of the query.
        strip: whether boilerplate is taken out, unless nothing else is there.
    """
    turns: list[str] = []
    left = max_characters
    for text in _turns(messages, strip):
        if not turns:
            text = _clip(text, max_characters)
        else:
            left -= len(_BETWEEN_TURNS)
        if len(text) > left:
            break
        turns.append(text)
        left -= len(text)
    return _BETWEEN_TURNS.join(reversed(turns))


def query_by(policy: QueryPolicy, messages: Sequence[Mapping[str, Any]], *, strip: bool = True) -> str:
    """The query under a policy: what the ledger keeps of a conversation."""
    return "".join(last_turns(messages, 1, strip=strip)) if policy == "last" else query_of(messages, strip=strip)


def texts_to_score(policy: QueryPolicy, messages: Sequence[Mapping[str, Any]], *, strip: bool = True) -> list[str]:
    """What a router is asked about under a policy; the win rate is the `weighted_mean` of its estimates.

    >>> texts_to_score("weighted", [{"role": "user", "content": "one"}, {"role": "user", "content": "two"}])
    ['two', 'one']
    """
    if policy == "weighted":
        return last_turns(messages, MAX_WEIGHTED_TURNS, strip=strip)
    query = query_by(policy, messages, strip=strip)
    return [query] if query else []


def last_turns(messages: Sequence[Mapping[str, Any]], count: int, *, strip: bool = True) -> list[str]:
    """The text of the last user turns that have any, each cut like a query, the last one first."""
    return [_clip(text, MAX_QUERY_CHARACTERS) for text, _ in zip(_turns(messages, strip), range(count), strict=False)]


def weighted_mean(win_rates: Sequence[float]) -> float:
    """One win rate from those of the last turns, the last one first: each counts half as much as the one after it.

    >>> round(weighted_mean([0.9, 0.3]), 6)
    0.7
    """
    weights = [0.5**age for age in range(len(win_rates))]
    return sum(weight * rate for weight, rate in zip(weights, win_rates, strict=True)) / sum(weights)


def _turns(messages: Sequence[Mapping[str, Any]], strip: bool) -> Iterator[str]:
    """The texts of the user turns, the last one first, as they are if stripping leaves nothing of any."""
    found = False
    if strip:
        for text in _raw_turns(messages):
            if text := without_boilerplate(text):
                found = True
                yield text
    if not found:
        yield from _raw_turns(messages)


def _raw_turns(messages: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for message in reversed(messages):
        if message.get("role") == "user" and (text := _text_of(message.get("content")).strip()):
            yield text


def _text_of(content: Any) -> str:
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        texts = (part.get("text") for part in content if isinstance(part, dict) and part.get("type") in _TEXT_TYPES)
        return "\n".join(text for text in texts if isinstance(text, str))
    return ""


def _clip(text: str, max_characters: int) -> str:
    if len(text) <= max_characters:
        return text
    kept = max_characters - len(_CUT)
    beginning = kept // 2
    return text[:beginning] + _CUT + text[len(text) - (kept - beginning) :]
