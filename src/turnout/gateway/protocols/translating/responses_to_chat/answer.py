"""A chat completion as a response."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from turnout.gateway.protocols.translating.answers import dict_or_empty, whole, word
from turnout.gateway.protocols.translating.chat import calls_of, first_choice
from turnout.gateway.protocols.translating.responses_to_chat.objects import (
    call_item,
    item_status,
    message_item,
    refusal_part,
    response_object,
    said_part,
)


def response_answer(completion: Mapping[str, Any], request: Mapping[str, Any]) -> dict[str, Any]:
    """The response for a chat completion.

    Args:
        completion: the provider's answer.
        request: the client's request, some of whose fields a response repeats.

    Raises:
        UpstreamProtocolError: it holds no choice.
    """
    choice = first_choice(completion)
    message, finish = dict_or_empty(choice.get("message")), word(choice.get("finish_reason")) or "stop"
    name = str(completion.get("id") or "")
    output: list[dict[str, Any]] = []
    parts = []
    if isinstance(message.get("content"), str) and (message["content"] or not message.get("tool_calls")):
        parts.append(said_part(message["content"]))
    if message.get("refusal"):
        parts.append(refusal_part(message["refusal"]))
    if parts:
        output.append(message_item(name, len(output), parts, status=item_status(finish)))
    for id, called, arguments in calls_of(message):
        output.append(call_item(name, len(output), id, called, arguments, status="completed"))
    return response_object(
        request,
        name=name,
        created=whole(completion.get("created")),
        model=completion.get("model"),
        output=output,
        finish=finish,
        usage=dict_or_empty(completion.get("usage")),
    )
