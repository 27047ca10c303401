"""All that serves one configuration, replaced whole when the configuration is read anew.

A request ends in the generation in which it began; the last one out closes the door.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from turnout.config import Config
from turnout.gateway.browsers import BrowserGuard
from turnout.gateway.choosing.routes import Routes
from turnout.gateway.steps.pipeline import Pipeline


@dataclass(eq=False)
class Generation:
    """A configuration, its routes, the path of its requests, and what is refused before that."""

    config: Config
    routes: Routes
    pipeline: Pipeline
    guard: BrowserGuard
    _under_way: int = field(default=0, init=False)
    _when_empty: Callable[[], None] | None = field(default=None, init=False)

    @contextmanager
    def request(self) -> Iterator[Pipeline]:
        """The path, for the duration of one request."""
        self._under_way += 1
        try:
            yield self.pipeline
        finally:
            self._under_way -= 1
            self._close_if_empty()

    def retire(self, successor: Generation) -> None:
        """Take no further request, and close what the successor does not use once the last one has ended."""
        kept = successor.routes.scorers()
        self._when_empty = lambda: self.routes.close(keep=kept)
        self._close_if_empty()

    def _close_if_empty(self) -> None:
        if self._when_empty is not None and not self._under_way:
            when_empty, self._when_empty = self._when_empty, None
            when_empty()


def needing_restart(old: Config, new: Config) -> list[str]:
    """What differs between two configurations and cannot change while the gateway runs.

    >>> from turnout.config import parse_config
    >>> models = {"m": {"base_url": "http://127.0.0.1:8000/v1"}}
    >>> old, new = (parse_config({"models": models, "server": {"port": port}}) for port in (8400, 8500))
    >>> needing_restart(old, new)
    ['[server] port']
    """
    differing = [
        f"[server] {name}"
        for name in ("host", "port", "workers", "require_keys")
        if getattr(old.server, name) != getattr(new.server, name)
    ]
    if old.upstream.max_connections != new.upstream.max_connections:
        differing.append("[upstream] max_connections")
    differing += [f"[{name}]" for name in ("ledger", "observe") if getattr(old, name) != getattr(new, name)]
    return differing


def reloadable(old: Config, new: Config) -> Config:
    """The new configuration with the old one's values of what cannot change while the gateway runs."""
    server = replace(
        new.server,
        host=old.server.host,
        port=old.server.port,
        workers=old.server.workers,
        require_keys=old.server.require_keys,
    )
    upstream = replace(new.upstream, max_connections=old.upstream.max_connections)
    return replace(new, server=server, upstream=upstream, ledger=old.ledger, observe=old.observe)
