"""What tells a conversation from all others."""

from __future__ import annotations

import hashlib
from functools import cached_property
from itertools import takewhile
from typing import Any

import orjson

from turnout.gateway.asgi import Scope, header
from turnout.gateway.limits.caller import Caller
from turnout.gateway.protocols.base import ModelRequest

SESSION_HEADER = b"x-turnout-session"

_UNREADABLE_BEGINNING = 4_096


class SessionName:
    """What tells a conversation from all others: a header, or who asks and how the conversation begins."""

    def __init__(self, request: ModelRequest, scope: Scope, caller: Caller) -> None:
        self._request = request
        self._header = header(scope, SESSION_HEADER)
        self._caller = caller.id

    @cached_property
    def id(self) -> str:
        """A hash; of no use to anyone who does not know the conversation."""
        parts: list[Any] = [self._request.model, self._caller]
        if self._header is not None:
            parts.append(self._header.decode("latin-1"))
        else:
            body = self._request.body
            metadata = body.get("metadata")
            parts.append(body.get("user"))
            parts.append(metadata.get("user_id") if isinstance(metadata, dict) else None)
            parts += _beginning(self._request)
        try:
            named = orjson.dumps(parts)
        except TypeError:  # nested more deeply than can be written again
            named = self._request.raw[:_UNREADABLE_BEGINNING]
        return hashlib.blake2b(named, digest_size=16).hexdigest()


def _beginning(request: ModelRequest) -> list[Any]:
    """The system prompt and the first turn after it."""
    turns = request.turns()
    prompt = list(takewhile(lambda turn: turn.get("role") in ("system", "developer"), turns))
    return [turn.get("content") for turn in turns[: len(prompt) + 1]]
