"""The two seams of a protocol: how a client speaks (ClientProtocol), and how that reaches a provider (Bridge).

Neither holds state: one object serves all requests. What a single answer needs stands in its StreamReader.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from typing import Any, Protocol

import orjson

from turnout.config import ModelConfig
from turnout.errors import UpstreamError
from turnout.gateway.errors import RequestError
from turnout.gateway.protocols.repeated import repeated_field
from turnout.gateway.protocols.usage import Usage

MOST = 1_000_000_000
"""A larger number of tokens or of answers counts as this one, so that sums of what they cost stay exact."""

LARGE_BYTES = 256 << 10
"""From this size on a body is read, and made for a provider, in a thread, so that others are served meanwhile. Smaller
ones are read in about a millisecond, and a thread that is waited for costs as much."""

_MOST_CHARACTERS = 40


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """A request for a model: the client's bytes, and the few fields that matter whatever its protocol."""

    protocol: ClientProtocol
    raw: bytes
    body: dict[str, Any]
    model: str
    stream: bool
    _made: dict[str, tuple[Bridge, bytes]] = dataclass_field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def made_for(self, model: ModelConfig) -> tuple[Bridge, bytes]:
        """What carries this to a model's provider, and the body there, made once however often it is asked for.

        Raises:
            RequestError: nothing carries it there, or it names the field which the provider cannot be given.
        """
        made = self._made.get(model.name)
        if made is None:
            bridge = self.protocol.bridge_to(model)
            made = self._made[model.name] = bridge, bridge.body(self, model)
        return made

    def forget_made(self) -> None:
        """Let go of the bodies: an answer has begun, or none will."""
        self._made.clear()

    def turns(self) -> Sequence[Mapping[str, Any]]:
        """The conversation as messages with a role and content, system prompt first; see `turnout.query.query_of`."""
        return self.protocol.turns(self.body)

    def max_output_tokens(self) -> int | None:
        """The most that the client lets the model write, if it says."""
        return self.protocol.max_output_tokens(self.body)


class StreamReader(Protocol):
    """Takes a provider's stream and gives the client's, and keeps the books on the way."""

    failure: UpstreamError | None
    """Why nothing more can be passed on."""

    @property
    def usage(self) -> Usage | None:
        """What the provider has counted so far."""
        ...

    @property
    def done(self) -> bool:
        """Whether the provider's last event has passed."""
        ...

    @property
    def whole(self) -> bool:
        """Whether the answer has come to its end, so that nothing more will be counted but what is counted by now."""
        ...

    @property
    def provider_error(self) -> bool:
        """Whether the provider itself reported an error in mid-stream; its report was passed on."""
        ...

    def feed(self, chunk: bytes) -> bytes:
        """What goes to the client now that this chunk has come."""
        ...

    def end(self) -> bytes:
        """What goes to the client now that the provider has closed; sets `failure` if it stopped too early."""
        ...


class Bridge(Protocol):
    """Carries requests of one client protocol to providers of one kind, and their answers back."""

    @property
    def path(self) -> str:
        """The provider's endpoint, below its base_url."""
        ...

    @property
    def translates(self) -> bool:
        """Whether the body is made anew, so that some field may not go over."""
        ...

    def body(self, request: ModelRequest, model: ModelConfig) -> bytes:
        """The body for the provider, or a RequestError that names the field which it cannot be given."""
        ...

    def whole(self, content: bytes, request: ModelRequest) -> tuple[bytes, Usage | None]:
        """The client's answer from the provider's, or an UpstreamProtocolError."""
        ...

    def refusal(self, content: bytes, status: int) -> bytes | None:
        """The client's error from a provider's, or None where the provider's body says nothing usable."""
        ...

    def reader(self, request: ModelRequest, *, max_event_bytes: int) -> StreamReader:
        """A reader for one streamed answer."""
        ...


