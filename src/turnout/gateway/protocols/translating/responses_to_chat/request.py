"""A request for OpenAI's responses as chat completions.

Nothing is stored here, so whatever refers to an earlier response is refused: the whole conversation must be sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from turnout.gateway.protocols.base import refused
from turnout.gateway.protocols.translating import chat
from turnout.gateway.protocols.translating.answers import dict_or_empty
from turnout.gateway.protocols.translating.fields import (
    no_counterpart,
    obj,
    placed,
    refuse_unknown,
    refuse_unless_neutral,
    text,
)

_SAME = (
    "temperature",
    "top_p",
    "parallel_tool_calls",
    "user",
    "safety_identifier",
    "prompt_cache_key",
    "service_tier",
)
_TRANSLATED = frozenset(
    {
        *_SAME,
        "include",
        "input",
        "instructions",
        "max_output_tokens",
        "model",
        "reasoning",
        "stream",
        "text",
        "tool_choice",
        "tools",
    }
)
# Hints, and what concerns the provider's own store and tools.
_LEFT_OUT = frozenset(
    {
        "max_tool_calls",
        "metadata",
        "prompt_cache_options",
        "prompt_cache_retention",
        "store",
        "stream_options",
        "truncation",
    }
)
_NEUTRAL: dict[str, tuple[Any, ...]] = {"background": (False,), "top_logprobs": (0,)}
_INCLUDED = ("reasoning.encrypted_content",)


def chat_request(body: Mapping[str, Any], *, model: str, max_tokens_field: str = "max_tokens") -> dict[str, Any]:
    """The chat completions request for a responses request, or a RequestError that names what cannot go over.

    >>> chat_request({"input": "A river?", "instructions": "Be brief."}, model="m")["messages"]
    [{'role': 'system', 'content': 'Be brief.'}, {'role': 'user', 'content': 'A river?'}]
    """
    _refuse_what_has_no_counterpart(body)
    messages: list[dict[str, Any]] = []
    if body.get("instructions"):
        messages.append({"role": "system", "content": text(body["instructions"], "instructions")})
    request: dict[str, Any] = {"model": model, "messages": messages + _messages(body.get("input"))}
    if body.get("max_output_tokens") is not None:
        request[max_tokens_field] = body["max_output_tokens"]
    for field in _SAME:
        if body.get(field) is not None:
            request[field] = body[field]
    effort = dict_or_empty(body.get("reasoning")).get("effort")
    if effort is not None:
        request["reasoning_effort"] = effort
    if (response_format := _response_format(body.get("text"))) is not None:
        request["response_format"] = response_format
    if tools := placed(body.get("tools"), "tools"):
        request["tools"] = [_tool(tool, where) for where, tool in tools]
        if body.get("tool_choice") is not None:
            request["tool_choice"] = _tool_choice(body["tool_choice"])
    else:
        request.pop("parallel_tool_calls", None)  # OpenAI refuses it where there are no tools
    chat.ask_for_stream(request, body)
    return request


def _refuse_what_has_no_counterpart(body: Mapping[str, Any]) -> None:
    for field in ("previous_response_id", "conversation"):
        if body.get(field) is not None:
            raise refused(
                f"'{field}': the provider of this model stores no responses, and neither does this gateway. Send the "
                "whole conversation as input.",
                code="not_translatable",
                param=field,
            )
    refuse_unless_neutral(body, _NEUTRAL, chat.PROTOCOL)
    include = body.get("include") or []
    if not isinstance(include, list):
        raise refused("'include' must be a list.", param="include")
    for position, wanted in enumerate(include):
        if wanted not in _INCLUDED:
            raise no_counterpart(f"include[{position}]", chat.PROTOCOL)
    refuse_unknown(body, _TRANSLATED | _LEFT_OUT | _NEUTRAL.keys(), chat.PROTOCOL)


def _messages(value: Any) -> list[dict[str, Any]]:
    if isinstance(value, str):
        return [{"role": "user", "content": value}]
    if value is None:
        raise refused("'input' is missing: a text or a list of items.", param="input")
    messages: list[dict[str, Any]] = []
    for where, item in placed(value, "input"):
        kind = item.get("type", "message")
        if kind == "message":
            _append_message(messages, item, where)
        elif kind == "function_call":
            call = chat.tool_call(
                text(item.get("call_id"), f"{where}.call_id"),
                text(item.get("name"), f"{where}.name"),
                text(item.get("arguments"), f"{where}.arguments"),
            )
            if not messages or messages[-1]["role"] != "assistant":
                messages.append({"role": "assistant", "content": None})
            messages[-1].setdefault("tool_calls", []).append(call)
        elif kind == "function_call_output":
            called = text(item.get("call_id"), f"{where}.call_id")
            messages.append(chat.tool_message(called, _tool_output(item.get("output"), f"{where}.output")))
        elif kind != "reasoning":  # what one model thought, only that model can read
            raise no_counterpart(f"{where}.type", chat.PROTOCOL)
    return messages


def _append_message(messages: list[dict[str, Any]], item: dict[str, Any], where: str) -> None:
    role, content = item.get("role"), item.get("content")
    if role not in ("user", "assistant", "system", "developer"):
        raise no_counterpart(f"{where}.role", chat.PROTOCOL)
    # Servers other than OpenAI's know no developer.
    message: dict[str, Any] = {"role": "system" if role == "developer" else role}
    if isinstance(content, str):
        message["content"] = content
    else:
        parts = [_part(part, place) for place, part in placed(content, f"{where}.content")]
        if role == "user" and any(part["type"] != "text" for part in parts):
            message["content"] = parts
        elif any(part["type"] != "text" for part in parts):
            raise no_counterpart(f"{where}.content", chat.PROTOCOL)
        else:
            message["content"] = "\n".join(part["text"] for part in parts)
    messages.append(message)


def _part(part: dict[str, Any], where: str) -> dict[str, Any]:
    kind = part.get("type")
    if kind in ("input_text", "output_text", "text"):
        return chat.text_part(text(part.get("text"), f"{where}.text"))
    if kind == "refusal":
        return chat.text_part(text(part.get("refusal"), f"{where}.refusal"))
    if kind == "input_image":
        if part.get("image_url") is None:
            raise no_counterpart(f"{where}.file_id", chat.PROTOCOL)
        return chat.image_part(text(part["image_url"], f"{where}.image_url"), detail=part.get("detail"))
    if kind == "input_file":
        if part.get("file_data") is None:
            raise no_counterpart(f"{where}.file_id" if part.get("file_id") else f"{where}.file_url", chat.PROTOCOL)
        name = text(part.get("filename") or "document.pdf", f"{where}.filename")
        return chat.file_part(name, text(part["file_data"], f"{where}.file_data"))
    raise no_counterpart(f"{where}.type", chat.PROTOCOL)


def _tool_output(value: Any, where: str) -> str:
    if isinstance(value, str):
        return value
    texts = []
    for place, part in placed(value, where):
        if part.get("type") not in ("input_text", "output_text", "text"):
            raise no_counterpart(f"{place}.type", chat.PROTOCOL)
        texts.append(text(part.get("text"), f"{place}.text"))
    return "\n".join(texts)


def _response_format(value: Any) -> dict[str, Any] | None:
    settings = obj(value, "text") if value is not None else {}
    form = settings.get("format")
    if form is None or obj(form, "text.format").get("type") == "text":
        return None
    kind = form.get("type")
    if kind == "json_object":
        return {"type": "json_object"}
    if kind != "json_schema":
        raise no_counterpart("text.format.type", chat.PROTOCOL)
    schema = {
        field: form[field] for field in ("name", "description", "schema", "strict") if form.get(field) is not None
    }
    return chat.schema_format(schema)


def _tool(tool: dict[str, Any], where: str) -> dict[str, Any]:
    if tool.get("type") != "function":
        raise no_counterpart(f"{where}.type", chat.PROTOCOL)  # a tool that OpenAI runs
    text(tool.get("name"), f"{where}.name")
    fields = ("name", "description", "parameters", "strict")
    return chat.function_tool({field: tool[field] for field in fields if tool.get(field) is not None})


def _tool_choice(choice: Any) -> Any:
    if choice in ("auto", "none", "required"):
        return choice
    if isinstance(choice, dict) and choice.get("type") == "function":
        return chat.function_choice(text(choice.get("name"), "tool_choice.name"))
    raise no_counterpart("tool_choice", chat.PROTOCOL)
