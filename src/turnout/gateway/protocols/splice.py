"""Changes single fields of a JSON body and leaves every other byte as the client wrote it.

Parsing and writing a body again would round its numbers, collapse repeated keys and cost more time than this.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import orjson

from turnout.gateway.protocols.base import dumped

_TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[{}\[\],]', re.DOTALL)
_MODEL = b'"model"'
_TEXT_VALUE = re.compile(rb'[ \t\r\n]*:[ \t\r\n]*("[^"\\]*(?:\\.[^"\\]*)*")', re.DOTALL)
# Each letter of "model" that is written as an escape begins so.
_ESCAPED_LETTER = b"\\u006"

Edit = tuple[int, int, bytes]
"""The bytes from start to end become these."""


def provider_body(raw: bytes, parsed: Mapping[str, Any], *, model: str, count_usage: bool) -> bytes:
    """The body for the provider: the client's bytes with the model's name replaced.

    With `count_usage`, `stream_options.include_usage` is made true as well.

    >>> raw = b'{"model": "auto", "seed": 1e2, "stream": true}'
    >>> provider_body(raw, orjson.loads(raw), model="gpt-4o", count_usage=False)
    b'{"model": "gpt-4o", "seed": 1e2, "stream": true}'

    Args:
        raw: a JSON object that has a text field `model`.
        parsed: the same, parsed.
        model: the provider's name of the model.
        count_usage: whether the answer is a stream whose tokens are to be counted.
    """
    edits = _model_edits(raw, orjson.dumps(model))
    if count_usage:
        edits += _usage_edits(raw, parsed)
    return _apply(raw, edits)


def _model_edits(raw: bytes, new: bytes) -> list[Edit]:
    if _ESCAPED_LETTER not in raw:
        # The name of the field is then written out wherever it stands, so a single place is the right one.
        places = _model_texts(raw)
        if len(places) == 1:
            return [(*places[0], new)]
    return [(start, end, new) for start, end in top_level_values(raw)["model"]]


def _model_texts(raw: bytes) -> list[tuple[int, int]]:
    """Where a text stands as the value of a field named model, at whatever depth."""
    places = []
    position = raw.find(_MODEL)
    while position >= 0:
        after = position + len(_MODEL)
        # Behind a backslash the quote is part of a longer name.
        if raw[position - 1] != ord("\\") and (match := _TEXT_VALUE.match(raw, after)):
            places.append(match.span(1))
        position = raw.find(_MODEL, after)
    return places


def _usage_edits(raw: bytes, parsed: Mapping[str, Any]) -> list[Edit]:
    if "stream_options" not in parsed:
        brace = raw.index(b"{") + 1
        return [(brace, brace, b'"stream_options":{"include_usage":true},')]
    options = parsed["stream_options"]
    wanted = {**(options if isinstance(options, dict) else {}), "include_usage": True}
    if wanted == options:
        return []
    return [(start, end, dumped(wanted)) for start, end in top_level_values(raw)["stream_options"]]


def top_level_values(raw: bytes) -> dict[str, list[tuple[int, int]]]:
    """Where the value of each top-level field of a JSON object stands; more than once if the field does.

    >>> top_level_values(b'{"a": [1, {"b": 2}], "a": 3 }')
    {'a': [(6, 19), (26, 28)]}
    """
    places: dict[str, list[tuple[int, int]]] = {}
    depth = 0
    key: str | None = None
    start = 0
    for token in _TOKEN.finditer(raw):
        kind = raw[token.start()]
        if kind == ord('"'):
            if depth == 1 and key is None:
                key = orjson.loads(token[0])
                start = raw.index(b":", token.end()) + 1
                while raw[start] in b" \t\r\n":
                    start += 1
        elif kind in b"{[":
            depth += 1
        else:
            if depth == 1 and key is not None:  # a comma, or the end of the object
                places.setdefault(key, []).append((start, token.start()))
                key = None
            if kind != ord(","):
                depth -= 1
    return places


def _apply(raw: bytes, edits: list[Edit]) -> bytes:
    parts: list[bytes] = []
    position = 0
    for start, end, new in sorted(edits):
        parts += (raw[position:start], new)
        position = end
    parts.append(raw[position:])
    return b"".join(parts)
