"""How providers are called: time limits, retries and sizes."""

from __future__ import annotations

from dataclasses import dataclass, field

from turnout.call_limits import Retries, TimeLimits


@dataclass(frozen=True, slots=True)
class UpstreamConfig:
    """How providers are called: time limits, retries and sizes."""

    limits: TimeLimits = field(default_factory=TimeLimits)
    retries: Retries = field(
        default_factory=lambda: Retries(
            most=1,
            statuses=frozenset({408, 429, 500, 502, 503, 504, 529}),
            first_wait_s=0.5,
            longest_wait_s=5.0,
        )
    )
    """For one model, before anyone else is asked."""
    max_connections: int = 1000
    max_concurrent: int = 500
    """Calls of one address at once."""
    max_waiting: int = 500
    """Calls of one model that wait for a place."""
    wait_limit_s: float = 5.0
    """How long each of them waits."""
    breaker_failures: int = 5
    """So many failures among the last twice as many calls open an address's breaker; 0 switches breakers off."""
    breaker_open_s: float = 10.0
    max_answer_bytes: int = 32 << 20
    max_event_bytes: int = 4 << 20
