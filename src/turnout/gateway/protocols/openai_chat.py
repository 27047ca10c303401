"""OpenAI's chat completions: read as little as possible, passed on byte for byte."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from turnout.config import ModelConfig
from turnout.errors import UpstreamProtocolError
from turnout.gateway.errors import RequestError
from turnout.gateway.protocols.base import (
    Bridge,
    ModelRequest,
    messages_of,
    model_of,
    parse_object,
    stream_of,
    whole_number,
)
from turnout.gateway.protocols.chat_stream import ChatStreamReader
from turnout.gateway.splice import provider_body
from turnout.gateway.usage import Usage, chat_usage


class OpenAIChat:
    """POST /v1/chat/completions."""

    name = "chat"
    path = "/v1/chat/completions"

    def parse(self, raw: bytes) -> ModelRequest:
        """The request in a body."""
        body = parse_object(raw)
        model, stream = model_of(body), stream_of(body)
        messages_of(body)
        return ModelRequest(self, raw, body, model, stream)

    def turns(self, body: dict[str, Any]) -> Sequence[Mapping[str, Any]]:
        """The messages as they are."""
        messages: list[dict[str, Any]] = body["messages"]
        return messages

    def max_output_tokens(self, body: dict[str, Any]) -> int | None:
        """By its newer name or its older."""
        return whole_number(body, "max_completion_tokens", "max_tokens")

    def error_body(self, error: RequestError) -> bytes:
        """OpenAI's error object."""
        return error.body()

    def error_event(self, error: RequestError) -> bytes:
        """The error object as an event; no [DONE] follows."""
        return b"data: " + error.body() + b"\n\n"

    def bridge_to(self, model: ModelConfig) -> Bridge:
        """Providers of the same protocol get the client's bytes."""
        return CHAT_TO_OPENAI


class ChatToOpenAI:
    """The client's bytes under the provider's name of the model, and the provider's bytes back."""

    path = "/chat/completions"

    def body(self, request: ModelRequest, model: ModelConfig) -> bytes:
        """The same bytes with another model name; streams are told to count tokens."""
        return provider_body(request.raw, request.body, model=model.upstream_model, count_usage=request.stream)

    def whole(self, content: bytes, request: ModelRequest) -> tuple[bytes, Usage | None]:
        """The same bytes, once they are known to be an answer."""
        return content, chat_usage(answer_object(content))

    def refusal(self, content: bytes) -> bytes | None:
        """The same bytes, if they are an error object."""
        try:
            parsed = orjson.loads(content)
        except orjson.JSONDecodeError:
            return None
        return content if isinstance(parsed, dict) and "error" in parsed else None

    def reader(self, request: ModelRequest, *, max_event_bytes: int) -> ChatStreamReader:
        """Passes events on byte for byte; the token counts only to a client that asked for them."""
        return ChatStreamReader(wants_usage=wants_usage(request.body), max_event_bytes=max_event_bytes)


def wants_usage(body: Mapping[str, Any]) -> bool:
    """Whether a client itself asked for the chunk with the token counts."""
    options = body.get("stream_options")
    return isinstance(options, dict) and options.get("include_usage") is True


def answer_object(content: bytes) -> dict[str, Any]:
    """A provider's whole answer, parsed, or an UpstreamProtocolError."""
    try:
        parsed = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise UpstreamProtocolError(f"The provider's answer is not JSON: {error}.") from None
    if not isinstance(parsed, dict):
        raise UpstreamProtocolError("The provider's answer is not a JSON object.")
    return parsed


OPENAI_CHAT = OpenAIChat()
CHAT_TO_OPENAI = ChatToOpenAI()
