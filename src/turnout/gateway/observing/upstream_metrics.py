"""What Prometheus is told of the addresses of providers: breakers, calls under way, calls in line."""

from __future__ import annotations

from collections.abc import Callable

from turnout.gateway.choosing.routes import Routes
from turnout.gateway.metrics import Registry
from turnout.gateway.upstreams.balancing import Address


def watch_upstreams(registry: Registry, routes: Callable[[], Routes]) -> None:
    """Add gauges of the addresses of the configuration of the moment. Addresses go by model and number."""

    def addresses() -> list[Address]:
        return [address for model in routes().models.values() for address in model.balancer.addresses]

    registry.gauge(
        "turnout_breaker_open",
        "In how many workers the breaker of an address is open or half-open.",
        lambda: [((address.name,), int(address.breaker.state != "closed")) for address in addresses()],
        ("address",),
    )
    registry.gauge(
        "turnout_upstream_calls",
        "Calls under way at each address.",
        lambda: [((address.name,), address.under_way) for address in addresses()],
        ("address",),
    )
    registry.gauge(
        "turnout_upstream_waiting",
        "Calls of each model that wait for a place.",
        lambda: [((model.name,), model.balancer.waiting) for model in routes().models.values()],
        ("model",),
    )
