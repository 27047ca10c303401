"""Which model holds which stored response, so that what follows up on it goes there.

Providers that have OpenAI's responses store them, and take `previous_response_id` (or a `conversation`) instead of all
that was said before. Another provider knows nothing of it. What is kept is a hash of the id, in the ledger's database
for all workers and across restarts, without a ledger in this process's memory alone.

All clients share the account that the gateway pays for, so to a provider the responses of one are those of all. Where
clients have keys, the hash is therefore one of the id and the key: a response is found by the key that it was given to.
Then the items of a response are remembered, too, since a request may refer to each by itself.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
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
_HELD_IN = {"reasoning": "encrypted_content", "image_generation_call": "result"}
"""Items that a client may send back without what they hold, and where it stands if not: the provider looks it up."""

_ENDS = (b"response.output_item.done", b"response.completed", b"response.incomplete")
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
            RequestError: it, or an item that is referred to, is not known as the client key's own. What is unknown may
                be another client's, and a client is told the same of either: what OpenAI tells of a response that it
                does not have, so that programs know to send the whole conversation. Without a key nothing is refused.
        """
        found = None
        for param in _FOLLOWED_BY:
            if body.get(param) is not None:
                place = await self._find(_id(body[param]), param.removesuffix("_id"), param, caller)
                found = found or place
        if caller.key is not None:
            for param, id in _referred_to(body):
                await self._find(id, "item", param, caller)
        return found

    async def _find(self, id: str | None, what: str, param: str, caller: Caller) -> StoredResponse | None:
        place = None
        if id is not None:
            key = key_of(id, caller)
            looks = 1 if caller.key is None else _LOOKS_FOR_KEYS
            # Whose an item is does not change, and a conversation may have hundreds of them.
            place = (self.known_here(key) if what == "item" else None) or await self.find_soon(key, looks=looks)
        if place is None and caller.key is not None:
            raise _cannot_tell(param) if self.is_failing else _not_given(what, param)
        return place


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


def item_ids(content: bytes) -> set[str]:
    """The ids of what a response put out: in a response object, or in those events of a stream that end something."""
    if content.lstrip()[:1] == b"{":
        return _output_ids(_parsed(content))
    found: set[str] = set()
    if any(kind in content for kind in _ENDS):
        for event in content.replace(b"\r\n", b"\n").split(b"\n\n"):
            parsed = _parsed(event_data(event))
            found |= _output_ids(parsed.get("response"))
            if (id := _id(parsed.get("item"))) is not None:
                found.add(id)
    return found


def share_a_store(first: ModelConfig, second: ModelConfig) -> bool:
    """Whether one provider holds the responses of both models: the same account at the same address, and no other."""
    return (
        first.native_responses
        and second.native_responses
        and not (first.addresses or second.addresses)
        and (first.base_url, first.api_key_env) == (second.base_url, second.api_key_env)
    )


def _referred_to(body: Mapping[str, Any]) -> Iterator[tuple[str, str | None]]:
    """(where it stands, id) of each item whose content the provider is to look up; None for what can be no id."""
    given = body.get("input")
    for position, item in enumerate(given if isinstance(given, list) else ()):
        if not isinstance(item, dict):
            continue
        kind = item.get("type")
        is_reference = kind == "item_reference" or (kind is None and item.get("role") is None)
        held_in = _HELD_IN.get(kind) if isinstance(kind, str) else None
        is_looked_up = held_in is not None and not item.get(held_in)
        if (is_reference or is_looked_up) and item.get("id") is not None:
            yield f"input[{position}]", _id(item)


def _not_given(what: str, param: str) -> RequestError:
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
        headers=((b"retry-after", b"1"),),
    )


def _id_in(content: bytes, *, inside: str | None = None) -> str | None:
    found = _parsed(content)
    return _id(found if inside is None else found.get(inside))


def _parsed(content: bytes) -> dict[str, Any]:
    """A JSON object; empty where that is not what it is."""
    try:
        found = orjson.loads(content)
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def _output_ids(response: Any) -> set[str]:
    output = response.get("output") if isinstance(response, dict) else None
    items = output if isinstance(output, list) else ()
    return {id for item in items if isinstance(item, dict) and (id := _id(item)) is not None}


def _id(value: Any) -> str | None:
    """An id, or that of an object that has one."""
    if isinstance(value, dict):
        value = value.get("id")
    return value if isinstance(value, str) and 0 < len(value) <= _MAX_ID else None
