"""A model name that clients may ask for."""

from __future__ import annotations

from dataclasses import dataclass

from turnout.query import QueryPolicy
from turnout.types import ModelPair


@dataclass(frozen=True, slots=True)
class RouteConfig:
    """A model name that clients may ask for: a router, a pair and an operating point."""

    name: str
    router: str
    """A shipped router's name, or a folder (taken relative to the configuration file)."""
    pair: ModelPair
    threshold: float | None = None
    strong_fraction: float | None = None
    """Exactly one of the two is set."""
    query: QueryPolicy = "conversation"
    fallbacks: tuple[str, ...] = ()
    """Models to try in this order where the chosen one and its own fallbacks fail; the pair's may be among them."""
    sticky: bool = True
    """Whether a conversation may stay with strong although its win rate says weak."""
    strip_boilerplate: bool = True
    """Whether the router is spared what programs put into user turns."""
