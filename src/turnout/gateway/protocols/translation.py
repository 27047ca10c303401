"""What all translations between protocols share: strict reading of fields, and the 400 where a field cannot go over.

Translations are pure functions from dict to dict. A field is translated, left out because it changes no answer (each
translation lists those), or refused by name: nothing that would change the answer is dropped in silence.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import orjson

from turnout.errors import UpstreamProtocolError
from turnout.gateway.errors import RequestError
from turnout.gateway.protocols.base import refused

_DATA_URL = re.compile(r"data:([a-zA-Z0-9.+-]+/[a-zA-Z0-9.+-]+);base64,(.*)\Z", re.DOTALL)


class EventTranslator(Protocol):
    """Turns the events of one stream into another protocol's. Holds what the stream has said so far."""

    def feed(self, event: dict[str, Any]) -> list[dict[str, Any]]:
        """The events that follow from this one."""
        ...

    def end(self) -> list[dict[str, Any]]:
        """The events that follow from the end of the stream."""
        ...


def no_counterpart(field: str, protocol: str) -> RequestError:
    """400: a field that cannot be put to a provider that speaks another protocol than the client."""
    return refused(
        f"'{field}' has no counterpart in {protocol}, which the provider of this model speaks. Leave it out, or ask "
        "for a model whose provider speaks the protocol of this request.",
        code="not_translatable",
        param=field,
    )


def refuse_unknown(body: Mapping[str, Any], known: Iterable[str], protocol: str, *, within: str = "") -> None:
    """Refuse the first field that is none of those; null counts as absent."""
    for field, value in body.items():
        if value is not None and field not in known:
            raise no_counterpart(f"{within}.{field}" if within else field, protocol)


def text(value: Any, field: str) -> str:
    """The value if it is a text."""
    if not isinstance(value, str):
        raise refused(f"'{field}' must be a text.", param=field)
    return value


def objects(value: Any, field: str) -> list[dict[str, Any]]:
    """The value if it is a list of objects; absent is empty."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise refused(f"'{field}' must be a list.", param=field)
    for position, item in enumerate(value):
        if not isinstance(item, dict):
            raise refused(f"'{field}[{position}]' must be an object.", param=f"{field}[{position}]")
    return value


def obj(value: Any, field: str) -> dict[str, Any]:
    """The value if it is an object."""
    if not isinstance(value, dict):
        raise refused(f"'{field}' must be an object.", param=field)
    return value


def arguments_object(value: Any, field: str) -> dict[str, Any]:
    """A tool call's arguments as an object, from the JSON text that OpenAI's protocols hold."""
    try:
        parsed = orjson.loads(text(value, field) or "{}")
    except orjson.JSONDecodeError:
        parsed = None
    if not isinstance(parsed, dict):
        raise refused(f"'{field}' must be a JSON object as text.", param=field)
    return parsed


def answered_arguments(value: Any) -> dict[str, Any]:
    """The same for a tool call in a provider's answer."""
    try:
        parsed = orjson.loads(value or "{}")
    except (orjson.JSONDecodeError, TypeError):
        parsed = None
    if not isinstance(parsed, dict):
        raise UpstreamProtocolError("The model called a tool with arguments that are not a JSON object.")
    return parsed


def data_url(url: str) -> tuple[str, str] | None:
    """Media type and base64 data of a data: address; None for any other address.

    >>> data_url("data:image/png;base64,iVBORw0KGgo=")
    ('image/png', 'iVBORw0KGgo=')
    """
    match = _DATA_URL.match(url)
    return (match[1], match[2]) if match else None


def json_text(value: Any) -> str:
    """The value as JSON."""
    return orjson.dumps(value).decode()


def whole(value: Any) -> int:
    """A count in a provider's answer; 0 where there is none."""
    return value if type(value) is int and value > 0 else 0


def word(value: Any) -> str | None:
    """A text in a provider's answer; None where there is none."""
    return value if isinstance(value, str) else None


def dict_or_empty(value: Any) -> dict[str, Any]:
    """The value if it is an object; answers are read leniently, since no one can be asked to mend them."""
    return value if isinstance(value, dict) else {}


def dicts(value: Any) -> list[dict[str, Any]]:
    """The objects in a value if it is a list."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def error_message(value: Any) -> str:
    """What a provider's error object says, whichever protocol it is of."""
    error = dict_or_empty(value).get("error")
    message = error if isinstance(error, str) else dict_or_empty(error).get("message")
    return message if isinstance(message, str) and message else "The provider reported an error."
