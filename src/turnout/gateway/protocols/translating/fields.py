"""Strict reading of a client's request, and the 400 where a field cannot go over."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from turnout.gateway.errors import RequestError
from turnout.gateway.protocols.base import refused

_DATA_URL = re.compile(r"data:([a-zA-Z0-9.+-]+/[a-zA-Z0-9.+-]+);base64,(.*)\Z", re.DOTALL)


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


def refuse_unless_neutral(body: Mapping[str, Any], neutral: Mapping[str, tuple[Any, ...]], protocol: str) -> None:
    """Refuse the first of these fields that holds anything but null or a value that changes nothing."""
    for field, values in neutral.items():
        if body.get(field) is not None and body[field] not in values:
            raise no_counterpart(field, protocol)


def text(value: Any, field: str) -> str:
    """The value if it is a text."""
    if not isinstance(value, str):
        raise refused(f"'{field}' must be a text.", param=field)
    return value


def placed(value: Any, field: str) -> list[tuple[str, dict[str, Any]]]:
    """Each object of a list, behind its place as errors name it; absent is empty.

    >>> placed([{"type": "text"}], "content")
    [('content[0]', {'type': 'text'})]
    """
    if value is None:
        return []
    if not isinstance(value, list):
        raise refused(f"'{field}' must be a list.", param=field)
    items = [(f"{field}[{position}]", item) for position, item in enumerate(value)]
    for place, item in items:
        if not isinstance(item, dict):
            raise refused(f"'{place}' must be an object.", param=place)
    return items


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


def data_url(url: str) -> tuple[str, str] | None:
    """Media type and base64 data of a data: address; None for any other address.

    >>> data_url("data:image/png;base64,iVBORw0KGgo=")
    ('image/png', 'iVBORw0KGgo=')
    """
    match = _DATA_URL.match(url)
    return (match[1], match[2]) if match else None
