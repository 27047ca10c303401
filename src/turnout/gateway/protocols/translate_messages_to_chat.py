"""Anthropic's messages for a provider that speaks OpenAI's chat completions: the request there, the answer back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from turnout.errors import UpstreamProtocolError
from turnout.gateway.protocols.base import refused
from turnout.gateway.protocols.translation import (
    answered_arguments,
    dict_or_empty,
    dicts,
    json_text,
    no_counterpart,
    obj,
    objects,
    refuse_unknown,
    text,
    whole,
    word,
)

CHAT = "OpenAI's chat completions"

_TRANSLATED = frozenset(
    {
        "max_tokens",
        "messages",
        "model",
        "output_config",
        "output_format",
        "stop_sequences",
        "stream",
        "system",
        "temperature",
        "tool_choice",
        "tools",
        "top_p",
    }
)
# Hints, Anthropic's own books, and who the user is, which is not this provider's business. Without `thinking` a model
# thinks as it does by itself; Anthropic's own answers may come without it as well.
_LEFT_OUT = frozenset(
    {
        "betas",
        "cache_control",
        "context_management",
        "diagnostics",
        "metadata",
        "service_tier",
        "speed",
        "thinking",
        "user_profile_id",
        "workspace_id",
    }
)
_STOP_REASONS = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "refusal",
}
_FOLLOWS = "(What the tool gave follows in the next message.)"


def chat_request(body: Mapping[str, Any], *, model: str, max_tokens_field: str = "max_tokens") -> dict[str, Any]:
    """The chat completions request for a messages request, or a RequestError that names what cannot go over.

    Args:
        body: the messages request.
        model: the provider's name of the model.
        max_tokens_field: what the provider calls the limit; OpenAI itself wants max_completion_tokens.

    >>> chat_request({"max_tokens": 9, "messages": [{"role": "user", "content": "A river?"}]}, model="m")
    {'model': 'm', 'messages': [{'role': 'user', 'content': 'A river?'}], 'max_tokens': 9}
    """
    refuse_unknown(body, _TRANSLATED | _LEFT_OUT, CHAT)
    request: dict[str, Any] = {"model": model, "messages": _messages(body)}
    if body.get("max_tokens") is not None:
        request[max_tokens_field] = body["max_tokens"]
    for field, name in (("temperature", "temperature"), ("top_p", "top_p"), ("stop_sequences", "stop")):
        if body.get(field) not in (None, []):
            request[name] = body[field]
    if tools := objects(body.get("tools"), "tools"):
        request["tools"] = [_tool(tool, f"tools[{position}]") for position, tool in enumerate(tools)]
        if (choice := body.get("tool_choice")) is not None:
            choice = obj(choice, "tool_choice")
            request["tool_choice"] = _tool_choice(choice)
            if choice.get("disable_parallel_tool_use") is True:
                request["parallel_tool_calls"] = False
    if (schema := _schema(body)) is not None:
        json_schema = {"name": "answer", "schema": schema, "strict": True}
        request["response_format"] = {"type": "json_schema", "json_schema": json_schema}
    if body.get("stream"):
        request["stream"] = True
        request["stream_options"] = {"include_usage": True}
    return request


def message_answer(completion: Mapping[str, Any]) -> dict[str, Any]:
    """The Anthropic message for a chat completion.

    Raises:
        UpstreamProtocolError: it holds no choice, or a tool call whose arguments are not a JSON object.
    """
    choices = dicts(completion.get("choices"))
    if not choices:
        raise UpstreamProtocolError("The provider's answer holds no choice.")
    message, finish = dict_or_empty(choices[0].get("message")), word(choices[0].get("finish_reason"))
    content: list[dict[str, Any]] = []
    words = message.get("content") or message.get("refusal")
    if isinstance(words, str) and words:
        content.append({"type": "text", "text": words, "citations": None})
    for call in dicts(message.get("tool_calls")):
        function = dict_or_empty(call.get("function"))
        try:
            arguments = answered_arguments(function.get("arguments"))
        except UpstreamProtocolError:
            if finish == "length":
                continue  # the limit cut it off; what came before is still an answer
            raise
        content.append({"type": "tool_use", "id": call.get("id"), "name": function.get("name"), "input": arguments})
    called = any(block["type"] == "tool_use" for block in content)
    return {
        "id": completion.get("id"),
        "type": "message",
        "role": "assistant",
        "model": completion.get("model"),
        "content": content,
        "stop_reason": "refusal" if message.get("refusal") else stop_reason(finish, called=called),
        "stop_sequence": None,
        "usage": message_usage(dict_or_empty(completion.get("usage"))),
    }


class MessageEvents:
    """The events of an Anthropic message from chat completion chunks."""

    def __init__(self) -> None:
        self._started = False
        self._index = -1
        self._open: str | None = None
        """The kind of the content block that is open."""
        self._call: Any = None
        """Which of the provider's tool calls is open."""
        self._called = False
        self._refused = False
        self._finish: str | None = None
        self._usage: dict[str, Any] = {}

    def feed(self, chunk: dict[str, Any]) -> list[dict[str, Any]]:
        """The events that follow from one chunk."""
        events: list[dict[str, Any]] = []
        if not self._started:
            self._started = True
            events.append({"type": "message_start", "message": _begun(chunk)})
        self._usage |= dict_or_empty(chunk.get("usage"))
        for choice in dicts(chunk.get("choices"))[:1]:
            delta = dict_or_empty(choice.get("delta"))
            for field in ("content", "refusal"):
                if isinstance(words := delta.get(field), str) and words:
                    self._refused = self._refused or field == "refusal"
                    events += self._say(words)
            for call in dicts(delta.get("tool_calls")):
                events += self._call_tool(call)
            self._finish = word(choice.get("finish_reason")) or self._finish
        return events

    def end(self) -> list[dict[str, Any]]:
        """The end of the last block and of the message, with the token counts."""
        events = [] if self._started else [{"type": "message_start", "message": _begun({})}]
        reason = "refusal" if self._refused else stop_reason(self._finish, called=self._called)
        return [
            *events,
            *self._close(),
            {
                "type": "message_delta",
                "delta": {"stop_reason": reason, "stop_sequence": None},
                "usage": message_usage(self._usage),
            },
            {"type": "message_stop"},
        ]

    def _say(self, words: str) -> list[dict[str, Any]]:
        events = []
        if self._open != "text":
            events = [*self._close(), self._begin("text", {"type": "text", "text": "", "citations": None})]
        return [*events, self._delta({"type": "text_delta", "text": words})]

    def _call_tool(self, call: dict[str, Any]) -> list[dict[str, Any]]:
        function = dict_or_empty(call.get("function"))
        number, events = call.get("index", 0), []
        if self._open != "tool_use" or number != self._call:
            if not call.get("id") or not function.get("name"):
                raise UpstreamProtocolError("The provider went back to a tool call that it had left.")
            block = {"type": "tool_use", "id": call["id"], "name": function["name"], "input": {}}
            events = [*self._close(), self._begin("tool_use", block)]
            self._call, self._called = number, True
        if arguments := function.get("arguments"):
            events.append(self._delta({"type": "input_json_delta", "partial_json": arguments}))
        return events

    def _begin(self, kind: str, block: dict[str, Any]) -> dict[str, Any]:
        self._open = kind
        self._index += 1
        return {"type": "content_block_start", "index": self._index, "content_block": block}

    def _delta(self, delta: dict[str, Any]) -> dict[str, Any]:
        return {"type": "content_block_delta", "index": self._index, "delta": delta}

    def _close(self) -> list[dict[str, Any]]:
        if self._open is None:
            return []
        self._open = None
        return [{"type": "content_block_stop", "index": self._index}]


