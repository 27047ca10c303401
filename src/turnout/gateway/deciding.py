"""The decision alone, for other programs: what would be called, and why, without a call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import orjson

from turnout.chat_client import ConnectionPool
from turnout.config import Config
from turnout.gateway.choosing.chooser import Choice, Chooser
from turnout.gateway.choosing.routes import Routes, load_routes
from turnout.gateway.counters import Counters
from turnout.gateway.protocols.decision_only import DECISION_ONLY
from turnout.routers.base import Router

_NOWHERE = "http://nowhere.invalid/v1"


class Decider:
    """Decides in this process as the gateway of the same configuration would for a conversation new to it.

    It calls nothing, records nothing and remembers no conversation. Use it on one event loop.
    """

    def __init__(self, routes: Routes, counters: Counters | None = None) -> None:
        self.routes = routes
        self.counters = counters or Counters()
        self._chooser = Chooser(self.counters)

    @classmethod
    def from_config(cls, config: Config, *, routers: Mapping[str, Router] | None = None) -> Decider:
        """For a configuration whose providers are of no interest: no key is read and no address is used.

        Raises:
            ConfigError: a router cannot be loaded.
        """
        models = {
            name: replace(model, protocol="openai", base_url=_NOWHERE, api_key_env=None, addresses=())
            for name, model in config.models.items()
        }
        config = replace(config, models=models)
        pool = ConnectionPool(max_connections=1)
        return cls(load_routes(config, pool, routers=routers, environment={}))

    async def decide(self, body: Mapping[str, Any]) -> Choice:
        """The choice for a request.

        Args:
            body: of a chat completion (`model`, `messages`, …) or of a response (`model`, `input`, …).

        Raises:
            RequestError: there is no such route, the body is none, or no model of the route can take it.
        """
        request = DECISION_ONLY.parse(orjson.dumps(body, default=str))
        return await self._chooser.choose(self.routes.find(request.model), request, {"type": "http", "headers": []})

    def close(self) -> None:
        """Stop the routers' threads."""
        self.routes.close()
