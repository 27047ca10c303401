"""`--set KEY=VALUE`: settings of a router, an encoder or an importer, checked against its __init__."""

from __future__ import annotations

import inspect
import json
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Union

import click

from turnout.errors import InvalidValueError, UnknownNameError
from turnout.types import JSON

Command = Callable[..., Any]

SEED = click.IntRange(min=0)
"""The type of every seed option: numpy takes no seed below 0."""


def set_option(command: Command) -> Command:
    """The option `--set`, as often as there are settings to set."""
    return click.option(
        "--set", "settings", multiple=True, metavar="KEY=VALUE", help="A setting; give as many as needed."
    )(command)


def parse_settings(kind: str, target: Callable[..., object], pairs: Sequence[str]) -> dict[str, Any]:
    """The settings as keyword arguments of `target`; values are JSON where they can be, else text.

    What errors and the documentation of Python call None may be written so, or as null.

    Args:
        kind: what the target is, for errors, such as `router 'knn'`.
        target: the class whose __init__ takes the settings.
        pairs: each KEY=VALUE.

    Raises:
        UnknownNameError: the target takes no such setting; the message suggests the nearest.
        InvalidValueError: a pair has no `=`, or a value is of another type than the setting; whether it is in range,
            the target says.
    """
    known = [name for name in inspect.signature(target).parameters if name != "encoder"]
    types_of = _types_of(target)
    settings = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals:
            raise InvalidValueError(f"A setting is written KEY=VALUE, got '{pair}'.")
        if key not in known:
            raise UnknownNameError(f"setting of the {kind}", key, known)
        settings[key] = _value(f"{key} of the {kind}", types_of.get(key, Any), text)
        if key == "seed" and isinstance(settings[key], int) and settings[key] < 0:
            raise InvalidValueError(f"{key} of the {kind} must be at least 0, got {text}.")
    return settings


def _types_of(target: Callable[..., object]) -> dict[str, Any]:
    """The annotations of `__init__`; none for a plugin whose annotations cannot be read where it runs."""
    try:
        return typing.get_type_hints(target.__init__ if inspect.isclass(target) else target)
    except (NameError, TypeError):
        return {}


def _value(setting: str, expected: Any, text: str) -> Any:
    read = None if text == "None" else json_or_text(text)
    for value in (read, text):  # the text as it is, for a name that is also a number
        if _fits(value, expected):
            return value
    raise InvalidValueError(f"{setting} must be {_in_words(expected)}, got {text}.")


def _fits(value: Any, expected: Any) -> bool:
    """Whether a value that JSON can hold is of an annotated type; True for types that JSON knows nothing of."""
    origin, arguments = typing.get_origin(expected), typing.get_args(expected)
    if origin in (Union, types.UnionType):
        return any(_fits(value, one) for one in arguments)
    if origin is Literal:
        return value in arguments
    if expected in (int, float):
        kinds = (int, float) if expected is float else int
        return isinstance(value, kinds) and not isinstance(value, bool)
    if expected in (bool, str, types.NoneType):
        return isinstance(value, expected)
    kind = origin or expected
    if inspect.isclass(kind) and issubclass(kind, Sequence):
        return isinstance(value, list) and all(_fits(part, arguments[0]) for part in value if arguments)
    if inspect.isclass(kind) and issubclass(kind, Mapping):
        return isinstance(value, dict)
    return True


def _in_words(expected: Any) -> str:
    origin, arguments = typing.get_origin(expected), typing.get_args(expected)
    if origin in (Union, types.UnionType):
        return " or ".join(map(_in_words, arguments))
    if origin is Literal:
        return " or ".join(map(str, arguments))
    plain = {int: "a whole number", float: "a number", bool: "true or false", str: "text", types.NoneType: "None"}
    if expected in plain:
        return plain[expected]
    kind = origin or expected
    if inspect.isclass(kind) and issubclass(kind, Sequence):
        return "a list in JSON" + (f", each {_in_words(arguments[0])}" if arguments else "")
    return "an object in JSON"


def json_or_text(text: str) -> JSON:
    """The value that was written as JSON, or else the text as it is, so that words need no quotes of their own.

    >>> json_or_text("0.5"), json_or_text("strong")
    (0.5, 'strong')
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError):  # no JSON, or a number or depth beyond what Python reads
        return text
