"""What a client is told when something goes wrong: never an inner address or a key. Its protocol gives it a shape."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable

from turnout.errors import (
    TurnoutError,
    UpstreamError,
    UpstreamProtocolError,
    UpstreamTimeoutError,
    UpstreamUnavailableError,
)


class RequestError(TurnoutError):
    """A request that the gateway answers with an error of its own."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        type: str = "invalid_request_error",
        code: str | None = None,
        param: str | None = None,
        headers: tuple[tuple[bytes, bytes], ...] = (),
    ) -> None:
        self.status = status
        self.message = message
        self.type = type
        self.code = code
        self.param = param
        self.headers = headers
        super().__init__(message)


def unknown_model(name: str, known: Iterable[str], *, param: str = "model") -> RequestError:
    """404, with the nearest name that is known."""
    names = sorted(known)
    nearest = difflib.get_close_matches(name[:200], names, n=1)
    hint = f" Did you mean '{nearest[0]}'?" if nearest else ""
    return RequestError(
        404,
        f"The model '{name[:200]}' does not exist here.{hint} Known: {', '.join(names)}.",
        code="model_not_found",
        param=param,
    )


def not_routed(name: str, endpoint: str, models: Iterable[str]) -> RequestError:
    """400: an endpoint where models go by their own names."""
    return RequestError(
        400,
        f"'{name[:200]}' is a route, and {endpoint} takes models by their own names: {', '.join(models)}.",
        code="not_routed",
        param="model",
    )


def body_too_large(limit: int) -> RequestError:
    """413, which also ends the connection: the rest of the body is not worth reading."""
    return RequestError(
        413,
        f"The request's body is larger than the {limit} bytes that this gateway takes (max_body_bytes).",
        code="request_too_large",
        headers=((b"connection", b"close"),),
    )


def from_upstream(error: UpstreamError, model: str) -> RequestError:
    """502, 503 or 504: what a provider's failure looks like to a client. The gateway's own log says more."""
    if isinstance(error, UpstreamTimeoutError):
        return RequestError(
            504,
            f"The provider of '{model}' took too long to answer.",
            type="upstream_error",
            code="upstream_timeout",
        )
    if isinstance(error, UpstreamProtocolError):
        return RequestError(
            502,
            f"The provider of '{model}' sent an answer that is not what the protocol says.",
            type="upstream_error",
            code="upstream_protocol_error",
        )
    if isinstance(error, UpstreamUnavailableError):
        return RequestError(
            503,
            f"The provider of '{model}' is failing or has its hands full, and was not called. Try again soon.",
            type="upstream_error",
            code="upstream_unavailable",
            headers=((b"retry-after", str(max(1, math.ceil(error.retry_after_s))).encode()),),
        )
    return RequestError(
        502,
        f"The provider of '{model}' could not be reached, or broke the connection off.",
        type="upstream_error",
        code="upstream_unreachable",
    )


def internal_error() -> RequestError:
    """500: a defect of ours. What happened stands in the gateway's log alone."""
    return RequestError(500, "The gateway failed to handle this request.", type="server_error", code="internal_error")


def stopping() -> RequestError:
    """503: the gateway was told to stop, and the time that it had for this request is over."""
    return RequestError(503, "The gateway is stopping. Try again.", type="server_error", code="gateway_stopping")
