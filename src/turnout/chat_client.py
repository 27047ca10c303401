"""Calls to a provider that speaks OpenAI's protocols or Anthropic's: plain and streamed, bounded and retried.

`ChatClient.ask` and `ChatClient.stream` speak JSON and raise on anything but an answer; they are for the
judge and for collecting outcomes. `ChatClient.open` passes bytes and statuses on as they are; it is for
the gateway. All three map what can go wrong to the UpstreamError tree in turnout.errors.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Mapping
from types import TracebackType
from typing import Any, Literal, Self

import aiohttp
import orjson
from multidict import CIMultiDict
from yarl import URL

from turnout.call_limits import Retries, TimeLimits, parse_retry_after
from turnout.deadlines import Clock, Deadlines
from turnout.errors import (
    UpstreamError,
    UpstreamProtocolError,
    UpstreamStatusError,
    UpstreamTimeoutError,
    UpstreamUnreachableError,
)
from turnout.server_sent_events import EventSplitter, event_data

CHAT_PATH = "/chat/completions"
ANTHROPIC_VERSION = "2023-06-01"
"""The version of Anthropic's protocol that we speak; it has had no other since."""

_LARGE_BODY_BYTES = 1 << 20
_DRAIN_S = 1.0


class ConnectionPool:
    """Connections that several clients share. Opened on first use, inside a running event loop."""

    def __init__(self, *, max_connections: int = 1000) -> None:
        self.deadlines = Deadlines()
        self._max_connections = max_connections
        self._session: aiohttp.ClientSession | None = None

    def session(self) -> aiohttp.ClientSession:
        """The open session: no cookies are kept, no proxy or password file is read."""
        if self._session is None or self._session.closed:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self._max_connections, ttl_dns_cache=60),
                cookie_jar=aiohttp.DummyCookieJar(),
                skip_auto_headers=("User-Agent",),
            )
        return self._session

    async def aclose(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()
            self._session = None


class UpstreamAnswer:
    """An answer that has begun: its status and headers are here, its body may still be on the way."""

    def __init__(self, response: aiohttp.ClientResponse, clock: Clock, *, max_answer_bytes: int) -> None:
        self.status = response.status
        self.headers = response.headers
        self._response = response
        self._clock = clock
        self._max_answer_bytes = max_answer_bytes

    async def read(self) -> bytes:
        """The whole body, or an UpstreamProtocolError once it is larger than allowed."""
        parts: list[bytes] = []
        size = 0
        while chunk := await self._next_chunk():
            size += len(chunk)
            if size > self._max_answer_bytes:
                raise UpstreamProtocolError(
                    f"The provider's answer is larger than the {self._max_answer_bytes} bytes allowed."
                )
            parts.append(chunk)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body in the pieces in which it arrives, without waiting for more."""
        while chunk := await self._next_chunk():
            yield chunk

    async def _next_chunk(self) -> bytes:
        """Whatever has arrived, or else what arrives next; empty at the end."""
        self._clock.count("between_chunks_s")
        try:
            chunk = await self._response.content.readany()
        except (aiohttp.ClientError, ConnectionError) as error:
            raise UpstreamUnreachableError("The provider cut its answer off before the end.") from error
        self._clock.count_whole()
        return chunk

    async def drain(self) -> None:
        """Read the rest and forget it, for a moment at most, so that the connection can be used again."""
        if self._response.content.at_eof():
            return
        try:
            async with asyncio.timeout(_DRAIN_S):
                async for _ in self.chunks():
                    pass
        except (TimeoutError, UpstreamError):
            self._response.close()


class ChatClient:
    """A provider's address.

    `base_url` ends with `/v1`, as OpenAI's and Anthropic's do. The key is sent as the provider's protocol wants it (a
    bearer token, or x-api-key) and shown nowhere. Without a `pool` the client opens and closes its own. `ask` and
    `stream` speak chat completions; `open` speaks whatever it is given.
    """

    def __init__(
        self,
        base_url: str,
        *,
        api_key: str | None = None,
        protocol: Literal["openai", "anthropic"] = "openai",
        pool: ConnectionPool | None = None,
        limits: TimeLimits | None = None,
        retries: Retries | None = None,
        max_answer_bytes: int = 32 << 20,
        max_event_bytes: int = 4 << 20,
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self.limits = limits or TimeLimits()
        self.retries = retries or Retries()
        self.max_answer_bytes = max_answer_bytes
        self.max_event_bytes = max_event_bytes
        self._urls: dict[str, URL] = {}
        self._pool = pool or ConnectionPool()
        self._owns_pool = pool is None
        self._timeout = aiohttp.ClientTimeout(sock_connect=self.limits.connect_s)
        # An answer that arrives packed would have to be unpacked before it could be passed on.
        self._headers = CIMultiDict({"Content-Type": "application/json", "Accept-Encoding": "identity"})
        if protocol == "anthropic":
            self._headers["anthropic-version"] = ANTHROPIC_VERSION
            self._foreign = "openai-"
        else:
            self._foreign = "anthropic-"
        if api_key:
            name, value = ("x-api-key", api_key) if protocol == "anthropic" else ("Authorization", f"Bearer {api_key}")
            self._headers[name] = value

    def __repr__(self) -> str:
        return f"ChatClient({self.base_url!r})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections, if they are this client's own."""
        if self._owns_pool:
            await self._pool.aclose()

    async def ask(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """The provider's whole answer to a chat completions body.

        Raises UpstreamStatusError for any status but 200, and the other UpstreamErrors as they befall.
        """
        async with self.open(orjson.dumps(dict(body))) as answer:
            content = await answer.read()
            if answer.status != 200:
                raise _status_error(answer, content)
        return answer_object(content)

    async def stream(self, body: Mapping[str, Any]) -> AsyncIterator[dict[str, Any]]:
        """The chunks of a streamed answer, as they arrive. Ends at the provider's [DONE].

        A stream that ends without it is an UpstreamUnreachableError; an error event is an
        UpstreamProtocolError.
        """
        async with self.open(orjson.dumps({**body, "stream": True})) as answer:
            if answer.status != 200:
                raise _status_error(answer, await answer.read())
            events = EventSplitter(self.max_event_bytes)
            async for piece in answer.chunks():
                for event in events.feed(piece):
                    data = event_data(event)
                    if data == b"[DONE]":
                        await answer.drain()
                        return
                    if data:
                        chunk = answer_object(data)
                        if "error" in chunk:
                            raise UpstreamProtocolError("The provider reported an error in mid-stream.")
                        yield chunk
        raise UpstreamUnreachableError("The provider ended the stream before it was complete.")

    def open(
        self,
        body: bytes,
        *,
        path: str = CHAT_PATH,
        headers: Mapping[str, str] | None = None,
        within_s: float | None = None,
    ) -> _Call:
        """Send a body as it is: `async with client.open(body) as answer`, once it has begun, whatever its status.

        `path` is the endpoint below the base_url. Of `headers` (names in lower case) those that belong to the other
        protocol stay behind. `within_s` is what a caller that has tried before has left of `whole_s`.

        Retries happen in here, before there is an answer. Time spent in the block counts towards `whole_s`; leaving
        the block early closes the connection, which tells the provider to stop.
        """
        merged = self._headers
        if headers:
            merged = CIMultiDict((name, value) for name, value in headers.items() if not name.startswith(self._foreign))
            merged.update(self._headers)
        return _Call(self, self._url(path), body, merged, within_s)

    def _url(self, path: str) -> URL:
        """The endpoint's address, parsed once."""
        url = self._urls.get(path)
        if url is None:
            url = self._urls[path] = URL(self.base_url + path)
        return url

    async def post_once(self, url: URL, body: bytes, headers: CIMultiDict[str]) -> aiohttp.ClientResponse:
        """One try, with aiohttp's errors as ours. For `open`."""
        try:
            return await self._pool.session().post(
                url,
                # aiohttp warns that a large bytes body goes out in one piece; a file goes out in many.
                data=body if len(body) < _LARGE_BODY_BYTES else io.BytesIO(body),
                headers=headers,
                allow_redirects=False,
                timeout=self._timeout,
            )
        except aiohttp.ConnectionTimeoutError:
            raise UpstreamTimeoutError(
                f"The provider was too slow: the time limit connect_s = {self.limits.connect_s:g} ran out.",
                limit="connect_s",
            ) from None
        except aiohttp.ClientResponseError as error:
            raise UpstreamProtocolError("The provider did not answer in HTTP.") from error
        except (aiohttp.ClientError, OSError) as error:
            raise UpstreamUnreachableError(
                f"The provider at {self.base_url} refused or broke the connection."
            ) from error

    @property
    def deadlines(self) -> Deadlines:
        """The clocks of the calls under way. For `open`."""
        return self._pool.deadlines


class _Call:
    """One call from its first try to the end of its answer."""

    def __init__(
        self, client: ChatClient, url: URL, body: bytes, headers: CIMultiDict[str], within_s: float | None
    ) -> None:
        self._client = client
        self._within_s = within_s
        self._url = url
        self._body = body
        self._headers = headers
        self._response: aiohttp.ClientResponse | None = None

    async def __aenter__(self) -> UpstreamAnswer:
        client = self._client
        self._clock = clock = Clock(client.limits, client.deadlines, self._within_s)
        client.deadlines.watch(clock)
        try:
            self._response = await self._first_answer(clock)
        except BaseException as error:
            self._leave(error)
            raise
        return UpstreamAnswer(self._response, clock, max_answer_bytes=client.max_answer_bytes)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._response is not None:
            self._response.release()
        self._leave(error)

    def _leave(self, error: BaseException | None) -> None:
        """Stop the clock; if it was what broke the call off, say so instead of being cancelled."""
        self._client.deadlines.forget(self._clock)
        if self._clock.ran_out and self._clock.task is not None:
            self._clock.task.uncancel()
            if isinstance(error, asyncio.CancelledError):
                raise self._clock.error() from None

    async def _first_answer(self, clock: Clock) -> aiohttp.ClientResponse:
        """The first answer that is not to be retried."""
        retries = self._client.retries
        retry = 0
        while True:
            clock.count("first_byte_s")
            try:
                response = await self._client.post_once(self._url, self._body, self._headers)
            except UpstreamUnreachableError:
                wait_s = retries.wait_s(retry, None)
                if wait_s is None or wait_s >= clock.left_s():
                    raise
            else:
                if response.status not in retries.statuses:
                    return response
                wait_s = retries.wait_s(retry, parse_retry_after(response.headers.get("Retry-After")))
                if wait_s is None or wait_s >= clock.left_s():
                    return response
                response.release()
            clock.count_whole()
            await asyncio.sleep(wait_s)
            retry += 1


def answer_object(content: bytes) -> dict[str, Any]:
    """A provider's answer, or a chunk of it, parsed.

    Raises:
        UpstreamProtocolError: it is not JSON, or no object.
    """
    try:
        value = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise UpstreamProtocolError(f"The provider's answer is not JSON: {error}.") from error
    if not isinstance(value, dict):
        raise UpstreamProtocolError(f"The provider's answer must be a JSON object, got {type(value).__name__}.")
    return value


def _status_error(answer: UpstreamAnswer, content: bytes) -> UpstreamStatusError:
    return UpstreamStatusError(
        answer.status, content, retry_after_s=parse_retry_after(answer.headers.get("Retry-After"))
    )
