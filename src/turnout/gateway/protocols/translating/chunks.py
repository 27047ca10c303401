"""Reads chat completion chunks for whatever they are translated into."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Literal

from turnout.errors import UpstreamProtocolError
from turnout.gateway.protocols.translating.answers import dict_or_empty, dicts, word

Words = Literal["text", "refusal"]


class FromChunks(ABC):
    """An `EventTranslator` of chat completion chunks: what is written, which call is open, why and how it ends."""

    def __init__(self) -> None:
        self._started = False
        self._open: Literal["text", "refusal", "call"] | None = None
        """What is being written."""
        self._call: Any = None
        """Which of the provider's tool calls was begun last."""
        self._finish: str | None = None
        self._usage: dict[str, Any] = {}

    def feed(self, chunk: dict[str, Any]) -> list[dict[str, Any]]:
        """The events that follow from one chunk."""
        events = self._begun_by(chunk)
        self._usage |= dict_or_empty(chunk.get("usage"))
        for choice in dicts(chunk.get("choices"))[:1]:
            delta = dict_or_empty(choice.get("delta"))
            if isinstance(words := delta.get("content"), str) and words:
                events += self._say("text", words)
            if isinstance(words := delta.get("refusal"), str) and words:
                events += self._say("refusal", words)
            for call in dicts(delta.get("tool_calls")):
                events += self._call_tool(call)
            self._finish = word(choice.get("finish_reason")) or self._finish
        return events

    def _begun_by(self, chunk: dict[str, Any]) -> list[dict[str, Any]]:
        if self._started:
            return []
        self._started = True
        return self._start(chunk)

    def _call_tool(self, call: dict[str, Any]) -> list[dict[str, Any]]:
        function = dict_or_empty(call.get("function"))
        number = call.get("index", 0)
        events: list[dict[str, Any]] = []
        if self._open != "call" or number != self._call:
            if not call.get("id") or not function.get("name"):
                raise UpstreamProtocolError("The provider went back to a tool call that it had left.")
            events = [*self._close(), *self._begin_call(call["id"], function["name"])]
            self._open, self._call = "call", number
        if arguments := function.get("arguments"):
            events += self._write_arguments(arguments)
        return events

    @abstractmethod
    def _start(self, chunk: dict[str, Any]) -> list[dict[str, Any]]:
        """The first events."""

    @abstractmethod
    def _say(self, kind: Words, words: str) -> list[dict[str, Any]]:
        """Words of the answer, or of why there is none."""

    @abstractmethod
    def _begin_call(self, id: Any, name: Any) -> list[dict[str, Any]]:
        """The beginning of a tool call, once what was open is closed."""

    @abstractmethod
    def _write_arguments(self, arguments: str) -> list[dict[str, Any]]:
        """More of the open call's arguments."""

    @abstractmethod
    def _close(self) -> list[dict[str, Any]]:
        """The end of what is open."""
