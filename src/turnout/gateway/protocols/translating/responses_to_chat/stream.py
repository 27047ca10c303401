"""Chat completion chunks as the stream of a response."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from turnout.gateway.protocols.translating.answers import whole
from turnout.gateway.protocols.translating.chunks import FromChunks, Words
from turnout.gateway.protocols.translating.responses_to_chat.objects import (
    call_item,
    item_status,
    message_item,
    refusal_part,
    response_object,
    said_part,
)


class ResponseEvents(FromChunks):
    """The events of a response from chat completion chunks."""

    def __init__(self, request: Mapping[str, Any]) -> None:
        super().__init__()
        self._request = request
        self._name = ""
        self._created = 0
        self._model: Any = None
        self._number = -1
        self._output: list[dict[str, Any]] = []
        self._written: list[str] = []

    def end(self) -> list[dict[str, Any]]:
        """The end of the last item and of the response, which is told once more as a whole."""
        events = [*self._begun_by({}), *self._close()]
        whole_response = self._whole(self._finish or "stop", self._usage)
        return [*events, self._event(f"response.{whole_response['status']}", response=whole_response)]

    def _start(self, chunk: dict[str, Any]) -> list[dict[str, Any]]:
        self._name = str(chunk.get("id") or "")
        self._created, self._model = whole(chunk.get("created")), chunk.get("model")
        begun = self._whole(None, None)
        return [self._event("response.created", response=begun), self._event("response.in_progress", response=begun)]

    def _whole(self, finish: str | None, usage: dict[str, Any] | None) -> dict[str, Any]:
        return response_object(
            self._request,
            name=self._name,
            created=self._created,
            model=self._model,
            output=list(self._output),
            finish=finish,
            usage=usage,
        )

    def _say(self, kind: Words, words: str) -> list[dict[str, Any]]:
        events: list[dict[str, Any]] = []
        if self._open != kind:
            events = self._close()
            events.append(self._add(message_item(self._name, len(self._output), [], status="in_progress")))
            part = said_part("") if kind == "text" else refusal_part("")
            events.append(self._in_part("response.content_part.added", part=part))
            self._open = kind
        self._written.append(words)
        return [*events, self._said(kind, "delta", delta=words)]

    def _begin_call(self, id: Any, name: Any) -> list[dict[str, Any]]:
        return [self._add(call_item(self._name, len(self._output), id, name, "", status="in_progress"))]

    def _write_arguments(self, arguments: str) -> list[dict[str, Any]]:
        self._written.append(arguments)
        return [self._in_item("response.function_call_arguments.delta", delta=arguments)]

    def _add(self, item: dict[str, Any]) -> dict[str, Any]:
        self._written = []
        self._output.append(item)
        return self._event("response.output_item.added", output_index=len(self._output) - 1, item=item)

    def _close(self) -> list[dict[str, Any]]:
        if self._open is None:
            return []
        kind, self._open = self._open, None
        written = "".join(self._written)
        item = self._output[-1]
        if kind == "call":
            item = {**item, "arguments": written, "status": "completed"}
            events = [self._in_item("response.function_call_arguments.done", arguments=written)]
        else:
            part = said_part(written) if kind == "text" else refusal_part(written)
            item = {**item, "content": [part], "status": item_status(self._finish)}
            events = [
                self._said(kind, "done", **{kind: written}),
                self._in_part("response.content_part.done", part=part),
            ]
        self._output[-1] = item
        return [
            *events,
            self._event("response.output_item.done", output_index=len(self._output) - 1, item=item),
        ]

    def _said(self, kind: str, what: str, **fields: Any) -> dict[str, Any]:
        if kind == "text":
            return self._in_part(f"response.output_text.{what}", logprobs=[], **fields)
        return self._in_part(f"response.refusal.{what}", **fields)

    def _in_part(self, kind: str, **fields: Any) -> dict[str, Any]:
        return self._in_item(kind, content_index=0, **fields)

    def _in_item(self, kind: str, **fields: Any) -> dict[str, Any]:
        position = len(self._output) - 1
        return self._event(kind, item_id=self._output[position]["id"], output_index=position, **fields)

    def _event(self, kind: str, **fields: Any) -> dict[str, Any]:
        self._number += 1
        return {"type": kind, "sequence_number": self._number, **fields}
