"""POST /v1/chat/completions: read, choose, forward, record."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import orjson

from turnout.chat_client import UpstreamAnswer
from turnout.errors import UpstreamError, UpstreamProtocolError
from turnout.gateway.asgi import (
    JSON_TYPE,
    ClientLeft,
    ClientWatch,
    Departures,
    Header,
    Receive,
    Scope,
    Send,
    read_body,
    refuse_body,
    send_error,
    send_whole,
)
from turnout.gateway.chat_request import ChatRequest
from turnout.gateway.choosing import Choice, choose
from turnout.gateway.counters import Counters
from turnout.gateway.errors import RequestError, from_upstream, internal_error
from turnout.gateway.log import DecisionLog, LogRow
from turnout.gateway.routes import Routes
from turnout.gateway.streams import StreamReader, Usage, error_event, usage_of

CLIENT_LEFT = 499
"""The status that the log gives a request whose client did not wait for the answer."""

_PASSED_BACK = frozenset({"retry-after", "retry-after-ms", "x-request-id", "x-should-retry"})
_PASSED_BACK_PREFIXES = ("x-ratelimit-", "openai-", "anthropic-ratelimit-")
_STREAM_TYPE: Header = (b"content-type", b"text/event-stream; charset=utf-8")
_NO_CACHE: Header = (b"cache-control", b"no-cache")
_logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Account:
    """What becomes of one request, noted as it happens."""

    choice: Choice
    stream: bool
    arrived: float
    started: float
    status: int = 0
    error: str | None = None
    usage: Usage | None = None
    called: float | None = field(default=None, init=False)
    first_byte: float | None = field(default=None, init=False)
    answered: float | None = field(default=None, init=False)

    def row(self, query: str | None, query_sha256: str | None) -> LogRow:
        """The log's row."""
        choice, usage, decision = self.choice, self.usage, self.choice.decision
        return LogRow(
            id=choice.id,
            time=self.arrived,
            route=choice.asked_for,
            model=choice.model.name,
            side=decision.side if decision else None,
            win_rate=decision.win_rate if decision and decision.win_rate == decision.win_rate else None,
            threshold=decision.threshold if decision else None,
            reason=choice.reason,
            query=query,
            query_sha256=query_sha256,
            stream=self.stream,
            status=self.status,
            error=self.error,
            latency_s=time.perf_counter() - self.started,
            upstream_first_byte_s=_between(self.called, self.first_byte),
            upstream_latency_s=_between(self.called, self.answered),
            input_tokens=usage.input_tokens if usage else None,
            output_tokens=usage.output_tokens if usage else None,
            cost_usd=_cost_usd(choice.model.config.price, usage),
            cost_usd_if_strong=_cost_usd(choice.strong.config.price, usage) if choice.strong else None,
        )


