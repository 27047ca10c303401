"""GET /openapi.json: what the gateway takes and gives, written by hand and kept small.

Requests name only the fields that the gateway itself reads. All others go to the provider, whose own description says
what they mean.
"""

from __future__ import annotations

from typing import Any

from turnout._version import __version__
from turnout.gateway.asgi import Receive, Scope, Send, send_json

_TEXT = {"type": "string"}
_OBJECT = {"type": "object"}
_EVENT = {"type": "object", "required": ["data"], "properties": {"event": _TEXT, "data": _TEXT}}
_COUNT = {"type": "integer", "minimum": 0}
_MODEL = {"type": "string", "minLength": 1, "description": "A route, or a model's own name."}
_STREAM = {"type": ["boolean", "null"], "description": "Whether the answer comes as server-sent events."}
_INPUT = {"anyOf": [_TEXT, {"type": "array", "items": _OBJECT}]}
_MESSAGES = {"type": "array", "minItems": 1, "items": _OBJECT}


def _body(required: dict[str, Any], optional: dict[str, Any] | None = None) -> dict[str, Any]:
    schema = {"type": "object", "required": list(required), "properties": {**required, **(optional or {})}}
    return {"required": True, "content": {"application/json": {"schema": schema}}}


def _one_of(required: dict[str, Any], *, closed: bool, **one: dict[str, Any]) -> dict[str, Any]:
    """A body with all of `required` and exactly one of the others; nothing else, if closed."""
    ways: list[dict[str, Any]] = []
    for name, schema in one.items():
        way: dict[str, Any] = {
            "type": "object",
            "required": [*required, name],
            "properties": {**required, name: schema},
        }
        if closed:
            way["additionalProperties"] = False
        else:
            way["not"] = {"anyOf": [{"required": [other]} for other in one if other != name]}
        ways.append(way)
    return {"required": True, "content": {"application/json": {"schema": {"oneOf": ways}}}}


def _answer(description: str, schema: dict[str, Any], *, streamed: bool = False) -> dict[str, Any]:
    content: dict[str, Any] = {"application/json": {"schema": schema}}
    if streamed:
        content["text/event-stream"] = {"schema": _EVENT}
    return {"description": description, "content": content}


def _operation(name: str, summary: str, ok: dict[str, Any], *, error: str = "Error", **fields: Any) -> dict[str, Any]:
    refused = _answer(
        "Refused, by the gateway or by the provider, or the provider failed.",
        {"$ref": f"#/components/schemas/{error}"},
    )
    statuses = {"200": ok, "4XX": refused, "5XX": refused}
    return {"operationId": name, "summary": summary, "responses": statuses, **fields}


