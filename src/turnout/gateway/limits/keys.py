"""Clients' keys: made, listed and revoked in the ledger, recognised from memory.

A key reads `tk-ID-SECRET`. The id is public: it stands in the ledger and in lists. The secret is 256 random bits, of
which the ledger keeps the SHA-256 alone. A slow hash such as scrypt guards passwords, which people choose and which can
be guessed; 2^256 equally likely secrets cannot be, however fast the hash is, and a fast one lets every request be
checked in a microsecond.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import math
import secrets
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from turnout.errors import InvalidValueError, UnknownNameError
from turnout.gateway.ledger.database import Connection, Row

AtLimit = Literal["reject", "weak"]
"""What becomes of a request that a budget no longer covers: 429, or the route's weak model."""

_PREFIX = "tk"
_MAX_KEY_CHARACTERS = 200
_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Limits:
    """What a key may use; None is no limit. Minutes, days and months are the calendar's, in UTC."""

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    """Read and written together."""
    usd_per_day: float | None = None
    usd_per_month: float | None = None
    at_limit: AtLimit = "reject"
    """Of the dollar limits. What the weak model then costs is still counted, but no longer held back."""

    @property
    def is_none(self) -> bool:
        """Whether nothing is limited."""
        return (
            self.requests_per_minute is None
            and self.tokens_per_minute is None
            and self.usd_per_day is None
            and self.usd_per_month is None
        )

    def __post_init__(self) -> None:
        for name in ("requests_per_minute", "tokens_per_minute", "usd_per_day", "usd_per_month"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value > 0):
                raise InvalidValueError(
                    f"{name} must be above 0, got {value:g}. To shut a key out, revoke it: turnout keys revoke ID"
                )
        if self.at_limit not in get_args(AtLimit):
            raise InvalidValueError(f"at_limit must be 'reject' or 'weak', got '{self.at_limit}'.")


@dataclass(frozen=True, slots=True)
class ClientKey:
    """What is known of a key; the key itself is known to its holder alone."""

    id: str
    name: str | None
    created: float
    """In seconds since 1970."""
    revoked: float | None
    routes: frozenset[str] | None
    """The model names that may be asked for; None is all."""
    limits: Limits
    secret_sha256: bytes = field(repr=False)

    def allows(self, name: str) -> bool:
        """Whether this model name may be asked for."""
        return self.routes is None or name in self.routes


def create_key(
    connection: Connection,
    *,
    name: str | None = None,
    routes: Iterable[str] = (),
    limits: Limits | None = None,
) -> tuple[ClientKey, str]:
    """A new key, and its text, which no one can be shown again.

    Args:
        connection: to an up-to-date ledger.
        name: for people.
        routes: the model names that may be asked for; none means all.
        limits: what it may use; by default whatever it likes.
    """
    if name is not None and not (name.isprintable() and 0 < len(name) <= 100):
        raise InvalidValueError("A key's name must be 1 to 100 printable characters.")
    limits = limits or Limits()
    allowed = frozenset(routes) or None
    id, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
    key = ClientKey(id, name, time.time(), None, allowed, limits, _digest(secret))
    with connection.exclusive():
        connection.execute(
            f"INSERT INTO client_keys ({_COLUMNS}, change) VALUES ({_MARKS}, {_NEXT_CHANGE})",
            (
                key.id,
                key.secret_sha256.hex(),
                key.name,
                key.created,
                key.revoked,
                None if allowed is None else json.dumps(sorted(allowed)),
                limits.requests_per_minute,
                limits.tokens_per_minute,
                limits.usd_per_day,
                limits.usd_per_month,
                limits.at_limit,
            ),
        )
    return key, f"{_PREFIX}-{id}-{secret}"


def list_keys(connection: Connection) -> list[ClientKey]:
    """All keys, revoked ones included, oldest first."""
    return [_key(row) for row in connection.execute(f"SELECT {_COLUMNS} FROM client_keys ORDER BY created, id")]


def revoke_key(connection: Connection, id: str) -> ClientKey:
    """The key, revoked now unless it was before.

    Raises:
        UnknownNameError: there is none with this id.
    """
    known = {key.id: key for key in list_keys(connection)}
    id = id.removeprefix(f"{_PREFIX}-")
    if id not in known:
        # What follows the id may be a secret, so it is not shown.
        raise UnknownNameError("key", id.partition("-")[0][:20], known)
    with connection.exclusive():
        connection.execute(
            f"UPDATE client_keys SET revoked = ?, change = {_NEXT_CHANGE} WHERE id = ? AND revoked IS NULL",
            (time.time(), id),
        )
    return next(key for key in list_keys(connection) if key.id == id)


class KeyRing:
    """All keys in memory, so that a request is checked without asking the ledger."""

    def __init__(self) -> None:
        self._keys: dict[str, ClientKey] = {}
        self._seen: Row = (0, 0.0)
        self.ever_held_one = False
        """Whether a key was ever made. Revoking the last one does not open the gateway again, nor does losing the
        ledger that they were in."""

    def read(self, connection: Connection) -> None:
        """Take over what changed in the ledger since the last time; cheap if nothing did."""
        # The time tells one ledger's first change from another's.
        (seen,) = connection.execute("SELECT COALESCE(MAX(change), 0), COALESCE(MAX(created), 0) FROM client_keys")
        if seen != self._seen:
            self._keys = {key.id: key for key in list_keys(connection)}
            self._seen = seen
            self.ever_held_one = self.ever_held_one or bool(self._keys)
            if self.ever_held_one and not self._keys:
                _logger.error("the ledger holds no keys any more: everyone is refused until there are some again")

    def find(self, presented: str) -> ClientKey | None:
        """The key whose text this is; None for a wrong or a revoked one."""
        if len(presented) > _MAX_KEY_CHARACTERS:
            return None
        prefix, _, rest = presented.partition("-")
        id, _, secret = rest.partition("-")
        key = self._keys.get(id) if prefix == _PREFIX else None
        # Equally long for all wrong secrets. The id is public, so that looking it up gives nothing away.
        if key is None or not hmac.compare_digest(_digest(secret), key.secret_sha256) or key.revoked is not None:
            return None
        return key


_COLUMN_NAMES = (
    "id",
    "secret_sha256",
    "name",
    "created",
    "revoked",
    "routes",
    "requests_per_minute",
    "tokens_per_minute",
    "usd_per_day",
    "usd_per_month",
    "at_limit",
)
_COLUMNS = ", ".join(_COLUMN_NAMES)
_MARKS = ", ".join("?" for _ in _COLUMN_NAMES)
_NEXT_CHANGE = "(SELECT COALESCE(MAX(change), 0) + 1 FROM client_keys)"


def _key(row: Sequence[Any]) -> ClientKey:
    id, secret_sha256, name, created, revoked, routes, *limits = row
    return ClientKey(
        id=id,
        name=name,
        created=created,
        revoked=revoked,
        routes=None if routes is None else frozenset(json.loads(routes)),
        limits=Limits(*limits),
        secret_sha256=bytes.fromhex(secret_sha256),
    )


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
