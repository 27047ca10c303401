"""OpenAI's chat completions, for any provider."""

from __future__ import annotations

import time
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
)
from turnout.gateway.protocols.bridges import PassingBridge, TranslatingBridge
from turnout.gateway.protocols.error_shapes import openai_body, openai_event, openai_upstream_error
from turnout.gateway.protocols.streams import ChatBooks, ChatSink, MessageBooks
from turnout.gateway.protocols.translating.chat_to_messages.answer import chat_answer
from turnout.gateway.protocols.translating.chat_to_messages.request import messages_request
from turnout.gateway.protocols.translating.chat_to_messages.stream import ChatChunks
from turnout.gateway.protocols.usage import chat_usage, message_usage


class OpenAIChat:
    """POST /v1/chat/completions."""

    name = "chat"
    path = "/v1/chat/completions"
    routed = True
    follows_up = False

    def parse(self, raw: bytes) -> ModelRequest:
        """The request in a body."""
        return conversation_request(self, raw)

    def turns(self, body: dict[str, Any]) -> Sequence[Mapping[str, Any]]:
        """The messages as they are."""
        messages: list[dict[str, Any]] = body["messages"]
        return messages

    def max_output_tokens(self, body: dict[str, Any]) -> int | None:
        """By its newer name or its older: the larger of both, since providers heed one or the other."""
        return largest_whole_number(body, "max_completion_tokens", "max_tokens")

    def error_body(self, error: RequestError) -> bytes:
        """OpenAI's error object."""
        return openai_body(error)

    def error_event(self, error: RequestError) -> bytes:
        """The error object as an event."""
        return openai_event(error)

    def bridge_to(self, model: ModelConfig) -> Bridge:
        """A provider of the same protocol gets the client's bytes."""
        return _TO_ANTHROPIC if model.protocol == "anthropic" else _TO_OPENAI


def wants_usage(body: Mapping[str, Any]) -> bool:
    """Whether a client itself asked for the chunk with the token counts."""
    options = body.get("stream_options")
    return isinstance(options, dict) and options.get("include_usage") is True


_TO_OPENAI = PassingBridge(
    CHAT_PATH,
    usage=chat_usage,
    books=lambda body: ChatBooks(wants_usage=wants_usage(body)),
    count_usage=True,
)
_TO_ANTHROPIC = TranslatingBridge(
    "/messages",
    request=lambda body, model: messages_request(body, model=model.upstream_model, max_tokens=model.max_output_tokens),
    answer=lambda answer, body: chat_answer(answer, created=int(time.time())),
    usage=message_usage,
    error=openai_upstream_error,
    books=MessageBooks,
    translator=lambda body: ChatChunks(created=int(time.time())),
    sink=lambda body: ChatSink(wants_usage=wants_usage(body)),
)

OPENAI_CHAT = OpenAIChat()
