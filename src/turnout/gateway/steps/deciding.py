"""The decision alone: what would be called, and why, without a call. For `POST /v1/route`, and for other programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson

from turnout.chat_client import ConnectionPool
from turnout.config import Config, ModelConfig
from turnout.gateway.choosing.chooser import Choice, Chooser
from turnout.gateway.choosing.routes import Routes, load_routes
from turnout.gateway.counters import Counters
from turnout.gateway.errors import RequestError
from turnout.gateway.limits.worst_case import worst_case
from turnout.gateway.protocols.base import Bridge, ClientProtocol, ModelRequest, parse_object, refused
from turnout.gateway.protocols.error_shapes import openai_body
from turnout.gateway.protocols.openai_chat import OPENAI_CHAT
from turnout.gateway.protocols.openai_responses import OPENAI_RESPONSES
from turnout.gateway.steps.account import Account
from turnout.routers.base import Router

_NOWHERE = "http://nowhere.invalid/v1"


class DecisionOnly:
    """POST /v1/route: the body of a chat completion (`messages`) or of a response (`input`)."""

    name = "route"
    path = "/v1/route"
    routed = True

    def __init__(self, like: ClientProtocol) -> None:
        """Args: the protocol that the body would be sent in."""
        self._like = like

    def parse(self, raw: bytes) -> ModelRequest:
        """The request in a body, whichever of the two protocols it is of."""
        body = parse_object(raw)
        if body.get("messages") is None and body.get("input") is None:
            raise refused("'messages' is missing: the conversation to decide for (or 'input').", param="messages")
        decision = DECISION_ONLY if body.get("messages") is not None else _DECISION_ON_RESPONSE
        return replace(decision._like.parse(raw), protocol=decision, stream=False)

    def turns(self, body: dict[str, Any]) -> Sequence[Mapping[str, Any]]:
        """The conversation, however it was sent."""
        return self._like.turns(body)

    def max_output_tokens(self, body: dict[str, Any]) -> int | None:
        """The most that the model would be allowed to write."""
        return self._like.max_output_tokens(body)

    def error_body(self, error: RequestError) -> bytes:
        """OpenAI's error object."""
        return openai_body(error)

    def error_event(self, error: RequestError) -> bytes:
        """Decisions are never streamed."""
        return b"data: " + openai_body(error) + b"\n\n"

    def bridge_to(self, model: ModelConfig) -> Bridge:
        """What would carry the request to this model's provider, so that what cannot go over counts here, too."""
        return self._like.bridge_to(model)


DECISION_ONLY = DecisionOnly(OPENAI_CHAT)
_DECISION_ON_RESPONSE = DecisionOnly(OPENAI_RESPONSES)


def decision_object(account: Account) -> dict[str, Any]:
    """A decision for clients, with the most that either model would be thought to read, write and cost."""
    choice, decision = account.choice, account.choice.decision
    models = [model for model in (choice.strong, choice.weak) if model is not None] or [choice.model]
    worst = {model.name: worst_case(account.request, model.config) for model in models}
    return {
        "object": "turnout.decision",
        "decision_id": choice.id,
        "route": choice.asked_for,
        "model": choice.model.name,
        "side": decision.side if decision else None,
        "win_rate": decision.win_rate if decision and decision.win_rate == decision.win_rate else None,
        "threshold": decision.threshold if decision else None,
        "reason": choice.reason,
        "worst_case": {
            model.name: {
                "input_tokens": worst[model.name].input_tokens,
                "output_tokens": worst[model.name].output_tokens,
                "cost_usd": worst[model.name].usd if model.config.price else None,
            }
            for model in models
        },
    }


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
