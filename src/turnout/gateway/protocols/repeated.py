"""Finds fields that a body gives twice.

JSON leaves open which of the two counts. We read the last, as most do, but a provider that gets the client's bytes may
read the first: what was decided, counted and set aside would then be for another request than the one it answers.
"""

from __future__ import annotations

import re
import secrets
from collections import Counter
from collections.abc import Mapping
from itertools import count
from typing import Any

import orjson

READ = frozenset(
    {
        "best_of",
        "conversation",
        "functions",
        "input",
        "instructions",
        "max_completion_tokens",
        "max_output_tokens",
        "max_tokens",
        "messages",
        "metadata",
        "model",
        "n",
        "output_config",
        "output_format",
        "previous_response_id",
        "response_format",
        "store",
        "stream",
        "stream_options",
        "system",
        "text",
        "tools",
        "user",
    }
)
"""The fields that the gateway itself reads, at the top of a body."""

_LETTER_MAYBE = re.compile(rb"\\u00[4-7]")  # quick to look for, and seldom there
# A text that may be a field's name with letters written as escapes. Of a longer one only the beginning is looked at, so
# that many megabytes of escapes cost no more than as many of anything else.
_ESCAPE = rb"\\u00(?:6[1-9a-fA-F]|7[0-9aA]|5[fF])"
_ESCAPED_NAME = re.compile(
    rb'"[a-z_]{0,%(most)d}+%(escape)b(?:[a-z_]|%(escape)b){0,%(most)d}"'
    % {b"most": max(map(len, READ)), b"escape": _ESCAPE}
)
_MARK = secrets.token_hex(8)
"""No client can have a field that holds this."""


def repeated_field(raw: bytes, body: Mapping[str, Any]) -> str | None:
    """A field among those that are read which stands twice at the top of a JSON object; None if none does.

    >>> raw = b'{"n": 1, "metadata": {"n": 2}}'
    >>> repeated_field(raw, orjson.loads(raw))
    >>> raw = b'{"n": 1, "n": 2}'
    >>> repeated_field(raw, orjson.loads(raw))
    'n'

    Args:
        raw: the object.
        body: the same, parsed.
    """
    if _LETTER_MAYBE.search(raw):
        raw = _ESCAPED_NAME.sub(_without_escapes, raw)
    suspected = [field for field in body if field in READ and raw.count(f'"{field}"'.encode()) > 1]
    if not suspected:
        return None
    try:
        # What stands twice is lost between parsing and writing, and so is whatever stood inside it.
        written = orjson.dumps(body)
        suspected = [field for field in suspected if _times(field, raw) != _times(field, written)]
    except TypeError:
        pass  # nested more deeply than can be written
    return _at_the_top(suspected, raw) if suspected else None


def _without_escapes(name: re.Match[bytes]) -> bytes:
    return b'"%b"' % orjson.loads(name[0]).encode()


def _times(field: str, raw: bytes) -> int:
    """How often this very text stands there, be it a field's name or a value."""
    quoted = f'"{field}"'.encode()
    return raw.count(quoted) - raw.count(b"\\" + quoted)


def _at_the_top(suspected: list[str], raw: bytes) -> str | None:
    """Under names of their own, two fields of one name both survive the parser, which knows what stands at the top."""
    number = count()
    key = re.compile(rf'(?<!\\)"({"|".join(suspected)})"(?=[ \t\r\n]*:)'.encode())
    renamed = orjson.loads(key.sub(lambda match: b'"%b%b%d"' % (match[1], _MARK.encode(), next(number)), raw))
    found = Counter(field.partition(_MARK)[0] for field in renamed if _MARK in field)
    return next((field for field, times in found.items() if times > 1), None)
