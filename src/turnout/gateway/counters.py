"""What happened since the gateway started, as plain numbers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Counters:
    """Counts since the start. Changed on the event loop alone."""

    requests: int = 0
    """Requests for a model that arrived."""
    refused: int = 0
    """Requests that the gateway itself refused: not JSON, unknown model, too large."""
    strong: int = 0
    weak: int = 0
    router_failures: int = 0
    """Requests that went to strong because their router failed or was too slow."""
    only_one_could: int = 0
    """Requests that only one model of the pair could take: images, tools, a schema, a language, their length."""
    upstream_failures: int = 0
    """Providers that refused, hung, cut off or sent rubbish."""
    clients_left: int = 0
