"""The seam for who may ask, for what, and at what expense. Here everyone may; the gateway's owner pays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from turnout.gateway.asgi import Scope
from turnout.gateway.protocols.base import ModelRequest

if TYPE_CHECKING:
    from turnout.gateway.account import Account


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks."""

    id: str | None = None
    """None where the gateway asks no one who they are."""


ANYONE = Caller()


class Access(Protocol):
    """Lets the right ones in. Any of the first three steps may raise a RequestError, which ends the request."""

    def authenticate(self, scope: Scope) -> Caller:
        """Who asks, by the request's headers alone: its body is not read for a stranger."""
        ...

    def admit(self, caller: Caller, request: ModelRequest) -> None:
        """Whether they may ask for this name, and may ask again already."""
        ...

    async def reserve(self, account: Account) -> None:
        """Set the worst case aside, before the call; may replace `account.choice` by a cheaper one."""
        ...

    def settle(self, account: Account) -> None:
        """Replace the worst case by what it came to. Called once for each `reserve`, whatever happened since."""
        ...


class OpenAccess:
    """Everyone may ask for everything."""

    def authenticate(self, scope: Scope) -> Caller:
        """No one in particular."""
        return ANYONE

    def admit(self, caller: Caller, request: ModelRequest) -> None:
        """Always."""

    async def reserve(self, account: Account) -> None:
        """Nothing needs to be set aside."""

    def settle(self, account: Account) -> None:
        """Nothing was."""
