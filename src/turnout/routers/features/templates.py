"""What varies in a route's queries: the text that most of them share (a system prompt, examples) is found and cut off.

Real traffic comes wrapped, and a wrapping that is longer than the question hides it from every router. No list of
phrases is kept: what is shared is learned from a sample of the route's own queries.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from turnout.errors import ArtifactError
from turnout.types import JSON

_SHARED = 0.5
"""A text is the template's if at least this part of the queries has it."""
_LEAST_QUERIES = 10
"""From fewer queries nothing is learned: two that begin alike are no template."""
_LEAST_WORDS = 8
"""A shorter start or end that is shared ("What is the") is left where it is, unless nearly all queries have it beside
shared lines."""
_NEARLY_ALL = 0.95
_PIECE = re.compile(r"\S+\s*")


@dataclass(frozen=True)
class Template:
    """Lines, a start and an end that most queries of a route share."""

    lines: frozenset[str] = frozenset()
    """Whole lines, wherever they stand, without white space around them."""
    start: tuple[str, ...] = ()
    """Words that what is left begins with."""
    end: tuple[str, ...] = ()
    """Words that it ends with."""

    @classmethod
    def learned_from(cls, queries: Sequence[str]) -> Self:
        """The template of queries that came by one route, at least ten.

        >>> wrap = "You are a friendly assistant.\\nPlease answer this question now: {}".format
        >>> Template.learned_from([wrap(f"{n} + {n}?") for n in range(20)]).unwrap(wrap("7 + 8?"))
        '7 + 8?'
        """
        distinct = sorted(set(queries))
        if len(distinct) < _LEAST_QUERIES:
            return cls()
        needed = _SHARED * len(distinct)
        counts = Counter(line for query in distinct for line in {line.strip() for line in query.splitlines()})
        lines = frozenset(line for line, count in counts.items() if line and count >= needed)
        left = [_without_lines(query, lines) for query in distinct]
        pieces = [[piece.strip() for piece in _PIECE.findall(text)] for text in left]
        nearly_all = _NEARLY_ALL * len(distinct) if lines else math.inf
        start = _shared_start(pieces, needed, nearly_all)
        pieces = [words[len(start) :] if tuple(words[: len(start)]) == start else words for words in pieces]
        end = _shared_start([words[::-1] for words in pieces], needed, nearly_all)[::-1]
        return cls(lines, start, end)

    def unwrap(self, query: str) -> str:
        """What varies in a query; the query itself if it does not have the lines, or if nothing would be left."""
        if not self:
            return query
        text = _without_lines(query, self.lines) if self.lines else query
        if self.lines and len(text) == len(query):
            return query
        pieces = _PIECE.findall(text)
        first, last = 0, len(pieces)
        if self.start and _words(pieces[: len(self.start)]) == self.start:
            first = len(self.start)
        if self.end and last - len(self.end) >= first and _words(pieces[-len(self.end) :]) == self.end:
            last -= len(self.end)
        if (first, last) != (0, len(pieces)):
            text = "".join(pieces[first:last])
        return text.strip() or query

    def __bool__(self) -> bool:
        return bool(self.lines or self.start or self.end)

    def __str__(self) -> str:
        """How much of a query it is.

        >>> str(Template(frozenset({"You are a friendly assistant."}), start=("Please",)))
        '1 whole line, 1 word at the start'
        """
        parts = (
            (len(self.lines), "whole line", ""),
            (len(self.start), "word", " at the start"),
            (len(self.end), "word", " at the end"),
        )
        return ", ".join(f"{n} {noun}{'s' * (n > 1)}{where}" for n, noun, where in parts if n)

    def to_json(self) -> dict[str, JSON]:
        """As a JSON object."""
        return {"lines": sorted(self.lines), "start": list(self.start), "end": list(self.end)}

    @classmethod
    def from_json(cls, value: Mapping[str, JSON]) -> Self:
        """The template that `to_json` described.

        Raises:
            ArtifactError: the object is not one.
        """
        try:
            return cls(frozenset(value["lines"]), tuple(value["start"]), tuple(value["end"]))
        except (KeyError, TypeError) as error:
            raise ArtifactError(f"not a template ({error!r}): the router is damaged. Train it anew.") from error


def _without_lines(query: str, lines: frozenset[str]) -> str:
    return "\n".join(line for line in query.split("\n") if line.strip() not in lines)


def _words(pieces: Sequence[str]) -> tuple[str, ...]:
    return tuple(piece.strip() for piece in pieces)


def _shared_start(texts: Sequence[Sequence[str]], needed: float, nearly_all: float) -> tuple[str, ...]:
    """The longest start that as many texts share, leaving at least one word of each."""
    start: tuple[str, ...] = ()
    sharing, by_nearly_all = [text for text in texts if text], 0
    while True:
        longer = Counter(text[len(start)] for text in sharing if len(text) > len(start) + 1)
        word, count = max(longer.items(), key=lambda entry: (entry[1], entry[0]), default=("", 0))
        if count < needed:
            return start if len(start) >= _LEAST_WORDS else start[:by_nearly_all]
        sharing = [text for text in sharing if len(text) > len(start) + 1 and text[len(start)] == word]
        start = (*start, word)
        if count >= nearly_all:
            by_nearly_all = len(start)
