"""Anthropic's messages, for any provider, so that coding agents can point here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from turnout.chat_client import CHAT_PATH
from turnout.config import ModelConfig
from turnout.gateway.errors import RequestError
from turnout.gateway.protocols.base import (
    Bridge,
    ModelRequest,
    conversation_request,
    largest_whole_number,
    messages_of,
    model_of,
    parse_object,
    refused,
)
from turnout.gateway.protocols.bridges import PassingBridge, TranslatingBridge
from turnout.gateway.protocols.error_shapes import anthropic_body, anthropic_error
from turnout.gateway.protocols.streams import ChatBooks, MessageBooks, NamedSink, named_event
from turnout.gateway.protocols.translating.messages_to_chat.answer import message_answer
from turnout.gateway.protocols.translating.messages_to_chat.request import chat_request
from turnout.gateway.protocols.translating.messages_to_chat.stream import MessageEvents
from turnout.gateway.protocols.usage import chat_usage, message_usage

MESSAGES_PATH = "/messages"


class AnthropicMessages:
    """POST /v1/messages."""

    name = "messages"
    path = "/v1/messages"
    routed = True
    follows_up = False

    def parse(self, raw: bytes) -> ModelRequest:
        """The request in a body."""
        return conversation_request(self, raw)

    def turns(self, body: dict[str, Any]) -> Sequence[Mapping[str, Any]]:
        """The messages, after the system prompt, which stands apart from them."""
        messages: list[dict[str, Any]] = body["messages"]
        system = body.get("system")
        return messages if system is None else [{"role": "system", "content": system}, *messages]

    def max_output_tokens(self, body: dict[str, Any]) -> int | None:
        """The field that this protocol requires."""
        return largest_whole_number(body, "max_tokens")

    def error_body(self, error: RequestError) -> bytes:
        """Anthropic's error object."""
        return anthropic_body(error)

    def error_event(self, error: RequestError) -> bytes:
        """The error object as an event."""
        return named_event(anthropic_error(error.message, error.status))

    def bridge_to(self, model: ModelConfig) -> Bridge:
        """A provider of the same protocol gets the client's bytes."""
        return _TO_ANTHROPIC if model.protocol == "anthropic" else _TO_OPENAI


class AnthropicTokenCount(AnthropicMessages):
    """POST /v1/messages/count_tokens, for a model whose provider counts: no one else knows its tokens."""

    name = "count_tokens"
    path = "/v1/messages/count_tokens"
    routed = False
    follows_up = False

    def parse(self, raw: bytes) -> ModelRequest:
        """The request in a body; it is never streamed."""
        body = parse_object(raw)
        model = model_of(body)
        messages_of(body)
        return ModelRequest(self, raw, body, model, stream=False)

    def max_output_tokens(self, body: dict[str, Any]) -> int | None:
        """Nothing is written."""
        return 0

    def bridge_to(self, model: ModelConfig) -> Bridge:
        """Providers of the same protocol alone."""
        if model.protocol != "anthropic":
            raise refused(
                f"'model': the provider of '{model.name}' does not count tokens. Ask for a model whose provider speaks "
                "Anthropic's protocol.",
                code="not_translatable",
                param="model",
            )
        return _COUNT


def max_tokens_field(model: ModelConfig) -> str:
    """What an OpenAI-compatible provider calls the most that may be written: OpenAI itself has renamed it."""
    return "max_completion_tokens" if model.is_openai else "max_tokens"


def _chat_request(body: Mapping[str, Any], model: ModelConfig) -> dict[str, Any]:
    return chat_request(body, model=model.upstream_model, max_tokens_field=max_tokens_field(model))


_PING = named_event({"type": "ping"})
_TO_ANTHROPIC = PassingBridge(MESSAGES_PATH, usage=message_usage, books=lambda body: MessageBooks())
_COUNT = PassingBridge(f"{MESSAGES_PATH}/count_tokens", usage=lambda answer: None, books=lambda body: MessageBooks())
_TO_OPENAI = TranslatingBridge(
    CHAT_PATH,
    request=_chat_request,
    answer=lambda answer, body: message_answer(answer),
    usage=chat_usage,
    error=anthropic_error,
    books=lambda: ChatBooks(wants_usage=True),
    translator=lambda body: MessageEvents(),
    sink=lambda body: NamedSink(ping=_PING, error=lambda message: anthropic_error(message, 500)),
)

ANTHROPIC_MESSAGES = AnthropicMessages()
ANTHROPIC_TOKEN_COUNT = AnthropicTokenCount()
