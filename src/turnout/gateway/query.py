"""What the query of a conversation is: the text that a router sees. Defined here and nowhere else.

The query is the text of the last user turn, after as many of the earlier user turns as fit, oldest first, with an
empty line between turns. System prompts, the model's own answers and tool results are left out: a tool loop adds no
user turn, so its query and hence its model stay the same until the user speaks again. Of list content the text
parts count. A last turn that is too long keeps its beginning and its end, where people put what they want done.
A conversation without any user text has the empty query; no router is asked about it, and it goes to strong.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

MAX_QUERY_CHARACTERS = 4_000
"""Beyond this the query is cut: about a thousand tokens, more than any shipped router reads with profit."""

_BETWEEN_TURNS = "\n\n"
_CUT = "\n…\n"
_TEXT_TYPES = ("text", "input_text")


def query_of(messages: Sequence[Mapping[str, Any]], *, max_characters: int = MAX_QUERY_CHARACTERS) -> str:
    """The text that a router sees of a conversation; empty if no user turn has text.

    >>> query_of([
    ...     {"role": "system", "content": "Be brief."},
    ...     {"role": "user", "content": "Name a river."},
    ...     {"role": "assistant", "content": "The Seine."},
    ...     {"role": "user", "content": [{"type": "text", "text": "And a longer one?"}]},
    ... ])
    'Name a river.\\n\\nAnd a longer one?'
    """
    turns: list[str] = []
    left = max_characters
    for message in reversed(messages):
        if message.get("role") != "user":
            continue
        text = _text_of(message.get("content")).strip()
        if not text:
            continue
        if not turns:
            text = _clip(text, max_characters)
        elif len(text) + len(_BETWEEN_TURNS) > left:
            break
        turns.append(text)
        left -= len(text) + len(_BETWEEN_TURNS)
    return _BETWEEN_TURNS.join(reversed(turns))


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
