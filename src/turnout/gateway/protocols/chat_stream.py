"""Reads a stream of chat completion chunks on its way to the client: what to pass on, what it cost, is it whole."""

from __future__ import annotations

from typing import Any

import orjson

from turnout.chat_client import EventSplitter, event_data
from turnout.errors import UpstreamError, UpstreamProtocolError, UpstreamUnreachableError
from turnout.gateway.usage import Usage, chat_usage


class ChatStreamReader:
    """Passes events on as they are, byte for byte, and keeps the books.

    The chunk with the token counts is withheld from a client that did not ask for it.
    """

    def __init__(self, *, wants_usage: bool, max_event_bytes: int) -> None:
        self.usage: Usage | None = None
        self.done = False
        """Whether the provider's [DONE] has passed."""
        self.failure: UpstreamError | None = None
        """Why nothing more can be passed on."""
        self.provider_error = False
        """Whether the provider itself reported an error in mid-stream; its report was passed on."""
        self._wants_usage = wants_usage
        self._finish_seen = False
        self._splitter = EventSplitter(max_event_bytes)

    def feed(self, chunk: bytes) -> bytes:
        """What of this chunk, and of what was held before it, goes to the client now."""
        try:
            events = self._splitter.feed(chunk)
            return b"".join([event for event in events if self._passes(event)])
        except UpstreamError as error:
            self.failure = error
            return b""

    def end(self) -> bytes:
        """What goes to the client now that the provider has closed; sets `failure` if it stopped too early."""
        rest = self.feed(b"\n\n") if self._splitter.rest.strip() else b""
        if not (self.done or self._finish_seen or self.provider_error or self.failure):
            self.failure = UpstreamUnreachableError("The provider ended the stream before it was complete.")
        return rest

    def _passes(self, event: bytes) -> bool:
        if self.done or self.failure:
            return False
        data = event_data(event)
        if not data:
            return True  # a comment that keeps the connection alive
        if data == b"[DONE]":
            self.done = True
            return True
        try:
            chunk = orjson.loads(data)
        except orjson.JSONDecodeError:
            chunk = None
        if not isinstance(chunk, dict):
            self.failure = UpstreamProtocolError("The provider sent a stream event that is not a JSON object.")
            return False
        return self._book(chunk)

    def _book(self, chunk: dict[str, Any]) -> bool:
        choices = chunk.get("choices")
        if isinstance(choices, list) and any(isinstance(c, dict) and c.get("finish_reason") for c in choices):
            self._finish_seen = True
        if "error" in chunk:
            self.provider_error = True
        usage = chat_usage(chunk)
        if usage is None:
            return True
        self.usage = usage
        return bool(choices) or self._wants_usage
