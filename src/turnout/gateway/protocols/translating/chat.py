"""What chat completions are made of, for all that is translated into them, and what an answered one says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from turnout.errors import UpstreamProtocolError
from turnout.gateway.protocols.translating.answers import dict_or_empty, dicts

PROTOCOL = "OpenAI's chat completions"


def text_part(words: str) -> dict[str, Any]:
    """A part of a message that is text."""
    return {"type": "text", "text": words}


def image_part(url: str, *, detail: Any = None) -> dict[str, Any]:
    """A part of a message that is an image."""
    return {"type": "image_url", "image_url": {"url": url} if detail is None else {"url": url, "detail": detail}}


def file_part(name: str, data: str) -> dict[str, Any]:
    """A part of a message that is a file, whose data is a data: address."""
    return {"type": "file", "file": {"filename": name, "file_data": data}}


def tool_call(id: Any, name: Any, arguments: str) -> dict[str, Any]:
    """A call of a function, its arguments JSON as text."""
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


def tool_message(call: str, content: str) -> dict[str, Any]:
    """What a tool gave."""
    return {"role": "tool", "tool_call_id": call, "content": content}


def function_tool(function: dict[str, Any]) -> dict[str, Any]:
    """A function that the model may call."""
    return {"type": "function", "function": function}


def function_choice(name: str) -> dict[str, Any]:
    """The choice of one function that the model has to call."""
    return {"type": "function", "function": {"name": name}}


def schema_format(json_schema: dict[str, Any]) -> dict[str, Any]:
    """An answer that follows a JSON schema."""
    return {"type": "json_schema", "json_schema": json_schema}


def ask_for_stream(request: dict[str, Any], body: Mapping[str, Any]) -> None:
    """Have the request streamed, with token counts, if the client's is to be."""
    if body.get("stream"):
        request["stream"] = True
        request["stream_options"] = {"include_usage": True}


def first_choice(completion: Mapping[str, Any]) -> dict[str, Any]:
    """The first choice of a completion.

    Raises:
        UpstreamProtocolError: it holds none.
    """
    choices = dicts(completion.get("choices"))
    if not choices:
        raise UpstreamProtocolError("The provider's answer holds no choice.")
    return choices[0]


def calls_of(message: Mapping[str, Any]) -> list[tuple[Any, Any, Any]]:
    """The tool calls of an answered message: id, name and arguments of each."""
    calls = []
    for call in dicts(message.get("tool_calls")):
        function = dict_or_empty(call.get("function"))
        calls.append((call.get("id"), function.get("name"), function.get("arguments")))
    return calls
