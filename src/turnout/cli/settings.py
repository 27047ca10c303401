"""`--set KEY=VALUE`: settings of a router, an encoder or an importer, checked against its __init__."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Sequence
from typing import Any

import click

from turnout.errors import InvalidValueError, UnknownNameError

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
        try:
            settings[key] = json.loads(text)
        except json.JSONDecodeError:
            settings[key] = text
    return settings
