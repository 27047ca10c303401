"""A chat completions request as Anthropic's messages."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from turnout.gateway.protocols.base import refused, whole_number
from turnout.gateway.protocols.translating.fields import (
    arguments_object,
    data_url,
    no_counterpart,
    obj,
    placed,
    refuse_unknown,
    refuse_unless_neutral,
    text,
)

MESSAGES = "Anthropic's messages"
DEFAULT_MAX_TOKENS = 4096
"""Anthropic's protocol wants a limit. This one holds where neither the client nor the model's configuration has one."""

_TRANSLATED = frozenset(
    {
        "max_completion_tokens",
        "max_tokens",
        "messages",
        "model",
        "parallel_tool_calls",
        "response_format",
        "stop",
        "stream",
        "stream_options",
        "temperature",
        "tool_choice",
        "tools",
        "top_k",
        "top_p",
    }
)
# Hints, and what concerns OpenAI's own books: an answer without them is still the answer that was asked for.
_LEFT_OUT = frozenset(
    {
        "metadata",
        "prediction",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "reasoning_effort",
        "safety_identifier",
        "seed",
        "service_tier",
        "store",
        "user",
        "verbosity",
    }
)
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "n": (1,),
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "logit_bias": ({},),
    "logprobs": (False,),
    "modalities": (["text"],),
    "functions": ([],),
}
_UNUSUAL_ID = re.compile(r"[^a-zA-Z0-9_-]")


def messages_request(body: Mapping[str, Any], *, model: str, max_tokens: int | None) -> dict[str, Any]:
    """The messages request for a chat completions request, or a RequestError that names what cannot go over.

    Args:
        body: the chat completions request.
        model: the provider's name of the model.
        max_tokens: the limit where the client gives none.

    >>> messages_request({"messages": [{"role": "user", "content": "A river?"}]}, model="m", max_tokens=9)
    {'model': 'm', 'max_tokens': 9, 'messages': [{'role': 'user', 'content': [{'type': 'text', 'text': 'A river?'}]}]}
    """
    refuse_unless_neutral(body, _NEUTRAL, MESSAGES)
    refuse_unknown(body, _TRANSLATED | _LEFT_OUT | _NEUTRAL.keys(), MESSAGES)
    system, messages = _conversation(body)
    request: dict[str, Any] = {
        "model": model,
        "max_tokens": whole_number(body, "max_completion_tokens", "max_tokens") or max_tokens or DEFAULT_MAX_TOKENS,
        "messages": messages,
    }
    if system:
        request["system"] = system
    if body.get("stream"):
        request["stream"] = True
    temperature = body.get("temperature")
    if temperature is not None:
        if isinstance(temperature, int | float) and temperature > 1:
            raise refused(
                f"'temperature' must be in [0, 1] for {MESSAGES}, which the provider of this model speaks.",
                code="not_translatable",
                param="temperature",
            )
        request["temperature"] = temperature
    for field in ("top_p", "top_k"):
        if body.get(field) is not None:
            request[field] = body[field]
    if (stop := body.get("stop")) is not None:
        request["stop_sequences"] = [stop] if isinstance(stop, str) else stop
    if tools := placed(body.get("tools"), "tools"):
        request["tools"] = [_tool(tool, where) for where, tool in tools]
        if choice := _tool_choice(body):
            request["tool_choice"] = choice
    if (response_format := _response_format(body.get("response_format"))) is not None:
        request["output_config"] = {"format": response_format}
    return request


def _conversation(body: Mapping[str, Any]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The system prompt's blocks and the messages, in which the roles take turns."""
    system: list[dict[str, Any]] = []
    messages: list[dict[str, Any]] = []
    for where, message in placed(body.get("messages"), "messages"):
        role = text(message.get("role"), f"{where}.role")
        if role in ("system", "developer"):
            if messages:
                raise refused(
                    f"'{where}.role': {MESSAGES}, which the provider of this model speaks, take a system prompt only "
                    "before the first turn.",
                    code="not_translatable",
                    param=f"{where}.role",
                )
            system += _blocks(message.get("content"), f"{where}.content")
        elif role == "user":
            _append(messages, "user", _blocks(message.get("content"), f"{where}.content"))
        elif role == "assistant":
            _append(messages, "assistant", _assistant(message, where))
        elif role == "tool":
            _append(messages, "user", [_tool_result(message, where)])
        else:
            raise no_counterpart(f"{where}.role", MESSAGES)
    if not messages:
        raise refused("'messages' must hold a turn of the user with some content.", param="messages")
    return system, messages


def _append(messages: list[dict[str, Any]], role: str, blocks: list[dict[str, Any]]) -> None:
    """One more turn, joined with the one before if that is of the same role."""
    if not blocks:
        return
    if messages and messages[-1]["role"] == role:
        messages[-1]["content"] += blocks
    else:
        messages.append({"role": role, "content": blocks})


