"""The two kinds of bridge: one hands bytes on, the other translates."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from turnout.chat_client import answer_object
from turnout.config import ModelConfig
from turnout.gateway.protocols.base import ModelRequest, StreamReader, dumped
from turnout.gateway.protocols.error_shapes import error_object
from turnout.gateway.protocols.splice import provider_body
from turnout.gateway.protocols.streams import Books, PassingReader, Sink, TranslatingReader
from turnout.gateway.protocols.translating.answers import EventTranslator, error_message
from turnout.gateway.protocols.usage import Usage


@dataclass(frozen=True)
class PassingBridge:
    """Between equals: the client's bytes under the provider's name of the model, and the provider's bytes back."""

    path: str
    usage: Callable[[dict[str, Any]], Usage | None]
    """The token counts of a whole answer."""
    books: Callable[[Mapping[str, Any]], Books]
    """Books for the stream that answers this body."""
    translates = False
    count_usage: bool = False
    """Whether streams have to be told to count tokens (`stream_options.include_usage`)."""

    def body(self, request: ModelRequest, model: ModelConfig) -> bytes:
        """The same bytes with another model name."""
        count = self.count_usage and request.stream
        return provider_body(request.raw, request.body, model=model.upstream_model, count_usage=count)

    def whole(self, content: bytes, request: ModelRequest) -> tuple[bytes, Usage | None]:
        """The same bytes, once they are known to be an answer."""
        return content, self.usage(answer_object(content))

    def refusal(self, content: bytes, status: int) -> bytes | None:
        """The same bytes, if they are an error object."""
        return None if error_object(content) is None else content

    def reader(self, request: ModelRequest, *, max_event_bytes: int) -> StreamReader:
        """Passes events on byte for byte."""
        return PassingReader(self.books(request.body), max_event_bytes=max_event_bytes)


@dataclass(frozen=True)
class TranslatingBridge:
    """Between protocols: pure functions from dict to dict and from event to event."""

    translates = True
    path: str
    request: Callable[[Mapping[str, Any], ModelConfig], dict[str, Any]]
    answer: Callable[[dict[str, Any], Mapping[str, Any]], dict[str, Any]]
    """The client's answer from the provider's and the client's request."""
    usage: Callable[[dict[str, Any]], Usage | None]
    """The token counts of the provider's whole answer."""
    error: Callable[[str, int], dict[str, Any]]
    """The client's error object from a message and a status."""
    books: Callable[[], Books]
    translator: Callable[[Mapping[str, Any]], EventTranslator]
    sink: Callable[[Mapping[str, Any]], Sink]

    def body(self, request: ModelRequest, model: ModelConfig) -> bytes:
        """The translated request."""
        return dumped(self.request(request.body, model))

    def whole(self, content: bytes, request: ModelRequest) -> tuple[bytes, Usage | None]:
        """The translated answer."""
        answer = answer_object(content)
        return orjson.dumps(self.answer(answer, request.body)), self.usage(answer)

    def refusal(self, content: bytes, status: int) -> bytes | None:
        """What the provider said, in the client's words."""
        error = error_object(content)
        return None if error is None else orjson.dumps(self.error(error_message(error), status))

    def reader(self, request: ModelRequest, *, max_event_bytes: int) -> StreamReader:
        """Translates event by event."""
        body = request.body
        return TranslatingReader(self.books(), self.translator(body), self.sink(body), max_event_bytes=max_event_bytes)
