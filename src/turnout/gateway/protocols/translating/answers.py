"""Lenient reading of a provider's answers, since no one can be asked to mend them; what turns a stream into another."""

from __future__ import annotations

from typing import Any, Protocol

import orjson

from turnout.errors import UpstreamProtocolError


class EventTranslator(Protocol):
    """Turns the events of one stream into another protocol's. Holds what the stream has said so far."""

    def feed(self, event: dict[str, Any]) -> list[dict[str, Any]]:
        """The events that follow from this one."""
        ...

    def end(self) -> list[dict[str, Any]]:
        """The events that follow from the end of the stream."""
        ...


def answered_arguments(value: Any) -> dict[str, Any]:
    """The same for a tool call in a provider's answer."""
    try:
        parsed = orjson.loads(value or "{}")
    except (orjson.JSONDecodeError, TypeError):
        parsed = None
    if not isinstance(parsed, dict):
        raise UpstreamProtocolError("The model called a tool with arguments that are not a JSON object.")
    return parsed


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
