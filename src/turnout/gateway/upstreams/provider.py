"""What the gateway asks of whatever calls a provider. `ChatClient` does it over HTTP, `LiteLLMClient` by a library."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Protocol


class ProviderAnswer(Protocol):
    """An answer that has begun."""

    @property
    def status(self) -> int:
        """The HTTP status."""
        ...

    @property
    def headers(self) -> Mapping[str, str]:
        """The HTTP headers."""
        ...

    async def read(self) -> bytes:
        """The whole body."""
        ...

    def chunks(self) -> AsyncIterator[bytes]:
        """The body in the pieces in which it arrives."""
        ...

    async def drain(self) -> None:
        """Read the rest and forget it, for a moment at most."""
        ...


class ProviderClient(Protocol):
    """Calls one provider."""

    max_event_bytes: int
    """The largest event of a stream that is taken."""

    def open(
        self,
        body: bytes,
        *,
        path: str,
        headers: Mapping[str, str] | None = None,
        within_s: float | None = None,
    ) -> AbstractAsyncContextManager[ProviderAnswer]:
        """`async with client.open(body, path=...) as answer`; see `ChatClient.open`."""
        ...
