"""One TOML table, read key by key: types, ranges, and what is left over."""

from __future__ import annotations

import difflib
import math
import re
from typing import Any, TypeVar

from turnout.errors import ConfigError

_NAME = re.compile(r"[\x21-\x7e]+\Z")
_SECRET_KEYS = frozenset({"api_key", "key", "token", "secret", "password", "authorization"})
Value = TypeVar("Value", str, int, float)

_KIND_NAMES: dict[type, str] = {str: "text", int: "a whole number", float: "a number"}


class Table:
    """One TOML table: each key is taken once, with its type checked; what is left over is unknown."""

    def __init__(self, content: Any, where: str) -> None:
        if not isinstance(content, dict):
            raise ConfigError(f"{where} must be a table, got {_describe(content)}.")
        self._content: dict[str, Any] = dict(content)
        self.where = where
        self._known: list[str] = []

    def take(self, key: str, kind: type[Value]) -> Value | None:
        """The key's value, or None where it is absent."""
        self._known.append(key)
        if key not in self._content:
            return None
        value = self._content.pop(key)
        # A whole number will do where a number is asked for; True is a number in Python, but not in TOML.
        kinds = (int, float) if kind is float else (kind,)
        if not isinstance(value, kinds) or isinstance(value, bool):
            raise ConfigError(f"{self.where}: {key} must be {_KIND_NAMES[kind]}, got {_describe(value)}.")
        if isinstance(value, float) and not math.isfinite(value):
            raise ConfigError(f"{self.where}: {key} must be a finite number, got {value}.")
        return kind(value)

    def text(self, key: str) -> str | None:
        """A text that is not empty."""
        value = self.take(key, str)
        if value is not None and not value.strip():
            raise ConfigError(f"{self.where}: {key} must not be empty.")
        return value

    def required_text(self, key: str) -> str:
        """The same, where there must be one."""
        value = self.text(key)
        if value is None:
            raise ConfigError(f"{self.where}: {key} is missing.{self._slip(key)}")
        return value

    def whole(self, key: str, default: int, *, least: int = 1, most: int | None = None) -> int:
        """A whole number in a range."""
        value = self.take(key, int)
        if value is None:
            return default
        if value < least or (most is not None and value > most):
            between = f"at least {least}" if most is None else f"from {least} to {most}"
            raise ConfigError(f"{self.where}: {key} must be {between}, got {value}.")
        return value

    def seconds(self, key: str, default: float) -> float:
        """A number of seconds above 0."""
        value = self.take(key, float)
        if value is None:
            return default
        if value <= 0:
            raise ConfigError(f"{self.where}: {key} must be a number of seconds above 0, got {value:g}.")
        return value

    def truth(self, key: str, default: bool) -> bool:
        """True or false."""
        self._known.append(key)
        value = self._content.pop(key, default)
        if not isinstance(value, bool):
            raise ConfigError(f"{self.where}: {key} must be true or false, got {_describe(value)}.")
        return value

    def texts(self, key: str, default: tuple[str, ...]) -> tuple[str, ...]:
        """A list of texts."""
        self._known.append(key)
        if key not in self._content:
            return default
        value = self._content.pop(key)
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise ConfigError(f"{self.where}: {key} must be a list of texts, got {_describe(value)}.")
        return tuple(value)

    def table(self, key: str) -> Table:
        """A table within this one; an absent one is empty."""
        self._known.append(key)
        return Table(self._content.pop(key, {}), f"[{key}]")

    def tables(self, key: str) -> dict[str, Table]:
        """Tables that go by names of the user's choice, which must fit into a header."""
        self._known.append(key)
        content = self._content.pop(key, {})
        if not isinstance(content, dict):
            raise ConfigError(f"{key} must be tables named [{key}.NAME], got {_describe(content)}.")
        for name in content:
            if not _NAME.match(name):
                raise ConfigError(
                    f"[{key}]: the name '{name}' cannot be sent in a header. Use printable ASCII without spaces."
                )
        return {name: Table(part, f"[{key}.{name}]") for name, part in content.items()}

    def list_of_tables(self, key: str) -> list[Table]:
        """A list of tables."""
        self._known.append(key)
        value = self._content.pop(key, [])
        if not isinstance(value, list):
            raise ConfigError(f"{self.where}: {key} must be a list of tables, got {_describe(value)}.")
        return [Table(part, f"{self.where}: {key}[{number}]") for number, part in enumerate(value)]

    def finish(self) -> None:
        """Refuse whatever no one took."""
        for key in self._content:
            # The value may be a secret, so it is never shown.
            if key.lower() in _SECRET_KEYS and "api_key_env" in self._known:
                raise ConfigError(
                    f"{self.where}: '{key}' is not a key: secrets do not belong in this file. Put the provider's "
                    'key into an environment variable and name that variable: api_key_env = "OPENAI_API_KEY".'
                )
            nearest = difflib.get_close_matches(key, self._known, n=1)
            hint = f" Did you mean '{nearest[0]}'?" if nearest else ""
            raise ConfigError(f"{self.where}: unknown key '{key}'.{hint} Known: {', '.join(sorted(self._known))}.")

    def _slip(self, key: str) -> str:
        nearest = difflib.get_close_matches(key, self._content, n=1)
        return f" Is '{nearest[0]}' meant to be it?" if nearest else ""


def _describe(value: Any) -> str:
    names: dict[type, str] = {**_KIND_NAMES, bool: "true or false", list: "a list", dict: "a table"}
    return names.get(type(value), type(value).__name__)
