"""POST /v1/route: asked like a chat completion or a response, answered with the decision alone, without a call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from turnout.config import ModelConfig
from turnout.gateway.errors import RequestError
from turnout.gateway.protocols.base import Bridge, ClientProtocol, ModelRequest, parse_object, refused
from turnout.gateway.protocols.error_shapes import openai_body, openai_event
from turnout.gateway.protocols.openai_chat import OPENAI_CHAT
from turnout.gateway.protocols.openai_responses import OPENAI_RESPONSES


class DecisionOnly:
    """POST /v1/route: the body of a chat completion (`messages`) or of a response (`input`)."""

    name = "route"
    path = "/v1/route"
    routed = True

    def __init__(self, like: ClientProtocol) -> None:
        """Args: the protocol that the body would be sent in."""
        self._like = like
        self.follows_up = like.follows_up

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
        return openai_event(error)

    def bridge_to(self, model: ModelConfig) -> Bridge:
        """What would carry the request to this model's provider, so that what cannot go over counts here, too."""
        return self._like.bridge_to(model)


DECISION_ONLY = DecisionOnly(OPENAI_CHAT)
_DECISION_ON_RESPONSE = DecisionOnly(OPENAI_RESPONSES)
