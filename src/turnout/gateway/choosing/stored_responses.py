"""Which model holds which stored response, so that what follows up on it goes there.

Providers that have OpenAI's responses store them, and take `previous_response_id` (or a `conversation`) instead of all
that was said before. Another provider knows nothing of it. What is kept is a hash of the id, in the ledger's database
for all workers and across restarts, without a ledger in this process's memory alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from turnout.config import ModelConfig
from turnout.gateway.ledger.remembered import Remembered, Table
from turnout.server_sent_events import event_data

KEPT_S = 30 * 86_400.0
"""As long as OpenAI stores a response."""

_MAX_ID = 200


@dataclass(frozen=True, slots=True)
class StoredResponse:
    """Where a response is."""

    model: str
    time: float
    """When it was given, in seconds since 1970."""
    address: str
    """Which of the model's addresses gave it."""


class StoredResponses(Remembered[StoredResponse]):
    """Remembers responses by the hashes that `key_of` gives."""

    table = Table("stored_responses", StoredResponse, KEPT_S)


def key_of(id: str) -> str:
    """What a response or a conversation is remembered by."""
    return hashlib.blake2b(id.encode(), digest_size=16).hexdigest()


def followed(body: Mapping[str, Any]) -> str | None:
    """The id of what a request follows up on, or None if it holds all that was said.

    >>> followed({"previous_response_id": "resp_1"}), followed({"conversation": {"id": "conv_1"}}), followed({})
    ('resp_1', 'conv_1', None)
    """
    return _id(body.get("previous_response_id")) or conversation_id(body)


def conversation_id(body: Mapping[str, Any]) -> str | None:
    """The id of the conversation that a request adds to, where its provider keeps one."""
    return _id(body.get("conversation"))


def response_id(content: bytes) -> str | None:
    """The id in a response object, or in the first event of a stream that holds it."""
    if content.lstrip()[:1] == b"{":
        return _id_in(content)
    for event in content.replace(b"\r\n", b"\n").split(b"\n\n"):
        if (id := _id_in(event_data(event), inside="response")) is not None:
            return id
    return None


def share_a_store(first: ModelConfig, second: ModelConfig) -> bool:
    """Whether one provider holds the responses of both models: the same account at the same address, and no other."""
    return (
        first.native_responses
        and second.native_responses
        and not (first.addresses or second.addresses)
        and (first.base_url, first.api_key_env) == (second.base_url, second.api_key_env)
    )


def _id_in(content: bytes, *, inside: str | None = None) -> str | None:
    try:
        found = orjson.loads(content)
    except orjson.JSONDecodeError:
        return None
    if inside is not None and isinstance(found, dict):
        found = found.get(inside)
    return _id(found)


def _id(value: Any) -> str | None:
    """An id, or that of an object that has one."""
    if isinstance(value, dict):
        value = value.get("id")
    return value if isinstance(value, str) and 0 < len(value) <= _MAX_ID else None
