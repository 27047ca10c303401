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
    stayed_in_tool_loop: int = 0
    """Requests that stayed with strong although their win rate said weak, since a tool loop was running."""
    stayed_for_cache: int = 0
    """Requests that stayed with strong since its prompt cache was worth more than the weak model would have saved."""
    upstream_failures: int = 0
    """Providers that refused, hung, cut off or sent rubbish."""
    clients_left: int = 0
    retries: int = 0
    """Calls that were made again for the same model."""
    fallbacks: int = 0
    """Requests that went on to another model because the one before had failed."""
    breakers_opened: int = 0
    unavailable: int = 0
    """Times that a model was not called: its breaker was open, or its line too long."""
    reloads: int = 0
    """Times that another configuration was taken up."""
    reloads_refused: int = 0
    """Times that it could not be used, and the old one stayed."""
