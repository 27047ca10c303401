"""Who asks."""

from __future__ import annotations

from dataclasses import dataclass

from turnout.gateway.limits.keys import ClientKey


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks."""

    id: str | None = None
    """None where the gateway asks no one who they are."""
    key: ClientKey | None = None

    def may_ask_for(self, name: str) -> bool:
        """Whether this model name is one of theirs."""
        return self.key is None or self.key.allows(name)


ANYONE = Caller()
