"""OpenAI's responses: as they are for a provider that has them, as chat completions or messages for any other."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from turnout.chat_client import CHAT_PATH
from turnout.config import ModelConfig
from turnout.gateway.errors import RequestError
from turnout.gateway.protocols.anthropic_messages import MESSAGES_PATH, max_tokens_field
from turnout.gateway.protocols.base import (
    Bridge,
    ModelRequest,
    largest_whole_number,
    model_of,
    parse_object,
    refused,
    stream_of,
)
from turnout.gateway.protocols.bridges import PassingBridge, TranslatingBridge
from turnout.gateway.protocols.error_shapes import openai_body, openai_upstream_error, response_error
from turnout.gateway.protocols.streams import (
    ChatBooks,
    MessageBooks,
    NamedSink,
    ResponseBooks,
    TranslatorChain,
    named_event,
)
from turnout.gateway.protocols.translating.chat_to_messages.answer import chat_answer
from turnout.gateway.protocols.translating.chat_to_messages.request import messages_request
from turnout.gateway.protocols.translating.chat_to_messages.stream import ChatChunks
from turnout.gateway.protocols.translating.responses_to_chat.answer import response_answer
from turnout.gateway.protocols.translating.responses_to_chat.request import chat_request
from turnout.gateway.protocols.translating.responses_to_chat.stream import ResponseEvents
from turnout.gateway.protocols.usage import chat_usage, message_usage, response_usage


class OpenAIResponses:
    """POST /v1/responses."""

    name = "responses"
    path = "/v1/responses"
    routed = True
    follows_up = True

    def parse(self, raw: bytes) -> ModelRequest:
        """The request in a body."""
        body = parse_object(raw)
        model, stream = model_of(body), stream_of(body)
        given = body.get("input")
        # A provider that stores conversations may need no input; what it makes of that is its own business.
        if given is not None and not isinstance(given, str | list):
            raise refused("'input' must be a text or a list of items.", param="input")
        for position, item in enumerate(given if isinstance(given, list) else ()):
            if not isinstance(item, dict):
                raise refused(f"'input[{position}]' must be an object.", param=f"input[{position}]")
        return ModelRequest(self, raw, body, model, stream)

    def turns(self, body: dict[str, Any]) -> Sequence[Mapping[str, Any]]:
        """The input's messages, after the instructions."""
        turns: list[dict[str, Any]] = []
        if body.get("instructions") is not None:
            turns.append({"role": "system", "content": body["instructions"]})
        given = body.get("input")
        if isinstance(given, str):
            turns.append({"role": "user", "content": given})
        elif given:
            turns += (item for item in given if "role" in item)
        return turns

    def max_output_tokens(self, body: dict[str, Any]) -> int | None:
        """Reasoning included."""
        return largest_whole_number(body, "max_output_tokens")

    def error_body(self, error: RequestError) -> bytes:
        """OpenAI's error object."""
        return openai_body(error)

    def error_event(self, error: RequestError) -> bytes:
        """The event that ends a stream which failed."""
        return named_event(response_error(error.message, code=error.code, param=error.param))

    def bridge_to(self, model: ModelConfig) -> Bridge:
        """A provider that has responses gets the client's bytes."""
        if model.protocol == "anthropic":
            return _TO_MESSAGES
        return _TO_RESPONSES if model.native_responses else _TO_CHAT


def _chat_request(body: Mapping[str, Any], model: ModelConfig) -> dict[str, Any]:
    return chat_request(body, model=model.upstream_model, max_tokens_field=max_tokens_field(model))


def _messages_request(body: Mapping[str, Any], model: ModelConfig) -> dict[str, Any]:
    request = chat_request(body, model=model.upstream_model)
    try:
        return messages_request(request, model=model.upstream_model, max_tokens=model.max_output_tokens)
    except RequestError as error:
        if not (error.param or "").startswith("messages"):
            raise
        # The client sent no messages, so it is told of what they were made from.
        raise refused(f"'input', as chat messages: {error.message}", code=error.code, param="input") from None


def _sink(body: Mapping[str, Any]) -> NamedSink:
    return NamedSink(ping=b": ping\n\n", error=response_error)


_TO_RESPONSES = PassingBridge("/responses", usage=response_usage, books=lambda body: ResponseBooks())
_TO_CHAT = TranslatingBridge(
    CHAT_PATH,
    request=_chat_request,
    answer=response_answer,
    usage=chat_usage,
    error=openai_upstream_error,
    books=lambda: ChatBooks(wants_usage=True),
    translator=ResponseEvents,
    sink=_sink,
)
_TO_MESSAGES = TranslatingBridge(
    MESSAGES_PATH,
    request=_messages_request,
    answer=lambda answer, body: response_answer(chat_answer(answer, created=int(time.time())), body),
    usage=message_usage,
    error=openai_upstream_error,
    books=MessageBooks,
    translator=lambda body: TranslatorChain(ChatChunks(created=int(time.time())), ResponseEvents(body)),
    sink=_sink,
)

OPENAI_RESPONSES = OpenAIResponses()
