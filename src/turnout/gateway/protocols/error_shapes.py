"""What an error looks like in each protocol, and what a provider's error says."""

from __future__ import annotations

from typing import Any

import orjson

from turnout.gateway.errors import RequestError

_ANTHROPIC_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}


def openai_error(message: str, *, type: str, code: str | None = None, param: str | None = None) -> dict[str, Any]:
    """OpenAI's error object."""
    return {"error": {"message": message, "type": type, "param": param, "code": code}}


def openai_upstream_error(message: str, status: int) -> dict[str, Any]:
    """OpenAI's error object for what a provider of another protocol said."""
    return openai_error(message, type="upstream_error", code=f"upstream_status_{status}")


def anthropic_error(message: str, status: int) -> dict[str, Any]:
    """Anthropic's error object, whose type follows from the status.

    >>> anthropic_error("Later.", 429)
    {'type': 'error', 'error': {'type': 'rate_limit_error', 'message': 'Later.'}}
    """
    usual = "invalid_request_error" if status < 500 else "api_error"
    return {"type": "error", "error": {"type": _ANTHROPIC_TYPES.get(status, usual), "message": message}}


def response_error(message: str, *, code: str | None = None, param: str | None = None) -> dict[str, Any]:
    """The event that ends a streamed response. Clients look for the error at its top or, as elsewhere, in `error`."""
    error = openai_error(message, type="upstream_error", code=code, param=param)
    return {"type": "error", "sequence_number": 0, "message": message, "code": code, "param": param, **error}


def openai_body(error: RequestError) -> bytes:
    """An error of the gateway's as OpenAI has it."""
    return orjson.dumps(openai_error(error.message, type=error.type, code=error.code, param=error.param))


def openai_event(error: RequestError) -> bytes:
    """The same as the last event of a stream; no [DONE] follows."""
    return b"data: " + openai_body(error) + b"\n\n"


def anthropic_body(error: RequestError) -> bytes:
    """An error of the gateway's as Anthropic has it."""
    return orjson.dumps(anthropic_error(error.message, error.status))


def error_object(content: bytes) -> dict[str, Any] | None:
    """A provider's error body if it is an error object, of whichever protocol; otherwise None."""
    try:
        parsed = orjson.loads(content)
    except orjson.JSONDecodeError:
        return None
    return parsed if isinstance(parsed, dict) and "error" in parsed else None