class ChatEndpoint:
    """Answers chat completions requests for one configuration."""

    def __init__(
        self,
        routes: Routes,
        *,
        counters: Counters,
        log: DecisionLog | None,
        max_body_bytes: int,
        forward_headers: tuple[str, ...],
    ) -> None:
        self._routes = routes
        self._counters = counters
        self._log = log
        self._max_body_bytes = max_body_bytes
        self._departures = Departures()
        self._forward_headers = frozenset(name.encode() for name in forward_headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        arrived, started = time.time(), time.perf_counter()
        self._counters.requests += 1
        try:
            raw = await read_body(scope, receive, limit=self._max_body_bytes)
        except RequestError as error:
            self._counters.refused += 1
            await refuse_body(receive, send, error)
            return
        try:
            request = ChatRequest.parse(raw)
            target = self._routes.find(request.model)
        except RequestError as error:
            self._counters.refused += 1
            await send_error(send, error)
            return
        choice = await choose(target, asked_for=request.model, query=request.query(), counters=self._counters)
        account = Account(choice, request.stream, arrived, started)
        try:
            await self._answer(scope, receive, send, request, account)
        finally:
            self._record(account)

    async def _answer(self, scope: Scope, receive: Receive, send: Send, request: ChatRequest, account: Account) -> None:
        exchange = _Exchange(request, account, send)
        try:
            async with self._departures.watch(receive) as watch:
                try:
                    await exchange.forward(self._forwarded(scope), watch)
                except UpstreamError as error:
                    self._counters.upstream_failures += 1
                    _logger.warning("decision %s, model '%s': %s", account.choice.id, account.choice.model.name, error)
                    watch.end()
                    await exchange.fail(from_upstream(error, account.choice.model.name))
        except (ClientLeft, OSError):
            account.status, account.error = CLIENT_LEFT, "client_left"
            self._counters.clients_left += 1
            raise ClientLeft from None
        except Exception:
            _logger.exception("decision %s: the gateway failed", account.choice.id)
            await exchange.fail(internal_error())

    def _forwarded(self, scope: Scope) -> dict[str, str]:
        """The client's headers that its provider gets to see: none but those that the configuration names."""
        return {
            name.decode("latin-1"): value.decode("latin-1")
            for name, value in scope["headers"]
            if name in self._forward_headers
        }

    def _record(self, account: Account) -> None:
        decision = account.choice.decision
        if decision is not None:
            if decision.side == "strong":
                self._counters.strong += 1
            else:
                self._counters.weak += 1
        if self._log is not None:
            self._log.record(account.row(*self._log.kept_of(account.choice.query)))


class _Exchange:
    """One request on its way to the provider, and the answer on its way back."""

    def __init__(self, request: ChatRequest, account: Account, send: Send) -> None:
        self._request = request
        self._account = account
        self._send = send
        self._started = False
        self._ended = False

    async def forward(self, headers: Mapping[str, str], watch: ClientWatch) -> None:
        """Call the provider and pass its answer on, whole or as it comes."""
        account = self._account
        model = account.choice.model
        body = self._request.for_provider(model.config.upstream_model)
        account.called = time.perf_counter()
        try:
            async with model.client.open(body, headers=headers) as answer:
                account.first_byte = time.perf_counter()
                if answer.status != 200:
                    await self._pass_status(answer, watch)
                elif self._request.stream:
                    await self._pass_stream(answer, watch)
                else:
                    await self._pass_whole(answer, watch)
        finally:
            if account.answered is None:
                account.answered = time.perf_counter()

    async def fail(self, error: RequestError) -> None:
        """Tell the client: with a status, or once a stream has begun with its last event."""
        account = self._account
        account.error = account.error or error.code
        if self._ended:
            return
        self._ended = True
        if self._started:
            await self._send({"type": "http.response.body", "body": error_event(error)})
        else:
            account.status = error.status
            await send_error(self._send, error, account.choice.headers())

    async def _pass_whole(self, answer: UpstreamAnswer, watch: ClientWatch) -> None:
        content = await answer.read()
        self._account.answered = time.perf_counter()
        try:
            parsed = orjson.loads(content)
        except orjson.JSONDecodeError as error:
            raise UpstreamProtocolError(f"The provider's answer is not JSON: {error}.") from None
        if not isinstance(parsed, dict):
            raise UpstreamProtocolError("The provider's answer is not a JSON object.")
        self._account.usage = usage_of(parsed)
        watch.end()
        await self._send_whole(200, JSON_TYPE, answer, content)

    async def _pass_status(self, answer: UpstreamAnswer, watch: ClientWatch) -> None:
        """A provider's refusal, 429 with its Retry-After among them, with the status that it has."""
        if not 400 <= answer.status <= 599:
            raise UpstreamProtocolError(f"The provider answered with the HTTP status {answer.status}.")
        content = await answer.read()
        self._account.answered = time.perf_counter()
        self._account.error = f"upstream_status_{answer.status}"
        model = self._account.choice.model
        if not _is_error_object(content):
            content = RequestError(
                answer.status,
                f"The provider of '{model.name}' answered with the HTTP status {answer.status}.",
                type="upstream_error",
                code=f"upstream_status_{answer.status}",
            ).body()
        elif model.api_key:
            content = content.replace(model.api_key, b"***")
        watch.end()
        await self._send_whole(answer.status, JSON_TYPE, answer, content)

    async def _pass_stream(self, answer: UpstreamAnswer, watch: ClientWatch) -> None:
        account = self._account
        if not answer.headers.get("Content-Type", "").lower().startswith("text/event-stream"):
            raise UpstreamProtocolError("The provider was asked for a stream and answered with something else.")
        reader = StreamReader(
            wants_usage=self._request.wants_usage,
            max_event_bytes=account.choice.model.client.max_event_bytes,
        )
        try:
            async for chunk in answer.chunks():
                await self._pass_piece(reader.feed(chunk), reader, answer, watch)
                if reader.done or reader.failure:
                    break
            else:
                await self._pass_piece(reader.end(), reader, answer, watch)
        finally:
            account.usage = reader.usage
            if reader.provider_error:
                account.error = "provider_error_in_stream"
        if reader.failure:
            raise reader.failure
        account.answered = time.perf_counter()
        if not self._ended:
            watch.end()
            self._ended = True
            await self._start_stream(answer)
            await self._send({"type": "http.response.body", "body": b""})
        await answer.drain()

    async def _pass_piece(self, piece: bytes, reader: StreamReader, answer: UpstreamAnswer, watch: ClientWatch) -> None:
        if not piece:
            return
        await self._start_stream(answer)
        if reader.done:
            watch.end()
            self._ended = True
            self._account.answered = time.perf_counter()
        await self._send({"type": "http.response.body", "body": piece, "more_body": not reader.done})

    async def _start_stream(self, answer: UpstreamAnswer) -> None:
        if self._started:
            return
        self._started = True
        self._account.status = 200
        headers = [_STREAM_TYPE, _NO_CACHE, *_passed_back(answer.headers), *self._account.choice.headers()]
        await self._send({"type": "http.response.start", "status": 200, "headers": headers})

    async def _send_whole(self, status: int, content_type: Header, answer: UpstreamAnswer, content: bytes) -> None:
        self._ended = True
        self._account.status = status
        headers = [content_type, *_passed_back(answer.headers), *self._account.choice.headers()]
        await send_whole(self._send, status, headers, content)


def _passed_back(headers: Mapping[str, str]) -> list[Header]:
    """The provider's headers that a client may want: limits, retries and request ids."""
    return [
        (name.lower().encode("latin-1"), value.encode("latin-1", "replace"))
        for name, value in headers.items()
        if _is_passed_back(name)
    ]


@lru_cache(maxsize=1_000)
def _is_passed_back(name: str) -> bool:
    return name.lower() in _PASSED_BACK or name.lower().startswith(_PASSED_BACK_PREFIXES)


def _is_error_object(content: bytes) -> bool:
    try:
        parsed = orjson.loads(content)
    except orjson.JSONDecodeError:
        return False
    return isinstance(parsed, dict) and "error" in parsed


def _between(start: float | None, end: float | None) -> float | None:
    return None if start is None or end is None else end - start


def _cost_usd(price: Any, usage: Usage | None) -> float | None:
    return None if price is None or usage is None else price.cost_usd(usage.input_tokens, usage.output_tokens)
