"""`--set KEY=VALUE`: settings of a router, an encoder or an importer, checked against its __init__."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Sequence
from typing import Any

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

    Args:
        kind: what the target is, for errors, such as `router 'knn'`.
        target: the class whose __init__ takes the settings.
        pairs: each KEY=VALUE.

    Raises:
        UnknownNameError: the target takes no such setting; the message suggests the nearest.
        InvalidValueError: a pair has no `=`.
    """
    known = [name for name in inspect.signature(target).parameters if name != "encoder"]
    settings = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals:
            raise InvalidValueError(f"A setting is written KEY=VALUE, got '{pair}'.")
        if key not in known:
            raise UnknownNameError(f"setting of the {kind}", key, known)
        settings[key] = json_or_text(text)
    return settings


def json_or_text(text: str) -> JSON:
    """The value that was written as JSON, or else the text as it is, so that words need no quotes of their own.

    >>> json_or_text("0.5"), json_or_text("strong")
    (0.5, 'strong')
    """
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text
