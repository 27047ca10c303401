"""Reads a provider's stream on its way to the client: what to pass on, what it cost, whether it came whole.

Books know what a provider's events mean; there is one kind for each of its endpoints. A reader cuts the stream into
events, has them booked, and passes them on: as they are, or translated.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import orjson

from turnout.errors import UpstreamError, UpstreamProtocolError, UpstreamUnreachableError
from turnout.gateway.protocols.error_shapes import openai_error
from turnout.gateway.protocols.translating.answers import EventTranslator, dict_or_empty, error_message
from turnout.gateway.protocols.usage import Usage, UsageOfMessage, chat_usage, response_usage
from turnout.server_sent_events import EventSplitter, event_data


class Books(Protocol):
    """What is known of a stream so far."""

    done: bool
    """Whether the provider's last event has passed."""
    complete: bool
    """Whether the stream may end here: the answer is whole, even if the provider's last event is missing."""
    provider_error: bool
    """Whether the provider itself reported an error in mid-stream."""

    @property
    def usage(self) -> Usage | None:
        """What the provider has counted so far."""
        ...

    def book(self, event: dict[str, Any]) -> bool:
        """Take note of an event; False if it is not for the client."""
        ...


class ChatBooks:
    """Of chat completion chunks. The token counts are not for a client that did not ask for them."""

    def __init__(self, *, wants_usage: bool) -> None:
        self.usage: Usage | None = None
        self.done = False
        self.complete = False
        self.provider_error = False
        self._wants_usage = wants_usage

    def book(self, event: dict[str, Any]) -> bool:
        """Take note of a chunk."""
        choices = event.get("choices")
        if isinstance(choices, list) and any(isinstance(c, dict) and c.get("finish_reason") for c in choices):
            self.complete = True
        if "error" in event:
            self.provider_error = True
        usage = chat_usage(event)
        if usage is None:
            return True
        self.usage = usage
        return bool(choices) or self._wants_usage


class MessageBooks:
    """Of an Anthropic message's events."""

    def __init__(self) -> None:
        self.done = False
        self.complete = False
        self.provider_error = False
        self._counted = UsageOfMessage()

    @property
    def usage(self) -> Usage | None:
        """The latest counts: the input's come with the first event, the output's grow with later ones."""
        return self._counted.total()

    def book(self, event: dict[str, Any]) -> bool:
        """Take note of an event."""
        kind = event.get("type")
        if kind == "message_start":
            self._counted.add(dict_or_empty(event.get("message")).get("usage"))
        elif kind == "message_delta":
            self._counted.add(event.get("usage"))
            if dict_or_empty(event.get("delta")).get("stop_reason"):
                self.complete = True
        elif kind == "message_stop":
            self.done = True
        elif kind == "error":
            self.provider_error = True
        return True


class ResponseBooks:
    """Of a response's events."""

    def __init__(self) -> None:
        self.usage: Usage | None = None
        self.done = False
        self.complete = False
        self.provider_error = False

    def book(self, event: dict[str, Any]) -> bool:
        """Take note of an event."""
        kind = event.get("type")
        if kind in ("response.completed", "response.incomplete", "response.failed"):
            self.done = True
            self.provider_error = kind == "response.failed"
            self.usage = response_usage(dict_or_empty(event.get("response")))
        elif kind == "error":
            self.provider_error = True
        return True


class PassingReader:
    """Passes events on as they are, byte for byte, and keeps the books."""

    def __init__(self, books: Books, *, max_event_bytes: int) -> None:
        self.failure: UpstreamError | None = None
        self._books = books
        self._splitter = EventSplitter(max_event_bytes)

    @property
    def usage(self) -> Usage | None:
        """What the provider has counted so far."""
        return self._books.usage

    @property
    def done(self) -> bool:
        """Whether the provider's last event has passed."""
        return self._books.done

    @property
    def whole(self) -> bool:
        """Whether the answer has come to its end."""
        return self._books.done or self._books.complete

    @property
    def provider_error(self) -> bool:
        """Whether the provider itself reported an error; its report was passed on."""
        return self._books.provider_error

    def feed(self, chunk: bytes) -> bytes:
        """What of this chunk, and of what was held before it, goes to the client now."""
        try:
            return b"".join([self._passed(event) for event in self._splitter.feed(chunk)])
        except UpstreamError as error:
            self.failure = error
            return b""

    def end(self) -> bytes:
        """What goes to the client now that the provider has closed."""
        rest = self.feed(b"\n\n") if self._splitter.rest.strip() else b""
        books = self._books
        if self.failure or books.done or books.provider_error:
            return rest
        if not books.complete:
            self.failure = UpstreamUnreachableError("The provider ended the stream before it was complete.")
            return rest
        return rest + self._last()

    def _passed(self, event: bytes) -> bytes:
        books = self._books
        if books.done or self.failure:
            return b""
        data = event_data(event)
        if not data:
            return self._comment(event)
        if data == b"[DONE]":
            books.done = True
            return self._end_mark(event)
        try:
            parsed = orjson.loads(data)
        except orjson.JSONDecodeError:
            parsed = None
        if not isinstance(parsed, dict):
            self.failure = UpstreamProtocolError("The provider sent a stream event that is not a JSON object.")
            return b""
        return self._event(event, parsed)

    def _comment(self, event: bytes) -> bytes:
        """What keeps the connection alive."""
        return event

    def _end_mark(self, event: bytes) -> bytes:
        """The provider's [DONE]."""
        return event

    def _event(self, event: bytes, parsed: dict[str, Any]) -> bytes:
        return event if self._books.book(parsed) else b""

    def _last(self) -> bytes:
        """What the client still needs where the provider closed without its last event."""
        return b""


