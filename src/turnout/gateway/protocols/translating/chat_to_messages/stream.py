"""The stream of an Anthropic message as chat completion chunks."""

from __future__ import annotations

from typing import Any

from turnout.gateway.protocols.translating.answers import dict_or_empty
from turnout.gateway.protocols.translating.chat import tool_call
from turnout.gateway.protocols.translating.endings import chat_usage_of, finish_reason


class ChatChunks:
    """Chat completion chunks from the events of an Anthropic message. The last one always holds the token counts."""

    def __init__(self, *, created: int) -> None:
        self._head: dict[str, Any] = {
            "id": None,
            "object": "chat.completion.chunk",
            "created": created,
            "model": None,
        }
        self._usage: dict[str, Any] = {}
        self._calls = 0
        self._call_of_block: dict[Any, int] = {}

    def feed(self, event: dict[str, Any]) -> list[dict[str, Any]]:
        """The chunks that follow from one event."""
        kind = event.get("type")
        if kind == "message_start":
            message = dict_or_empty(event.get("message"))
            self._head |= {"id": message.get("id"), "model": message.get("model")}
            self._count(message.get("usage"))
            return [self._chunk({"role": "assistant", "content": "", "refusal": None})]
        if kind == "content_block_start":
            return self._start(event.get("index"), dict_or_empty(event.get("content_block")))
        if kind == "content_block_delta":
            return self._delta(event.get("index"), dict_or_empty(event.get("delta")))
        if kind == "message_delta":
            self._count(event.get("usage"))
            reason = dict_or_empty(event.get("delta")).get("stop_reason")
            return [self._chunk({}, finish=finish_reason(reason))] if reason else []
        return []

    def end(self) -> list[dict[str, Any]]:
        """The chunk with the token counts."""
        return [{**self._head, "choices": [], "usage": chat_usage_of(self._usage)}]

    def _start(self, index: Any, block: dict[str, Any]) -> list[dict[str, Any]]:
        if block.get("type") == "text" and block.get("text"):
            return [self._chunk({"content": block["text"]})]
        if block.get("type") != "tool_use":
            return []
        self._call_of_block[index] = self._calls
        call = {"index": self._calls, **tool_call(block.get("id"), block.get("name"), "")}
        self._calls += 1
        return [self._chunk({"tool_calls": [call]})]

    def _delta(self, index: Any, delta: dict[str, Any]) -> list[dict[str, Any]]:
        if delta.get("type") == "text_delta":
            return [self._chunk({"content": delta.get("text", "")})]
        if delta.get("type") == "input_json_delta" and index in self._call_of_block:
            call = {"index": self._call_of_block[index], "function": {"arguments": delta.get("partial_json", "")}}
            return [self._chunk({"tool_calls": [call]})]
        return []  # thinking, signatures, citations: chat completions have no place for them

    def _chunk(self, delta: dict[str, Any], *, finish: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return {**self._head, "choices": [choice], "usage": None}

    def _count(self, usage: Any) -> None:
        self._usage |= {name: value for name, value in dict_or_empty(usage).items() if value is not None}
