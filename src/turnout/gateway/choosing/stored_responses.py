"""Which model holds which stored response, so that what follows up on it goes there.

Providers that have OpenAI's responses store them, and take `previous_response_id` (or a `conversation`) instead of all
that was said before. Another provider knows nothing of it. What is kept is a hash of the id, in the ledger's database
for all workers and across restarts, without a ledger in this process's memory alone.

All clients share the account that the gateway pays for, so to a provider the responses of one are those of all. Where
clients have keys, the hash is therefore one of the id and the key: a response is found by the key that it was given to.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from turnout.config import ModelConfig
from turnout.gateway.errors import RequestError
from turnout.gateway.ledger.remembered import Remembered, Table
from turnout.gateway.limits.caller import ANYONE, Caller
from turnout.server_sent_events import event_data

KEPT_S = 30 * 86_400.0
"""As long as OpenAI stores a response."""

_MAX_ID = 200
_FOLLOWED_BY = ("previous_response_id", "conversation")
_LOOKS_FOR_KEYS = 5
"""A refusal is worth a second look or two: another worker may just be writing down what it gave."""


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

    async def find_followed(self, body: Mapping[str, Any], caller: Caller) -> StoredResponse | None:
        """Where that is which a request follows up on, if it does and that is known.

        Raises:
            RequestError: it is not known as the client key's own. What is unknown may be another client's, and a client
                is told the same of either: what OpenAI tells of a response that it does not have, so that programs
                know to send the whole conversation. Without a key nothing is refused.
        """
        found = None
        for param in _FOLLOWED_BY:
            if body.get(param) is None:
                continue
            id = _id(body[param])
            looks = 1 if caller.key is None else _LOOKS_FOR_KEYS
            place = None if id is None else await self.find_soon(key_of(id, caller), looks=looks)
            if place is None and caller.key is not None:
                raise _cannot_tell(param) if self.is_failing else _not_given(param)
            found = found or place
        return found


def key_of(id: str, caller: Caller = ANYONE) -> str:
    """What a response or a conversation is remembered by; under the same id something else for every client's key."""
    return hashlib.blake2b(id.encode(), key=(caller.id or "").encode(), digest_size=16).hexdigest()


def followed(body: Mapping[str, Any]) -> str | None:
    """The id of what a request follows up on, or None if it holds all that was said.

    >>> followed({"previous_response_id": "resp_1"}), followed({"conversation": {"id": "conv_1"}}), followed({})
    ('resp_1', 'conv_1', None)
    """
    return next((id for param in _FOLLOWED_BY if (id := _id(body.get(param))) is not None), None)


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


def _not_given(param: str) -> RequestError:
    what = param.removesuffix("_id")
    return RequestError(
        400,
        f"The {what.replace('_', ' ')} is none that this gateway gave to this key and still knows of. Send the whole "
        "conversation instead.",
        code=f"{what}_not_found",
        param=param,
    )


def _cannot_tell(param: str) -> RequestError:
    return RequestError(
        503,
        f"The gateway cannot tell at present whose '{param}' that is. Try again soon.",
        type="server_error",
        code="responses_unavailable",
        param=param,
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
