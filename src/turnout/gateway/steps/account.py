"""What becomes of one request, noted as it goes from step to step. Every seam reads and writes this one object."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from turnout.gateway.asgi import Header
from turnout.gateway.choosing.chooser import Choice
from turnout.gateway.limits.caller import Caller
from turnout.gateway.protocols.base import Bridge, ModelRequest
from turnout.gateway.protocols.usage import Usage
from turnout.gateway.upstreams.model import UpstreamModel
from turnout.pricing import Price

CLIENT_LEFT = 499
"""The status of a request whose client did not wait for the answer."""


@dataclass(slots=True)
class Account:
    """One request from the choice of its model to the end of its answer."""

    caller: Caller
    request: ModelRequest
    choice: Choice
    """What was decided. Access may replace it, before the call, by something cheaper."""
    arrived: float
    """In seconds since 1970 (UTC)."""
    started: float
    """When it arrived, by `time.perf_counter`, as all times below."""
    model: UpstreamModel = field(init=False)
    """The model that is being called or that answers: the chosen one, unless the upstream fell back on another."""
    bridge: Bridge | None = field(default=None, init=False)
    """What carried the request to that model, and carries its answer back."""
    hold: Any = field(default=None, init=False)
    """What Access reserved; no one else reads it."""
    trace: Any = field(default=None, init=False)
    """The spans of `tracing`; no one else reads it."""
    status: int = field(default=0, init=False)
    """What the client saw."""
    error: str | None = field(default=None, init=False)
    """What went wrong after the decision, as a code."""
    fell_back: str | None = field(default=None, init=False)
    """Which models failed before this one, and how, as text."""
    address: str = field(default="", init=False)
    """Which of the model's addresses answers."""
    response_id: str | None = field(default=None, init=False)
    """What a follow-up may call the answer by, where the client's protocol has that."""
    item_ids: set[str] = field(default_factory=set, init=False)
    """What a request may call the answer's parts by, where that is to be remembered."""
    tries: int = field(default=0, init=False)
    """Calls that were made for it."""
    usage: Usage | None = field(default=None, init=False)
    is_cut: bool = field(default=False, init=False)
    """Whether a stream broke off, so that more was written than `usage` says."""
    is_closed: bool = field(default=False, init=False)
    """Whether it is settled and recorded, so that nothing that comes later counts."""
    called: float | None = field(default=None, init=False)
    first_byte: float | None = field(default=None, init=False)
    answered: float | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.model = self.choice.model

    def headers(self) -> list[Header]:
        """The answer's headers that say who answers, what was decided, and why."""
        headers = self.choice.headers(self.model)
        if self.tries > 1:
            headers.append((b"x-turnout-tries", str(self.tries).encode()))
        if self.fell_back is not None:
            headers.append((b"x-turnout-fallback", self.fell_back.encode()))
        return headers

    def reason(self) -> str:
        """Why the model that answers does, fallbacks included."""
        reason = self.choice.reason
        return reason if self.fell_back is None else f"{reason}; fell back: {self.fell_back}"

    def latency_s(self) -> float:
        """From the request's arrival until now."""
        return time.perf_counter() - self.started

    def upstream_first_byte_s(self) -> float | None:
        """From the call of the provider to the beginning of its answer."""
        return _between(self.called, self.first_byte)

    def upstream_latency_s(self) -> float | None:
        """From the call of the provider to the end of its answer."""
        return _between(self.called, self.answered)

    def cost_usd(self) -> float | None:
        """What the counted tokens cost with the model that answered."""
        return _cost_usd(self.model.config.price, self.usage)

    def cost_usd_if_strong(self) -> float | None:
        """What the same tokens would have cost with the route's strong model."""
        strong = self.choice.strong
        return _cost_usd(strong.config.price, self.usage) if strong else None


def _between(start: float | None, end: float | None) -> float | None:
    return None if start is None or end is None else end - start


def _cost_usd(price: Price | None, usage: Usage | None) -> float | None:
    return None if price is None or usage is None else usage.cost_usd(price)
