"""The seam for who may ask, for what, and at what expense. Here everyone may; the gateway's owner pays."""

from __future__ import annotations

from typing import Protocol

from turnout.gateway.asgi import Scope
from turnout.gateway.limits.caller import ANYONE, Caller
from turnout.gateway.protocols.base import ModelRequest
from turnout.gateway.steps.account import Account


class Access(Protocol):
    """Lets the right ones in. Any of the first three steps may raise a RequestError, which ends the request."""

    @property
    def asks_for_keys(self) -> bool:
        """Whether a request without a key is refused."""
        ...

    async def start(self) -> None:
        """Called once, when the gateway starts."""
        ...

    async def aclose(self) -> None:
        """Called when no request is under way any more."""
        ...

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

    asks_for_keys = False

    async def start(self) -> None:
        """Nothing needs to be read."""

    async def aclose(self) -> None:
        """Nothing is held."""

    def authenticate(self, scope: Scope) -> Caller:
        """No one in particular."""
        return ANYONE

    def admit(self, caller: Caller, request: ModelRequest) -> None:
        """Always."""

    async def reserve(self, account: Account) -> None:
        """Nothing needs to be set aside."""

    def settle(self, account: Account) -> None:
        """Nothing was."""
