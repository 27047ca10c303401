"""The configuration file: TOML → frozen dataclasses. Unknown keys are errors; secrets are names of variables.

docs/reference/configuration.md lists every key. Nothing here reads a secret: `ModelConfig.api_key` looks it
up in the environment when the gateway is built.
"""

from __future__ import annotations

from turnout.config.checks import host_and_port
from turnout.config.ledger import LedgerConfig, QueryText
from turnout.config.models import AddressConfig, ModelConfig, ProviderProtocol
from turnout.config.reading import load_config, parse_config
from turnout.config.routes import RouteConfig
from turnout.config.server import NEVER_FORWARDED, ObserveConfig, ServerConfig, is_loopback
from turnout.config.upstream import UpstreamConfig
from turnout.config.whole import Config

__all__ = [
    "NEVER_FORWARDED",
    "AddressConfig",
    "Config",
    "LedgerConfig",
    "ModelConfig",
    "ObserveConfig",
    "ProviderProtocol",
    "QueryText",
    "RouteConfig",
    "ServerConfig",
    "UpstreamConfig",
    "host_and_port",
    "is_loopback",
    "load_config",
    "parse_config",
]