def _assistant(message: dict[str, Any], where: str) -> list[dict[str, Any]]:
    for field in ("audio", "function_call"):
        if message.get(field) is not None:
            raise no_counterpart(f"{where}.{field}", MESSAGES)
    blocks = _blocks(message.get("content"), f"{where}.content")
    if message.get("refusal"):
        blocks.append({"type": "text", "text": text(message["refusal"], f"{where}.refusal")})
    for place, call in placed(message.get("tool_calls"), f"{where}.tool_calls"):
        if call.get("type", "function") != "function":
            raise no_counterpart(f"{place}.type", MESSAGES)
        function = obj(call.get("function"), f"{place}.function")
        blocks.append(
            {
                "type": "tool_use",
                "id": _tool_id(call.get("id"), f"{place}.id"),
                "name": text(function.get("name"), f"{place}.function.name"),
                "input": arguments_object(function.get("arguments"), f"{place}.function.arguments"),
            }
        )
    return blocks


def _tool_result(message: dict[str, Any], where: str) -> dict[str, Any]:
    result: dict[str, Any] = {
        "type": "tool_result",
        "tool_use_id": _tool_id(message.get("tool_call_id"), f"{where}.tool_call_id"),
    }
    if blocks := _blocks(message.get("content"), f"{where}.content"):
        result["content"] = blocks
    return result


def _tool_id(value: Any, where: str) -> str:
    """Anthropic takes fewer characters in ids than OpenAI; a call and its result are changed alike."""
    return _UNUSUAL_ID.sub("_", text(value, where))


def _blocks(content: Any, where: str) -> list[dict[str, Any]]:
    """Anthropic's content blocks; texts that are empty, which it does not take, are left out."""
    if content is None:
        return []
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    blocks = []
    for place, part in placed(content, where):
        if (block := _block(part, place)) is not None:
            blocks.append(block)
    return blocks


def _block(part: dict[str, Any], where: str) -> dict[str, Any] | None:
    kind = part.get("type")
    block: dict[str, Any]
    if kind in ("text", "refusal"):
        words = text(part.get(kind), f"{where}.{kind}")
        if not words:
            return None
        block = {"type": "text", "text": words}
    elif kind == "image_url":
        url = text(obj(part.get("image_url"), f"{where}.image_url").get("url"), f"{where}.image_url.url")
        block = {"type": "image", "source": _source(url, f"{where}.image_url.url")}
    elif kind == "file":
        file = obj(part.get("file"), f"{where}.file")
        if file.get("file_data") is None:
            raise no_counterpart(f"{where}.file.file_id", MESSAGES)
        packed = data_url(text(file["file_data"], f"{where}.file.file_data"))
        if packed is None or packed[0] != "application/pdf":
            raise refused(
                f"'{where}.file.file_data' must be a PDF as data:application/pdf;base64,…",
                code="not_translatable",
                param=f"{where}.file.file_data",
            )
        block = {"type": "document", "source": {"type": "base64", "media_type": packed[0], "data": packed[1]}}
        if file.get("filename"):
            block["title"] = text(file["filename"], f"{where}.file.filename")
    else:
        raise no_counterpart(f"{where}.type", MESSAGES)
    if isinstance(part.get("cache_control"), dict):  # many clients know that Anthropic's caches are told where to end
        block["cache_control"] = part["cache_control"]
    return block


def _source(url: str, where: str) -> dict[str, Any]:
    packed = data_url(url)
    if packed is not None:
        return {"type": "base64", "media_type": packed[0], "data": packed[1]}
    if url.startswith(("https://", "http://")):
        return {"type": "url", "url": url}
    raise refused(f"'{where}' must begin with https:// or with data:image/…;base64,", param=where)


def _tool(tool: dict[str, Any], where: str) -> dict[str, Any]:
    if tool.get("type") != "function":
        raise no_counterpart(f"{where}.type", MESSAGES)
    function = obj(tool.get("function"), f"{where}.function")
    translated: dict[str, Any] = {"name": text(function.get("name"), f"{where}.function.name")}
    if function.get("description"):
        translated["description"] = text(function["description"], f"{where}.function.description")
    parameters = function.get("parameters")
    # A function without parameters takes none.
    empty = {"type": "object", "properties": {}}
    translated["input_schema"] = obj(parameters, f"{where}.function.parameters") if parameters else empty
    if function.get("strict"):
        translated["strict"] = True
    if isinstance(tool.get("cache_control"), dict):
        translated["cache_control"] = tool["cache_control"]
    return translated


def _tool_choice(body: Mapping[str, Any]) -> dict[str, Any] | None:
    choice = body.get("tool_choice")
    translated: dict[str, Any] | None
    if choice is None:
        translated = None
    elif choice in ("auto", "none"):
        translated = {"type": choice}
    elif choice == "required":
        translated = {"type": "any"}
    elif isinstance(choice, dict) and choice.get("type") == "function":
        function = obj(choice.get("function"), "tool_choice.function")
        translated = {"type": "tool", "name": text(function.get("name"), "tool_choice.function.name")}
    else:
        raise no_counterpart("tool_choice", MESSAGES)
    if body.get("parallel_tool_calls") is False and (translated or {}).get("type") != "none":
        translated = {**(translated or {"type": "auto"}), "disable_parallel_tool_use": True}
    return translated


def _response_format(value: Any) -> dict[str, Any] | None:
    if value is None:
        return None
    kind = obj(value, "response_format").get("type")
    if kind == "text":
        return None
    if kind != "json_schema":
        raise no_counterpart("response_format.type", MESSAGES)
    schema = obj(value.get("json_schema"), "response_format.json_schema").get("schema")
    return {"type": "json_schema", "schema": obj(schema, "response_format.json_schema.schema")}
