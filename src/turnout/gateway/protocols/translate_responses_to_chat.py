"""OpenAI's responses for a provider that has only chat completions: the request there, the answer back.

Nothing is stored here, so whatever refers to an earlier response is refused: the whole conversation must be sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from turnout.errors import UpstreamProtocolError
from turnout.gateway.protocols.base import refused
from turnout.gateway.protocols.translation import (
    dict_or_empty,
    dicts,
    no_counterpart,
    obj,
    objects,
    refuse_unknown,
    text,
    whole,
    word,
)

CHAT = "OpenAI's chat completions"

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
_ECHOED = (
    "instructions",
    "max_output_tokens",
    "metadata",
    "parallel_tool_calls",
    "reasoning",
    "temperature",
    "text",
    "tool_choice",
    "tools",
    "top_p",
    "truncation",
    "user",
)
_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}


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
    if tools := objects(body.get("tools"), "tools"):
        request["tools"] = [_tool(tool, f"tools[{position}]") for position, tool in enumerate(tools)]
        if body.get("tool_choice") is not None:
            request["tool_choice"] = _tool_choice(body["tool_choice"])
    else:
        request.pop("parallel_tool_calls", None)  # OpenAI refuses it where there are no tools
    if body.get("stream"):
        request["stream"] = True
        request["stream_options"] = {"include_usage": True}
    return request


def response_answer(completion: Mapping[str, Any], request: Mapping[str, Any]) -> dict[str, Any]:
    """The response for a chat completion.

    Args:
        completion: the provider's answer.
        request: the client's request, some of whose fields a response repeats.

    Raises:
        UpstreamProtocolError: it holds no choice.
    """
    choices = dicts(completion.get("choices"))
    if not choices:
        raise UpstreamProtocolError("The provider's answer holds no choice.")
    message = dict_or_empty(choices[0].get("message"))
    finish = word(choices[0].get("finish_reason")) or "stop"
    name = str(completion.get("id") or "")
    output: list[dict[str, Any]] = []
    parts = []
    if isinstance(message.get("content"), str) and (message["content"] or not message.get("tool_calls")):
        parts.append(_text_part(message["content"]))
    if message.get("refusal"):
        parts.append(_refusal_part(message["refusal"]))
    if parts:
        output.append(_message_item(name, len(output), parts, status=_item_status(finish)))
    for call in dicts(message.get("tool_calls")):
        function = dict_or_empty(call.get("function"))
        output.append(
            _call_item(
                name, len(output), call.get("id"), function.get("name"), function.get("arguments"), status="completed"
            )
        )
    return _response(
        request,
        name=name,
        created=whole(completion.get("created")),
        model=completion.get("model"),
        output=output,
        finish=finish,
        usage=dict_or_empty(completion.get("usage")),
    )


class ResponseEvents:
    """The events of a response from chat completion chunks."""

    def __init__(self, request: Mapping[str, Any]) -> None:
        self._request = request
        self._name = ""
        self._created = 0
        self._model: Any = None
        self._number = -1
        self._started = False
        self._output: list[dict[str, Any]] = []
        self._open: str | None = None
        """What is being written: 'text', 'refusal' or 'call'."""
        self._call: Any = None
        self._written: list[str] = []
        self._finish: str | None = None
        self._usage: dict[str, Any] = {}

    def feed(self, chunk: dict[str, Any]) -> list[dict[str, Any]]:
        """The events that follow from one chunk."""
        events = [] if self._started else self._start(chunk)
        self._usage |= dict_or_empty(chunk.get("usage"))
        for choice in dicts(chunk.get("choices"))[:1]:
            delta = dict_or_empty(choice.get("delta"))
            for kind, field in (("text", "content"), ("refusal", "refusal")):
                if isinstance(words := delta.get(field), str) and words:
                    events += self._say(kind, words)
            for call in dicts(delta.get("tool_calls")):
                events += self._call_tool(call)
            self._finish = word(choice.get("finish_reason")) or self._finish
        return events

    def end(self) -> list[dict[str, Any]]:
        """The end of the last item and of the response, which is told once more as a whole."""
        events = [] if self._started else self._start({})
        events += self._close()
        whole_response = self._whole(self._finish or "stop", self._usage)
        return [*events, self._event(f"response.{whole_response['status']}", response=whole_response)]

    def _start(self, chunk: dict[str, Any]) -> list[dict[str, Any]]:
        self._started = True
        self._name = str(chunk.get("id") or "")
        self._created, self._model = whole(chunk.get("created")), chunk.get("model")
        begun = self._whole(None, None)
        return [self._event("response.created", response=begun), self._event("response.in_progress", response=begun)]

    def _whole(self, finish: str | None, usage: dict[str, Any] | None) -> dict[str, Any]:
        return _response(
            self._request,
            name=self._name,
            created=self._created,
            model=self._model,
            output=list(self._output),
            finish=finish,
            usage=usage,
        )

    def _say(self, kind: str, words: str) -> list[dict[str, Any]]:
        events: list[dict[str, Any]] = []
        if self._open != kind:
            events = self._close()
            item = _message_item(self._name, len(self._output), [], status="in_progress")
            part = _text_part("") if kind == "text" else _refusal_part("")
            events += self._open_item(kind, item)
            events.append(self._in_part("response.content_part.added", part=part))
        self._written.append(words)
        return [*events, self._said(kind, "delta", delta=words)]

    def _call_tool(self, call: dict[str, Any]) -> list[dict[str, Any]]:
        function = dict_or_empty(call.get("function"))
        number = call.get("index", 0)
        events: list[dict[str, Any]] = []
        if self._open != "call" or number != self._call:
            if not call.get("id") or not function.get("name"):
                raise UpstreamProtocolError("The provider went back to a tool call that it had left.")
            events = self._close()
            item = _call_item(self._name, len(self._output), call["id"], function["name"], "", status="in_progress")
            events += self._open_item("call", item)
            self._call = number
        if arguments := function.get("arguments"):
            self._written.append(arguments)
            events.append(self._in_item("response.function_call_arguments.delta", delta=arguments))
        return events

    def _open_item(self, kind: str, item: dict[str, Any]) -> list[dict[str, Any]]:
        self._open, self._written = kind, []
        self._output.append(item)
        return [self._event("response.output_item.added", output_index=len(self._output) - 1, item=item)]

    def _close(self) -> list[dict[str, Any]]:
        """The end of the item that is open."""
        if self._open is None:
            return []
        kind, self._open = self._open, None
        written = "".join(self._written)
        item = self._output[-1]
        if kind == "call":
            item = {**item, "arguments": written, "status": "completed"}
            events = [self._in_item("response.function_call_arguments.done", arguments=written)]
        else:
            part = _text_part(written) if kind == "text" else _refusal_part(written)
            item = {**item, "content": [part], "status": _item_status(self._finish)}
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


def response_usage(usage: Mapping[str, Any]) -> dict[str, Any]:
    """The token counts of a response for those of a chat completion."""
    read, written = whole(usage.get("prompt_tokens")), whole(usage.get("completion_tokens"))
    reasoned = whole(dict_or_empty(usage.get("completion_tokens_details")).get("reasoning_tokens"))
    details = dict_or_empty(usage.get("prompt_tokens_details"))
    return {
        "input_tokens": read,
        "input_tokens_details": {
            "cached_tokens": whole(details.get("cached_tokens")),
            "cache_write_tokens": whole(details.get("cache_write_tokens")),
        },
        "output_tokens": written,
        "output_tokens_details": {"reasoning_tokens": reasoned},
        "total_tokens": read + written,
    }


def _response(
    request: Mapping[str, Any],
    *,
    name: str,
    created: int,
    model: Any,
    output: list[dict[str, Any]],
    finish: str | None,
    usage: dict[str, Any] | None,
) -> dict[str, Any]:
    """A response object; one that is still being written if `finish` is None."""
    incomplete = _INCOMPLETE.get(finish) if finish else None
    status = "in_progress" if finish is None else "incomplete" if incomplete else "completed"
    defaults = {"parallel_tool_calls": True, "tool_choice": "auto", "tools": [], "metadata": {}}
    echoed = {field: request.get(field) for field in _ECHOED}
    return {
        "id": f"resp_{name}",
        "object": "response",
        "created_at": created,
        "status": status,
        "background": False,
        "error": None,
        "incomplete_details": {"reason": incomplete} if incomplete else None,
        "model": model,
        "output": output,
        "previous_response_id": None,
        "store": False,
        **{field: defaults.get(field) if value is None else value for field, value in echoed.items()},
        "usage": None if usage is None else response_usage(usage),
    }


def _message_item(name: str, position: int, parts: list[dict[str, Any]], *, status: str) -> dict[str, Any]:
    return {
        "id": f"msg_{name}_{position}",
        "type": "message",
        "role": "assistant",
        "status": status,
        "content": parts,
    }


def _call_item(name: str, position: int, call: Any, function: Any, arguments: Any, *, status: str) -> dict[str, Any]:
    return {
        "id": f"fc_{name}_{position}",
        "type": "function_call",
        "call_id": call,
        "name": function,
        "arguments": arguments or "",
        "status": status,
    }


def _text_part(words: str) -> dict[str, Any]:
    return {"type": "output_text", "text": words, "annotations": [], "logprobs": []}


def _refusal_part(words: str) -> dict[str, Any]:
    return {"type": "refusal", "refusal": words}


def _item_status(finish: str | None) -> str:
    return "incomplete" if finish in _INCOMPLETE else "completed"


def _refuse_what_has_no_counterpart(body: Mapping[str, Any]) -> None:
    for field in ("previous_response_id", "conversation"):
        if body.get(field) is not None:
            raise refused(
                f"'{field}': the provider of this model stores no responses, and neither does this gateway. Send the "
                "whole conversation as input.",
                code="not_translatable",
                param=field,
            )
    for field, neutral in _NEUTRAL.items():
        if body.get(field) is not None and body[field] not in neutral:
            raise no_counterpart(field, CHAT)
    include = body.get("include") or []
    if not isinstance(include, list):
        raise refused("'include' must be a list.", param="include")
    for position, wanted in enumerate(include):
        if wanted not in _INCLUDED:
            raise no_counterpart(f"include[{position}]", CHAT)
    refuse_unknown(body, _TRANSLATED | _LEFT_OUT | _NEUTRAL.keys(), CHAT)


def _messages(value: Any) -> list[dict[str, Any]]:
    if isinstance(value, str):
        return [{"role": "user", "content": value}]
    if value is None:
        raise refused("'input' is missing: a text or a list of items.", param="input")
    messages: list[dict[str, Any]] = []
    for position, item in enumerate(objects(value, "input")):
        where = f"input[{position}]"
        kind = item.get("type", "message")
        if kind == "message":
            _append_message(messages, item, where)
        elif kind == "function_call":
            function = {
                "name": text(item.get("name"), f"{where}.name"),
                "arguments": text(item.get("arguments"), f"{where}.arguments"),
            }
            call = {"id": text(item.get("call_id"), f"{where}.call_id"), "type": "function", "function": function}
            if not messages or messages[-1]["role"] != "assistant":
                messages.append({"role": "assistant", "content": None})
            messages[-1].setdefault("tool_calls", []).append(call)
        elif kind == "function_call_output":
            messages.append(
                {
                    "role": "tool",
                    "tool_call_id": text(item.get("call_id"), f"{where}.call_id"),
                    "content": _tool_output(item.get("output"), f"{where}.output"),
                }
            )
        elif kind != "reasoning":  # what one model thought, only that model can read
            raise no_counterpart(f"{where}.type", CHAT)
    return messages


def _append_message(messages: list[dict[str, Any]], item: dict[str, Any], where: str) -> None:
    role, content = item.get("role"), item.get("content")
    if role not in ("user", "assistant", "system", "developer"):
        raise no_counterpart(f"{where}.role", CHAT)
    # Servers other than OpenAI's know no developer.
    message: dict[str, Any] = {"role": "system" if role == "developer" else role}
    if isinstance(content, str):
        message["content"] = content
    else:
        parts = [
            _part(part, f"{where}.content[{position}]")
            for position, part in enumerate(objects(content, f"{where}.content"))
        ]
        if role == "user" and any(part["type"] != "text" for part in parts):
            message["content"] = parts
        elif any(part["type"] != "text" for part in parts):
            raise no_counterpart(f"{where}.content", CHAT)
        else:
            message["content"] = "\n".join(part["text"] for part in parts)
    messages.append(message)


def _part(part: dict[str, Any], where: str) -> dict[str, Any]:
    kind = part.get("type")
    if kind in ("input_text", "output_text", "text"):
        return {"type": "text", "text": text(part.get("text"), f"{where}.text")}
    if kind == "refusal":
        return {"type": "text", "text": text(part.get("refusal"), f"{where}.refusal")}
    if kind == "input_image":
        if part.get("image_url") is None:
            raise no_counterpart(f"{where}.file_id", CHAT)
        image: dict[str, Any] = {"url": text(part["image_url"], f"{where}.image_url")}
        if part.get("detail") is not None:
            image["detail"] = part["detail"]
        return {"type": "image_url", "image_url": image}
    if kind == "input_file":
        if part.get("file_data") is None:
            raise no_counterpart(f"{where}.file_id" if part.get("file_id") else f"{where}.file_url", CHAT)
        name = text(part.get("filename") or "document.pdf", f"{where}.filename")
        return {"type": "file", "file": {"filename": name, "file_data": text(part["file_data"], f"{where}.file_data")}}
    raise no_counterpart(f"{where}.type", CHAT)


def _tool_output(value: Any, where: str) -> str:
    if isinstance(value, str):
        return value
    texts = []
    for position, part in enumerate(objects(value, where)):
        if part.get("type") not in ("input_text", "output_text", "text"):
            raise no_counterpart(f"{where}[{position}].type", CHAT)
        texts.append(text(part.get("text"), f"{where}[{position}].text"))
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
        raise no_counterpart("text.format.type", CHAT)
    schema = {
        field: form[field] for field in ("name", "description", "schema", "strict") if form.get(field) is not None
    }
    return {"type": "json_schema", "json_schema": schema}


def _tool(tool: dict[str, Any], where: str) -> dict[str, Any]:
    if tool.get("type") != "function":
        raise no_counterpart(f"{where}.type", CHAT)  # a tool that OpenAI runs
    text(tool.get("name"), f"{where}.name")
    fields = ("name", "description", "parameters", "strict")
    return {"type": "function", "function": {field: tool[field] for field in fields if tool.get(field) is not None}}


def _tool_choice(choice: Any) -> Any:
    if choice in ("auto", "none", "required"):
        return choice
    if isinstance(choice, dict) and choice.get("type") == "function":
        return {"type": "function", "function": {"name": text(choice.get("name"), "tool_choice.name")}}
    raise no_counterpart("tool_choice", CHAT)