def _exactly(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": list(properties), "properties": properties}


_WORST_CASE = _exactly(input_tokens=_COUNT, output_tokens=_COUNT, cost_usd={"type": ["number", "null"]})
_DECISION = _exactly(
    object={"const": "turnout.decision"},
    decision_id=_TEXT,
    route=_TEXT,
    model=_TEXT,
    side={"enum": ["strong", "weak", None], "description": "null where a model was asked for by its own name."},
    win_rate={"type": ["number", "null"], "minimum": 0, "maximum": 1},
    threshold={"type": ["number", "null"]},
    reason=_TEXT,
    worst_case={
        "type": "object",
        "additionalProperties": _WORST_CASE,
        "description": "By model, the most that it is thought to read, write and cost.",
    },
)

DESCRIPTION: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {
        "title": "Turnout",
        "version": __version__,
        "description": "A gateway that sends each query to the strong or to the weak model. Requests show what it "
        "reads of them; a provider of another protocol may want more, and then a 400 names the field.",
    },
    "security": [{"bearer": []}, {"x-api-key": []}, {}],
    "paths": {
        "/v1/chat/completions": {
            "post": _operation(
                "chatCompletions",
                "OpenAI's chat completions",
                _answer("A chat completion, or its chunks.", _OBJECT, streamed=True),
                requestBody=_body({"model": _MODEL, "messages": _MESSAGES}, {"stream": _STREAM}),
            )
        },
        "/v1/responses": {
            "post": _operation(
                "responses",
                "OpenAI's responses",
                _answer("A response, or its events.", _OBJECT, streamed=True),
                requestBody=_body(
                    {"model": _MODEL},
                    {"input": {"anyOf": [*_INPUT["anyOf"], {"type": "null"}]}, "stream": _STREAM},
                ),
            )
        },
        "/v1/embeddings": {
            "post": _operation(
                "embeddings",
                "OpenAI's embeddings, of a model by its own name",
                _answer("Vectors.", _OBJECT),
                requestBody=_body({"model": _MODEL, "input": {"anyOf": [_TEXT, {"type": "array"}]}}),
            )
        },
        "/v1/messages": {
            "post": _operation(
                "messages",
                "Anthropic's messages",
                _answer("A message, or its events.", _OBJECT, streamed=True),
                error="AnthropicError",
                requestBody=_body({"model": _MODEL, "messages": _MESSAGES}, {"stream": _STREAM}),
            )
        },
        "/v1/messages/count_tokens": {
            "post": _operation(
                "countTokens",
                "How many tokens a conversation has, of a model by its own name",
                _answer("The count.", _exactly(input_tokens=_COUNT)),
                error="AnthropicError",
                requestBody=_body({"model": _MODEL, "messages": _MESSAGES}),
            )
        },
        "/v1/route": {
            "post": _operation(
                "route",
                "The decision alone: nothing is called",
                _answer("What would be called, why, and what it would cost at most.", _DECISION),
                requestBody=_one_of({"model": _MODEL}, closed=False, messages=_MESSAGES, input=_INPUT),
            )
        },
        "/v1/feedback": {
            "post": _operation(
                "feedback",
                "What a client says of an answer that it got; only where there is a ledger",
                _answer("What was kept.", _OBJECT),
                requestBody=_one_of(
                    {"decision_id": {"type": "string", "minLength": 1, "maxLength": 100}},
                    closed=True,
                    thumb={"enum": ["up", "down"]},
                    score={"type": "number", "minimum": 0, "maximum": 1},
                    preferred={"type": "string", "minLength": 1, "description": "A model's name."},
                ),
            )
        },
        "/v1/models": {
            "get": _operation(
                "listModels",
                "The names that may be asked for",
                _answer("Routes, then models.", _exactly(object=_TEXT, data={"type": "array", "items": _OBJECT})),
            )
        },
        "/v1/models/{model}": {
            "get": _operation(
                "showModel",
                "One of them",
                _answer("The name.", _exactly(id=_TEXT, object=_TEXT, created=_COUNT, owned_by=_TEXT)),
                parameters=[{"name": "model", "in": "path", "required": True, "schema": _TEXT}],
            )
        },
        "/metrics": {
            "get": {
                "operationId": "metrics",
                "summary": "Counts and times, for Prometheus",
                "responses": {
                    "200": {"description": "Metrics.", "content": {"text/plain": {"schema": _TEXT}}},
                    "4XX": _answer("Not shown here, or not to this caller.", {"$ref": "#/components/schemas/Error"}),
                },
                "security": [{"bearer": []}, {}],
            }
        },
        "/healthz": {
            "get": _operation(
                "health",
                "Whether the gateway works, and what happened since it started",
                _answer("Health.", _exactly(status=_TEXT, version=_TEXT, counters=_OBJECT)),
                security=[],
            )
        },
        "/readyz": {
            "get": _operation(
                "readiness",
                "Whether the gateway takes requests; 503 once it was told to stop",
                _answer("It does.", _exactly(status=_TEXT)),
                security=[],
            )
        },
    },
    "components": {
        "securitySchemes": {
            "bearer": {"type": "http", "scheme": "bearer"},
            "x-api-key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
        },
        "schemas": {
            "Error": _exactly(
                error={
                    "type": "object",
                    "required": ["message"],
                    "properties": {
                        "message": _TEXT,
                        "type": {"type": ["string", "null"]},
                        "param": {"type": ["string", "null"]},
                        "code": {"type": ["string", "integer", "null"]},
                    },
                }
            ),
            "AnthropicError": _exactly(type={"const": "error"}, error=_exactly(type=_TEXT, message=_TEXT)),
        },
    },
}


async def describe(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the description."""
    await send_json(send, DESCRIPTION)