class Sink(Protocol):
    """How a client's protocol writes a stream."""

    ping: bytes
    """What keeps the connection alive."""

    def event(self, event: dict[str, Any]) -> bytes:
        """One event."""
        ...

    def end(self) -> bytes:
        """What follows the last event."""
        ...

    def error(self, message: str) -> bytes:
        """A provider's report of an error."""
        ...


class TranslatingReader(PassingReader):
    """Passes on what a translator makes of the events."""

    def __init__(self, books: Books, translator: EventTranslator, sink: Sink, *, max_event_bytes: int) -> None:
        super().__init__(books, max_event_bytes=max_event_bytes)
        self._translator = translator
        self._sink = sink
        self._ended = False

    def _comment(self, event: bytes) -> bytes:
        return self._sink.ping

    def _end_mark(self, event: bytes) -> bytes:
        return self._last()

    def _event(self, event: bytes, parsed: dict[str, Any]) -> bytes:
        books = self._books
        reported = books.provider_error
        books.book(parsed)
        if books.provider_error and not reported:
            return self._sink.error(error_message(parsed))
        if parsed.get("type") == "ping":
            return self._sink.ping
        written = b"".join([self._sink.event(out) for out in self._translator.feed(parsed)])
        return written + self._last() if books.done else written

    def _last(self) -> bytes:
        if self._ended or self._books.provider_error:
            return b""
        self._ended = True
        return b"".join([self._sink.event(out) for out in self._translator.end()]) + self._sink.end()


class TranslatorChain:
    """Two translators, the one behind the other."""

    def __init__(self, first: EventTranslator, then: EventTranslator) -> None:
        self._first = first
        self._then = then

    def feed(self, event: dict[str, Any]) -> list[dict[str, Any]]:
        """The events that follow from this one."""
        return [out for between in self._first.feed(event) for out in self._then.feed(between)]

    def end(self) -> list[dict[str, Any]]:
        """The events that follow from the end of the stream."""
        last = [out for between in self._first.end() for out in self._then.feed(between)]
        return last + self._then.end()


class ChatSink:
    """Chunks, then [DONE]."""

    ping = b": ping\n\n"

    def __init__(self, *, wants_usage: bool) -> None:
        self._wants_usage = wants_usage

    def event(self, event: dict[str, Any]) -> bytes:
        """A chunk; the token counts only for a client that asked for them."""
        if not event.get("choices") and not self._wants_usage:
            return b""
        return b"data: " + orjson.dumps(event) + b"\n\n"

    def end(self) -> bytes:
        """[DONE]."""
        return b"data: [DONE]\n\n"

    def error(self, message: str) -> bytes:
        """An error object as an event; no [DONE] follows."""
        return b"data: " + orjson.dumps(openai_error(message, type="upstream_error")) + b"\n\n"


class NamedSink:
    """Events that are named by their type, as Anthropic's messages and OpenAI's responses have them."""

    def __init__(self, *, ping: bytes, error: Callable[[str], dict[str, Any]]) -> None:
        self.ping = ping
        self._error = error

    def event(self, event: dict[str, Any]) -> bytes:
        """One event."""
        return named_event(event)

    def end(self) -> bytes:
        """Nothing: the last event says so itself."""
        return b""

    def error(self, message: str) -> bytes:
        """An error as its protocol has it."""
        return named_event(self._error(message))


def named_event(event: dict[str, Any]) -> bytes:
    """An event on the wire.

    >>> named_event({"type": "ping"})
    b'event: ping\\ndata: {"type":"ping"}\\n\\n'
    """
    return b"event: " + str(event["type"]).encode() + b"\ndata: " + orjson.dumps(event) + b"\n\n"
