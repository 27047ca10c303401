"""Chat completion chunks as the stream of an Anthropic message."""

from __future__ import annotations

from typing import Any

from turnout.gateway.protocols.translating.chunks import FromChunks, Words
from turnout.gateway.protocols.translating.endings import message_usage, stop_reason


class MessageEvents(FromChunks):
    """The events of an Anthropic message from chat completion chunks."""

    def __init__(self) -> None:
        super().__init__()
        self._index = -1
        self._called = False
        self._refused = False

    def end(self) -> list[dict[str, Any]]:
        """The end of the last block and of the message, with the token counts."""
        events = [*self._begun_by({}), *self._close()]
        reason = "refusal" if self._refused else stop_reason(self._finish, called=self._called)
        delta = {"stop_reason": reason, "stop_sequence": None}
        ended = {"type": "message_delta", "delta": delta, "usage": message_usage(self._usage)}
        return [*events, ended, {"type": "message_stop"}]

    def _start(self, chunk: dict[str, Any]) -> list[dict[str, Any]]:
        return [{"type": "message_start", "message": _begun(chunk)}]

    def _say(self, kind: Words, words: str) -> list[dict[str, Any]]:
        events: list[dict[str, Any]] = []
        if self._open != "text":  # a refusal is told as text, and its stop reason says what it is
            events = [*self._close(), self._begin({"type": "text", "text": "", "citations": None})]
            self._open = "text"
        self._refused = self._refused or kind == "refusal"
        return [*events, self._delta({"type": "text_delta", "text": words})]

    def _begin_call(self, id: Any, name: Any) -> list[dict[str, Any]]:
        self._called = True
        return [self._begin({"type": "tool_use", "id": id, "name": name, "input": {}})]

    def _write_arguments(self, arguments: str) -> list[dict[str, Any]]:
        return [self._delta({"type": "input_json_delta", "partial_json": arguments})]

    def _begin(self, block: dict[str, Any]) -> dict[str, Any]:
        self._index += 1
        return {"type": "content_block_start", "index": self._index, "content_block": block}

    def _delta(self, delta: dict[str, Any]) -> dict[str, Any]:
        return {"type": "content_block_delta", "index": self._index, "delta": delta}

    def _close(self) -> list[dict[str, Any]]:
        if self._open is None:
            return []
        self._open = None
        return [{"type": "content_block_stop", "index": self._index}]


def _begun(chunk: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": chunk.get("id"),
        "type": "message",
        "role": "assistant",
        "model": chunk.get("model"),
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": message_usage({}),
    }
