"""What the gateway reads of a chat completions request; every other field is none of its business."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from turnout.gateway.errors import RequestError
from turnout.gateway.query import query_of
from turnout.gateway.splice import provider_body


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A chat completions request: the client's bytes, and the few fields that matter here."""

    raw: bytes
    body: dict[str, Any]
    model: str
    messages: list[dict[str, Any]]
    stream: bool

    @classmethod
    def parse(cls, raw: bytes) -> ChatRequest:
        """The request in a body, or a RequestError that names the field which cannot be used."""
        try:
            body = orjson.loads(raw)
        except orjson.JSONDecodeError as error:
            raise _refused(f"The body is not valid JSON: {error}.", code="invalid_json") from None
        if not isinstance(body, dict):
            raise _refused("The body must be a JSON object.", code="invalid_type")
        model = body.get("model")
        if not isinstance(model, str) or not model:
            raise _refused("'model' must be given: the name of a route or a model.", param="model")
        stream = body.get("stream")
        if stream is not None and not isinstance(stream, bool):
            raise _refused("'stream' must be true or false.", param="stream")
        return cls(raw, body, model, _messages(body.get("messages")), bool(stream))

    @property
    def wants_usage(self) -> bool:
        """Whether the client itself asked for the chunk with the token counts."""
        options = self.body.get("stream_options")
        return isinstance(options, dict) and options.get("include_usage") is True

    def query(self) -> str:
        """The text that a router sees."""
        return query_of(self.messages)

    def for_provider(self, model: str) -> bytes:
        """The same bytes under the provider's name of the model; streams are told to count tokens."""
        return provider_body(self.raw, self.body, model=model, count_usage=self.stream)


def _messages(value: Any) -> list[dict[str, Any]]:
    if value is None:
        raise _refused("'messages' is missing: a list with at least one message.", param="messages")
    if not isinstance(value, list) or not value:
        raise _refused("'messages' must be a list with at least one message.", param="messages")
    for position, message in enumerate(value):
        if not isinstance(message, dict):
            raise _refused(f"'messages[{position}]' must be an object.", param=f"messages[{position}]")
    return value


def _refused(message: str, *, code: str | None = None, param: str | None = None) -> RequestError:
    return RequestError(400, message, code=code, param=param)