class ClientProtocol(Protocol):
    """How clients of one endpoint ask, and what an error looks like to them."""

    name: str
    path: str
    """Where clients ask."""
    routed: bool
    """Whether a route may be asked for; otherwise models by their own names alone."""
    follows_up: bool
    """Whether a request may refer to earlier answers by their ids; in any other protocol such fields mean nothing."""

    def parse(self, raw: bytes) -> ModelRequest:
        """The request in a body, or a RequestError that names the field which cannot be used."""
        ...

    def turns(self, body: dict[str, Any]) -> Sequence[Mapping[str, Any]]:
        """The conversation of a parsed body; see `ModelRequest.turns`."""
        ...

    def max_output_tokens(self, body: dict[str, Any]) -> int | None:
        """See `ModelRequest.max_output_tokens`."""
        ...

    def error_body(self, error: RequestError) -> bytes:
        """An error as a whole answer."""
        ...

    def error_event(self, error: RequestError) -> bytes:
        """An error as the last event of a stream that had begun."""
        ...

    def bridge_to(self, model: ModelConfig) -> Bridge:
        """What carries such requests to this model's provider, or a RequestError where nothing does."""
        ...


def parse_object(raw: bytes) -> dict[str, Any]:
    """A body that must be a JSON object, in which no field that is read here stands twice."""
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise refused(f"The body is not valid JSON: {error}.", code="invalid_json") from None
    if not isinstance(body, dict):
        raise refused("The body must be a JSON object.", code="invalid_type")
    if (field := repeated_field(raw, body)) is not None:
        raise refused(
            f"'{field}' is given twice, and providers differ in which of the two they read. Give it once.",
            code="repeated_field",
            param=field,
        )
    return body


def conversation_request(protocol: ClientProtocol, raw: bytes) -> ModelRequest:
    """The request in a body that holds a conversation in its field `messages`."""
    body = parse_object(raw)
    model, stream = model_of(body), stream_of(body)
    messages_of(body)
    return ModelRequest(protocol, raw, body, model, stream)


def model_of(body: dict[str, Any]) -> str:
    """The field `model`."""
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise refused("'model' must be given: the name of a route or a model.", param="model")
    return model


def stream_of(body: dict[str, Any]) -> bool:
    """The field `stream`; absent or null is false."""
    stream = body.get("stream")
    if stream is not None and not isinstance(stream, bool):
        raise refused("'stream' must be true or false.", param="stream")
    return bool(stream)


def messages_of(body: dict[str, Any]) -> list[dict[str, Any]]:
    """The field `messages`: at least one object."""
    value = body.get("messages")
    if value is None:
        raise refused("'messages' is missing: a list with at least one message.", param="messages")
    if not isinstance(value, list) or not value:
        raise refused("'messages' must be a list with at least one message.", param="messages")
    for position, message in enumerate(value):
        if not isinstance(message, dict):
            raise refused(f"'messages[{position}]' must be an object.", param=f"messages[{position}]")
    return value


def whole_number(body: Mapping[str, Any], *fields: str) -> int | None:
    """The first of these fields that holds a whole number above 0."""
    for field in fields:
        value = body.get(field)
        if type(value) is int and value > 0:
            return value
    return None


def largest_whole_number(body: Mapping[str, Any], *fields: str) -> int | None:
    """The largest whole number above 0 that any of these fields holds, at most `MOST`; None if none does.

    Providers differ in which of several fields they heed, and many read a number that is written in another form.

    >>> largest_whole_number({"max_tokens": 500.0, "n": "20"}, "max_tokens", "n")
    500
    """
    found = max(_whole(body.get(field)) for field in fields)
    return min(found, MOST) if found > 0 else None


def _whole(value: Any) -> int:
    """A whole number however it is written; 0 for anything else."""
    if isinstance(value, str):
        digits = value[:_MOST_CHARACTERS].strip()
        return int(digits) if digits.isascii() and digits.isdigit() else 0
    if isinstance(value, float):
        return int(value) if value.is_integer() else 0
    return value if type(value) is int else 0


def dumped(value: Any) -> bytes:
    """A part of a request as JSON, or a RequestError if it is nested too deeply: less deeply than it could be read."""
    try:
        return orjson.dumps(value)
    except TypeError:
        raise refused("The body is nested too deeply to be handed on: 250 levels are the most.") from None


def refused(message: str, *, code: str | None = None, param: str | None = None) -> RequestError:
    """400: a field that cannot be used."""
    return RequestError(400, message, code=code, param=param)
