"""What several tables hold: names of what is known, of environment variables, and addresses."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from urllib.parse import urlsplit

from turnout.errors import ConfigError

_VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_LISTEN = re.compile(r"(?:\[(?P<address>[0-9a-fA-F.]*:[0-9a-fA-F:.]+)\]|(?P<host>[^\s:\[\]/]+)):(?P<port>[0-9]{1,5})\Z")


def one_of(value: str, known: Iterable[str], where: str) -> None:
    """The value is one of the known ones, or the nearest of them is named."""
    known = list(known)
    if value not in known:
        nearest = difflib.get_close_matches(value, known, n=1)
        hint = f" Did you mean '{nearest[0]}'?" if nearest else ""
        raise ConfigError(f"{where} must be one of {', '.join(known) or '(none)'}, got '{value}'.{hint}")


def variable_name(name: str | None, where: str, key: str, example: str, secret: str) -> str | None:
    """The name of an environment variable, and never what looks like a secret in its place."""
    # What does not look like a variable's name may be the secret itself, so it is not shown.
    if name is not None and not _VARIABLE_NAME.match(name):
        raise ConfigError(
            f"{where}: {key} must be the name of an environment variable, such as {example} "
            f"(letters, digits and _), and not {secret} itself."
        )
    return name


def base_url_of(url: str, where: str) -> str:
    """A provider's address without a slash at its end."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or any(character.isspace() for character in url):
        raise ConfigError(f'{where}: base_url must be an address such as "https://api.openai.com/v1".')
    if parts.username or parts.password:
        raise ConfigError(f"{where}: base_url must hold no user or password. Use api_key_env.")
    if parts.query or parts.fragment:
        raise ConfigError(f"{where}: base_url must end with a path such as /v1, without '?' or '#'.")
    return url.rstrip("/")


def host_and_port(text: str, name: str) -> tuple[str, int]:
    """Where to listen, from HOST:PORT, an IPv6 address in brackets; port 0 takes a free one.

    Raises:
        ConfigError: it is something else; `name` is what the message calls it.

    >>> host_and_port("127.0.0.1:9400", "it"), host_and_port("[::]:9400", "it")
    (('127.0.0.1', 9400), ('::', 9400))
    """
    match = _LISTEN.match(text)
    if match is None or int(match["port"]) > 65_535:
        raise ConfigError(f"{name} must be HOST:PORT, such as 127.0.0.1:9400 or [::1]:9400, got '{text}'.")
    return match["address"] or match["host"], int(match["port"])
