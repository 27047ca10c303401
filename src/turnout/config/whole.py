"""A whole configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from turnout.config.ledger import LedgerConfig
from turnout.config.models import ModelConfig
from turnout.config.routes import RouteConfig
from turnout.config.server import ObserveConfig, ServerConfig
from turnout.config.upstream import UpstreamConfig


@dataclass(frozen=True, slots=True)
class Config:
    """A whole configuration file."""

    models: Mapping[str, ModelConfig]
    routes: Mapping[str, RouteConfig]
    server: ServerConfig = field(default_factory=ServerConfig)
    upstream: UpstreamConfig = field(default_factory=UpstreamConfig)
    ledger: LedgerConfig = field(default_factory=LedgerConfig)
    observe: ObserveConfig = field(default_factory=ObserveConfig)

    @property
    def is_shared(self) -> bool:
        """Whether other processes may write to the same ledger."""
        return self.server.workers > 1 or self.ledger.url_env is not None