def stop_reason(finish: str | None, *, called: bool) -> str:
    """Anthropic's word for OpenAI's. Some servers say "stop" where the model called a tool.

    >>> stop_reason("length", called=False), stop_reason("stop", called=True)
    ('max_tokens', 'tool_use')
    """
    if called and finish not in ("length", "content_filter"):
        return "tool_use"
    return _STOP_REASONS.get(finish or "stop", "end_turn")


def message_usage(usage: Mapping[str, Any]) -> dict[str, Any]:
    """Anthropic's token counts for OpenAI's, which count what was cached as a part of the input.

    >>> message_usage({"prompt_tokens": 95, "prompt_tokens_details": {"cached_tokens": 90}})["input_tokens"]
    5
    """
    details = dict_or_empty(usage.get("prompt_tokens_details"))
    cached, cached_now = whole(details.get("cached_tokens")), whole(details.get("cache_write_tokens"))
    return {
        "input_tokens": max(0, whole(usage.get("prompt_tokens")) - cached - cached_now),
        "cache_creation_input_tokens": cached_now,
        "cache_read_input_tokens": cached,
        "output_tokens": whole(usage.get("completion_tokens")),
    }


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


def _messages(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = []
    if system := _system(body.get("system")):
        messages.append({"role": "system", "content": system})
    turns = objects(body.get("messages"), "messages")
    for position, turn in enumerate(turns):
        where = f"messages[{position}]"
        role = text(turn.get("role"), f"{where}.role")
        if role == "user":
            messages += _user(turn.get("content"), f"{where}.content")
        elif role == "assistant":
            messages += _assistant(turn.get("content"), f"{where}.content")
        elif role == "system":
            messages.append({"role": "system", "content": _system(turn.get("content"))})
        else:
            raise no_counterpart(f"{where}.role", CHAT)
    if turns and turns[-1].get("role") == "assistant":
        raise refused(
            f"'messages[{len(turns) - 1}].role': {CHAT}, which the provider of this model speaks, do not continue an "
            "answer that was begun for the model. Let the last turn be the user's.",
            code="not_translatable",
            param=f"messages[{len(turns) - 1}].role",
        )
    return messages


def _system(value: Any) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    blocks = objects(value, "system")
    return "\n\n".join(text(block.get("text"), f"system[{position}].text") for position, block in enumerate(blocks))


def _user(content: Any, where: str) -> list[dict[str, Any]]:
    """Tool results as messages of their own, then the images that tools gave and what the user said."""
    if isinstance(content, str):
        return [{"role": "user", "content": content}]
    results: list[dict[str, Any]] = []
    from_tools: list[dict[str, Any]] = []
    parts: list[dict[str, Any]] = []
    for position, block in enumerate(objects(content, where)):
        place = f"{where}[{position}]"
        if block.get("type") == "tool_result":
            result, others = _tool_result(block, place)
            results.append(result)
            from_tools += others
        else:
            parts.append(_part(block, place))
    parts = from_tools + parts
    if not parts:
        return results
    if len(parts) == 1 and parts[0]["type"] == "text":
        return [*results, {"role": "user", "content": parts[0]["text"]}]
    return [*results, {"role": "user", "content": parts}]


def _tool_result(block: dict[str, Any], where: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The tool's message, which holds text alone, and the images and files that the next message holds instead."""
    content = block.get("content")
    texts: list[str] = []
    others: list[dict[str, Any]] = []
    if isinstance(content, str):
        texts.append(content)
    else:
        for position, inner in enumerate(objects(content, f"{where}.content")):
            part = _part(inner, f"{where}.content[{position}]")
            if part["type"] == "text":
                texts.append(part["text"])
            else:
                others.append(part)
                texts.append(_FOLLOWS)
    said = "\n".join(texts)
    if block.get("is_error") is True:
        said = f"Error: {said}"
    call = text(block.get("tool_use_id"), f"{where}.tool_use_id")
    return {"role": "tool", "tool_call_id": call, "content": said}, others


def _assistant(content: Any, where: str) -> list[dict[str, Any]]:
    if isinstance(content, str):
        return [{"role": "assistant", "content": content}]
    texts: list[str] = []
    calls: list[dict[str, Any]] = []
    for position, block in enumerate(objects(content, where)):
        place = f"{where}[{position}]"
        kind = block.get("type")
        if kind == "text":
            texts.append(text(block.get("text"), f"{place}.text"))
        elif kind == "tool_use":
            arguments = json_text(obj(block.get("input"), f"{place}.input"))
            function = {"name": text(block.get("name"), f"{place}.name"), "arguments": arguments}
            calls.append({"id": text(block.get("id"), f"{place}.id"), "type": "function", "function": function})
        elif kind not in ("thinking", "redacted_thinking"):  # what one model thought, only that model can read
            raise no_counterpart(f"{place}.type", CHAT)
    if not texts and not calls:
        return []
    message: dict[str, Any] = {"role": "assistant", "content": "".join(texts) or None}
    if calls:
        message["tool_calls"] = calls
    return [message]


def _part(block: dict[str, Any], where: str) -> dict[str, Any]:
    kind = block.get("type")
    if kind == "text":
        return {"type": "text", "text": text(block.get("text"), f"{where}.text")}
    if kind not in ("image", "document"):
        raise no_counterpart(f"{where}.type", CHAT)
    source = obj(block.get("source"), f"{where}.source")
    origin = source.get("type")
    if kind == "image" and origin == "url":
        return {"type": "image_url", "image_url": {"url": text(source.get("url"), f"{where}.source.url")}}
    if kind == "document" and origin == "text":
        return {"type": "text", "text": text(source.get("data"), f"{where}.source.data")}
    if origin != "base64":
        raise no_counterpart(f"{where}.source.type", CHAT)
    media_type = text(source.get("media_type"), f"{where}.source.media_type")
    data = f"data:{media_type};base64,{text(source.get('data'), f'{where}.source.data')}"
    if kind == "image":
        return {"type": "image_url", "image_url": {"url": data}}
    name = block.get("title") or "document.pdf"
    return {"type": "file", "file": {"filename": text(name, f"{where}.title"), "file_data": data}}


def _tool(tool: dict[str, Any], where: str) -> dict[str, Any]:
    if tool.get("type") not in (None, "custom"):
        raise no_counterpart(f"{where}.type", CHAT)  # a tool that Anthropic runs, or knows without being told
    function: dict[str, Any] = {"name": text(tool.get("name"), f"{where}.name")}
    if tool.get("description"):
        function["description"] = text(tool["description"], f"{where}.description")
    function["parameters"] = obj(tool.get("input_schema"), f"{where}.input_schema")
    if tool.get("strict"):
        function["strict"] = True
    return {"type": "function", "function": function}


def _tool_choice(choice: dict[str, Any]) -> Any:
    kind = choice.get("type")
    if kind in ("auto", "none"):
        return kind
    if kind == "any":
        return "required"
    if kind == "tool":
        return {"type": "function", "function": {"name": text(choice.get("name"), "tool_choice.name")}}
    raise no_counterpart("tool_choice.type", CHAT)


def _schema(body: Mapping[str, Any]) -> dict[str, Any] | None:
    """The JSON schema that the answer must follow, by its field's name of today or of its beta."""
    config = obj(body.get("output_config") or {}, "output_config")
    refuse_unknown(config, ("effort", "format"), CHAT, within="output_config")
    for field, value in (
        ("output_config.format", config.get("format")),
        ("output_format", body.get("output_format")),
    ):
        if value is None:
            continue
        if obj(value, field).get("type") != "json_schema":
            raise no_counterpart(f"{field}.type", CHAT)
        return obj(value.get("schema"), f"{field}.schema")
    return None
