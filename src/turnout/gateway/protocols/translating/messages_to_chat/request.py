"""A request for Anthropic's messages as chat completions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from turnout.gateway.protocols.base import refused
from turnout.gateway.protocols.translating import chat
from turnout.gateway.protocols.translating.answers import json_text
from turnout.gateway.protocols.translating.fields import no_counterpart, obj, placed, refuse_unknown, text

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
    refuse_unknown(body, _TRANSLATED | _LEFT_OUT, chat.PROTOCOL)
    request: dict[str, Any] = {"model": model, "messages": _messages(body)}
    if body.get("max_tokens") is not None:
        request[max_tokens_field] = body["max_tokens"]
    for field, name in (("temperature", "temperature"), ("top_p", "top_p"), ("stop_sequences", "stop")):
        if body.get(field) not in (None, []):
            request[name] = body[field]
    if tools := placed(body.get("tools"), "tools"):
        request["tools"] = [_tool(tool, where) for where, tool in tools]
        if (choice := body.get("tool_choice")) is not None:
            choice = obj(choice, "tool_choice")
            request["tool_choice"] = _tool_choice(choice)
            if choice.get("disable_parallel_tool_use") is True:
                request["parallel_tool_calls"] = False
    if (schema := _schema(body)) is not None:
        request["response_format"] = chat.schema_format({"name": "answer", "schema": schema, "strict": True})
    chat.ask_for_stream(request, body)
    return request


def _messages(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = []
    if system := _system(body.get("system")):
        messages.append({"role": "system", "content": system})
    turns = placed(body.get("messages"), "messages")
    for where, turn in turns:
        role = text(turn.get("role"), f"{where}.role")
        if role == "user":
            messages += _user(turn.get("content"), f"{where}.content")
        elif role == "assistant":
            messages += _assistant(turn.get("content"), f"{where}.content")
        elif role == "system":
            messages.append({"role": "system", "content": _system(turn.get("content"))})
        else:
            raise no_counterpart(f"{where}.role", chat.PROTOCOL)
    if turns and turns[-1][1].get("role") == "assistant":
        field = f"{turns[-1][0]}.role"
        raise refused(
            f"'{field}': {chat.PROTOCOL}, which the provider of this model speaks, do not continue an answer that was "
            "begun for the model. Let the last turn be the user's.",
            code="not_translatable",
            param=field,
        )
    return messages


def _system(value: Any) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    return "\n\n".join(text(block.get("text"), f"{where}.text") for where, block in placed(value, "system"))


def _user(content: Any, where: str) -> list[dict[str, Any]]:
    """Tool results as messages of their own, then the images that tools gave and what the user said."""
    if isinstance(content, str):
        return [{"role": "user", "content": content}]
    results: list[dict[str, Any]] = []
    from_tools: list[dict[str, Any]] = []
    parts: list[dict[str, Any]] = []
    for place, block in placed(content, where):
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
        for place, inner in placed(content, f"{where}.content"):
            part = _part(inner, place)
            if part["type"] == "text":
                texts.append(part["text"])
            else:
                others.append(part)
                texts.append(_FOLLOWS)
    said = "\n".join(texts)
    if block.get("is_error") is True:
        said = f"Error: {said}"
    call = text(block.get("tool_use_id"), f"{where}.tool_use_id")
    return chat.tool_message(call, said), others


def _assistant(content: Any, where: str) -> list[dict[str, Any]]:
    if isinstance(content, str):
        return [{"role": "assistant", "content": content}]
    texts: list[str] = []
    calls: list[dict[str, Any]] = []
    for place, block in placed(content, where):
        kind = block.get("type")
        if kind == "text":
            texts.append(text(block.get("text"), f"{place}.text"))
        elif kind == "tool_use":
            arguments = json_text(obj(block.get("input"), f"{place}.input"))
            name = text(block.get("name"), f"{place}.name")
            calls.append(chat.tool_call(text(block.get("id"), f"{place}.id"), name, arguments))
        elif kind not in ("thinking", "redacted_thinking"):  # what one model thought, only that model can read
            raise no_counterpart(f"{place}.type", chat.PROTOCOL)
    if not texts and not calls:
        return []
    message: dict[str, Any] = {"role": "assistant", "content": "".join(texts) or None}
    if calls:
        message["tool_calls"] = calls
    return [message]


def _part(block: dict[str, Any], where: str) -> dict[str, Any]:
    kind = block.get("type")
    if kind == "text":
        return chat.text_part(text(block.get("text"), f"{where}.text"))
    if kind not in ("image", "document"):
        raise no_counterpart(f"{where}.type", chat.PROTOCOL)
    source = obj(block.get("source"), f"{where}.source")
    origin = source.get("type")
    if kind == "image" and origin == "url":
        return chat.image_part(text(source.get("url"), f"{where}.source.url"))
    if kind == "document" and origin == "text":
        return chat.text_part(text(source.get("data"), f"{where}.source.data"))
    if origin != "base64":
        raise no_counterpart(f"{where}.source.type", chat.PROTOCOL)
    media_type = text(source.get("media_type"), f"{where}.source.media_type")
    data = f"data:{media_type};base64,{text(source.get('data'), f'{where}.source.data')}"
    if kind == "image":
        return chat.image_part(data)
    return chat.file_part(text(block.get("title") or "document.pdf", f"{where}.title"), data)


def _tool(tool: dict[str, Any], where: str) -> dict[str, Any]:
    if tool.get("type") not in (None, "custom"):
        raise no_counterpart(f"{where}.type", chat.PROTOCOL)  # a tool that Anthropic runs, or knows without being told
    function: dict[str, Any] = {"name": text(tool.get("name"), f"{where}.name")}
    if tool.get("description"):
        function["description"] = text(tool["description"], f"{where}.description")
    function["parameters"] = obj(tool.get("input_schema"), f"{where}.input_schema")
    if tool.get("strict"):
        function["strict"] = True
    return chat.function_tool(function)


def _tool_choice(choice: dict[str, Any]) -> Any:
    kind = choice.get("type")
    if kind in ("auto", "none"):
        return kind
    if kind == "any":
        return "required"
    if kind == "tool":
        return chat.function_choice(text(choice.get("name"), "tool_choice.name"))
    raise no_counterpart("tool_choice.type", chat.PROTOCOL)


def _schema(body: Mapping[str, Any]) -> dict[str, Any] | None:
    """The JSON schema that the answer must follow, by its field's name of today or of its beta."""
    config = obj(body.get("output_config") or {}, "output_config")
    refuse_unknown(config, ("effort", "format"), chat.PROTOCOL, within="output_config")
    for field, value in (
        ("output_config.format", config.get("format")),
        ("output_format", body.get("output_format")),
    ):
        if value is None:
            continue
        if obj(value, field).get("type") != "json_schema":
            raise no_counterpart(f"{field}.type", chat.PROTOCOL)
        return obj(value.get("schema"), f"{field}.schema")
    return None
