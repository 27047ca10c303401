"""OpenAI's embeddings: to the model that is named, byte for byte."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from turnout.config import ModelConfig
from turnout.gateway.errors import RequestError
from turnout.gateway.protocols.base import Bridge, ModelRequest, model_of, parse_object, refused
from turnout.gateway.protocols.bridges import PassingBridge
from turnout.gateway.protocols.error_shapes import openai_body, openai_event
from turnout.gateway.protocols.streams import ChatBooks
from turnout.gateway.protocols.usage import chat_usage


class OpenAIEmbeddings:
    """POST /v1/embeddings. Not routed: vectors of two models cannot be compared."""

    name = "embeddings"
    path = "/v1/embeddings"
    routed = False
    follows_up = False

    def parse(self, raw: bytes) -> ModelRequest:
        """The request in a body."""
        body = parse_object(raw)
        model = model_of(body)
        if not isinstance(body.get("input"), str | list):
            raise refused("'input' must be a text or a list.", param="input")
        return ModelRequest(self, raw, body, model, stream=False)

    def turns(self, body: dict[str, Any]) -> Sequence[Mapping[str, Any]]:
        """There is no conversation."""
        return ()

    def max_output_tokens(self, body: dict[str, Any]) -> int | None:
        """Nothing is written."""
        return 0

    def error_body(self, error: RequestError) -> bytes:
        """OpenAI's error object."""
        return openai_body(error)

    def error_event(self, error: RequestError) -> bytes:
        """Embeddings are never streamed."""
        return openai_event(error)

    def bridge_to(self, model: ModelConfig) -> Bridge:
        """Anthropic's protocol has no embeddings."""
        if model.protocol == "anthropic":
            raise refused(
                f"'model': the provider of '{model.name}' speaks Anthropic's protocol, which has no embeddings.",
                code="not_translatable",
                param="model",
            )
        return _TO_OPENAI


_TO_OPENAI = PassingBridge("/embeddings", usage=chat_usage, books=lambda body: ChatBooks(wants_usage=False))

OPENAI_EMBEDDINGS = OpenAIEmbeddings()
