"""Passes a provider's answer on to the client, whole or as it comes, through the bridge that carried the request."""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import lru_cache

from turnout.errors import UpstreamProtocolError
from turnout.gateway.asgi import JSON_TYPE, ClientWatch, Header, Send, send_whole
from turnout.gateway.choosing.stored_responses import item_ids, response_id
from turnout.gateway.errors import RequestError
from turnout.gateway.protocols.base import Bridge, StreamReader
from turnout.gateway.steps.account import Account
from turnout.gateway.upstreams.provider import ProviderAnswer

_PASSED_BACK = frozenset({"request-id", "retry-after", "retry-after-ms", "x-request-id", "x-should-retry"})
_PASSED_BACK_PREFIXES = ("x-ratelimit-", "openai-", "anthropic-ratelimit-")
_KEPT_BACK = frozenset({"openai-organization", "openai-project"})
"""Whose account pays is the operator's business."""
_STREAM_TYPE: Header = (b"content-type", b"text/event-stream; charset=utf-8")
_NO_CACHE: Header = (b"cache-control", b"no-cache")


class Passing:
    """The way of one answer to its client."""

    def __init__(self, account: Account, send: Send) -> None:
        self._account = account
        self._send = send
        self._started = False
        self._ended = False
        self._has_ids = account.request.protocol.follows_up

    async def answer(self, answer: ProviderAnswer, watch: ClientWatch) -> None:
        """Pass on an answer that has begun."""
        account = self._account
        account.first_byte = time.perf_counter()
        bridge = account.bridge
        assert bridge is not None
        try:
            if answer.status != 200:
                await self._refusal(answer, bridge, watch)
            elif account.request.stream:
                await self._stream(answer, bridge, watch)
            else:
                await self._whole(answer, bridge, watch)
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
        protocol = account.request.protocol
        if self._started:
            await self._send({"type": "http.response.body", "body": protocol.error_event(error)})
        else:
            account.status = error.status
            headers = (JSON_TYPE, *error.headers, *account.headers())
            await send_whole(self._send, error.status, headers, protocol.error_body(error))

    async def _whole(self, answer: ProviderAnswer, bridge: Bridge, watch: ClientWatch) -> None:
        account = self._account
        content = await answer.read()
        account.answered = time.perf_counter()
        content, account.usage = bridge.whole(content, account.request)
        if self._has_ids:
            account.response_id = response_id(content)
        if self._wants_items():
            account.item_ids = item_ids(content)
        watch.end()
        await self._send_whole(200, answer, content)

    async def _refusal(self, answer: ProviderAnswer, bridge: Bridge, watch: ClientWatch) -> None:
        """A provider's refusal, 429 with its Retry-After among them, with the status that it has."""
        account = self._account
        if not 400 <= answer.status <= 599:
            raise UpstreamProtocolError(f"The provider answered with the HTTP status {answer.status}.")
        content = bridge.refusal(await answer.read(), answer.status)
        account.answered = time.perf_counter()
        account.error = f"upstream_status_{answer.status}"
        model = account.model
        if content is None:
            content = account.request.protocol.error_body(
                RequestError(
                    answer.status,
                    f"The provider of '{model.name}' answered with the HTTP status {answer.status}.",
                    type="upstream_error",
                    code=account.error,
                )
            )
        else:
            for key in model.api_keys:
                content = content.replace(key, b"***")
        watch.end()
        await self._send_whole(answer.status, answer, content)

    async def _stream(self, answer: ProviderAnswer, bridge: Bridge, watch: ClientWatch) -> None:
        account = self._account
        if not answer.headers.get("Content-Type", "").lower().startswith("text/event-stream"):
            raise UpstreamProtocolError("The provider was asked for a stream and answered with something else.")
        reader = bridge.reader(account.request, max_event_bytes=account.model.client.max_event_bytes)
        try:
            async for chunk in answer.chunks():
                await self._piece(reader.feed(chunk), reader, answer, watch)
                if reader.done or reader.failure:
                    break
            else:
                await self._piece(reader.end(), reader, answer, watch)
        finally:
            account.usage = reader.usage
            account.is_cut = not reader.whole
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

    async def _piece(self, piece: bytes, reader: StreamReader, answer: ProviderAnswer, watch: ClientWatch) -> None:
        if not piece:
            return
        await self._start_stream(answer)
        if reader.done:
            watch.end()
            self._ended = True
            self._account.answered = time.perf_counter()
        if self._has_ids and self._account.response_id is None:
            self._account.response_id = response_id(piece)
        if self._wants_items():
            self._account.item_ids |= item_ids(piece)
        await self._send({"type": "http.response.body", "body": piece, "more_body": not reader.done})

    def _wants_items(self) -> bool:
        """Whether the provider keeps what it answers, and only one of the clients may refer to it."""
        account = self._account
        return (
            self._has_ids
            and account.caller.key is not None
            and account.model.config.native_responses
            and account.request.body.get("store") is not False
        )

    async def _start_stream(self, answer: ProviderAnswer) -> None:
        if self._started:
            return
        self._started = True
        self._account.status = 200
        headers = [_STREAM_TYPE, _NO_CACHE, *_passed_back(answer.headers), *self._account.headers()]
        await self._send({"type": "http.response.start", "status": 200, "headers": headers})

    async def _send_whole(self, status: int, answer: ProviderAnswer, content: bytes) -> None:
        self._ended = True
        self._account.status = status
        headers = [JSON_TYPE, *_passed_back(answer.headers), *self._account.headers()]
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
    name = name.lower()
    return name in _PASSED_BACK or (name.startswith(_PASSED_BACK_PREFIXES) and name not in _KEPT_BACK)
