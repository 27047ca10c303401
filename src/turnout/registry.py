"""Name → class, by kind. Built-ins and plugins come in by the same door: Python entry points.

A plugin declares, in its own pyproject.toml::

    [project.entry-points."turnout.routers"]
    my-router = "my_package.my_module:MyRouter"
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from turnout.errors import InvalidValueError, UnknownNameError

KINDS = {
    "router": "turnout.routers",
    "encoder": "turnout.encoders",
    "benchmark": "turnout.benchmarks",
    "importer": "turnout.importers",
}
"""Kind → entry-point group."""


@cache
def _entries(kind: str) -> dict[str, EntryPoint]:
    if kind not in KINDS:
        raise UnknownNameError("kind of plugin", kind, KINDS)
    found: dict[str, EntryPoint] = {}
    for entry in entry_points(group=KINDS[kind]):
        other = found.setdefault(entry.name, entry)
        if other.value != entry.value:
            raise InvalidValueError(
                f"Two installed packages both offer a {kind} named '{entry.name}': {other.value} and "
                f"{entry.value}. Uninstall one of them."
            )
    return found


def names(kind: str) -> list[str]:
    """The registered names of a kind (`router`, `encoder`, `benchmark`, `importer`), sorted."""
    return sorted(_entries(kind))


def load(kind: str, name: str) -> Any:
    """The class (or function) registered under a name; its module is imported only now.

    Raises:
        UnknownNameError: nothing of this kind has this name; the message suggests the nearest.
    """
    entries = _entries(kind)
    if name not in entries:
        raise UnknownNameError(kind, name, entries)
    return entries[name].load()
