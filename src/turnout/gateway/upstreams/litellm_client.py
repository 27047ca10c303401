"""Any other provider, through the LiteLLM library (extra `litellm`), behind the same door as our own client.

LiteLLM takes everything as keyword arguments: the request's fields, but also the provider's address and key, callbacks
and more. So only fields on a list reach it; what a client sends can name no address. It also fetches images for
providers that want them inline, from whatever address it is given, so images and files must come as data.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import orjson

from turnout.call_limits import TimeLimits
from turnout.chat_client import CHAT_PATH
from turnout.errors import (
    MissingExtraError,
    UpstreamError,
    UpstreamProtocolError,
    UpstreamTimeoutError,
    UpstreamUnreachableError,
)

_CHAT_FIELDS = frozenset(
    {
        "frequency_penalty",
        "function_call",
        "functions",
        "logit_bias",
        "logprobs",
        "max_completion_tokens",
        "max_tokens",
        "messages",
        "model",
        "modalities",
        "n",
        "parallel_tool_calls",
        "presence_penalty",
        "reasoning_effort",
        "response_format",
        "seed",
        "stop",
        "stream",
        "stream_options",
        "temperature",
        "tool_choice",
        "tools",
        "top_logprobs",
        "top_p",
        "user",
    }
)
_EMBEDDING_FIELDS = frozenset({"dimensions", "encoding_format", "input", "model", "user"})
_DATA = "data:"


class LiteLLMAnswer:
    """A whole answer, or the pieces of a stream."""

    def __init__(self, status: int, whole: bytes = b"", pieces: AsyncIterator[bytes] | None = None) -> None:
        self.status = status
        self.headers: Mapping[str, str] = {"Content-Type": "text/event-stream" if pieces else "application/json"}
        self._whole = whole
        self._pieces = pieces

    async def read(self) -> bytes:
        """The whole body."""
        return self._whole

    async def chunks(self) -> AsyncIterator[bytes]:
        """The stream as server-sent events."""
        if self._pieces is not None:
            async for piece in self._pieces:
                yield piece

    async def drain(self) -> None:
        """There is no connection to keep."""


class LiteLLMClient:
    """Calls `litellm.acompletion` and `litellm.aembedding` for one model.

    Raises:
        MissingExtraError: the library is not installed.
    """

    def __init__(
        self, *, base_url: str = "", api_key: str | None = None, limits: TimeLimits, max_event_bytes: int
    ) -> None:
        self.max_event_bytes = max_event_bytes
        self._limits = limits
        self._library = _litellm()
        self._fixed: dict[str, Any] = {"num_retries": 0, "max_retries": 0, "timeout": limits.whole_s}
        if base_url:
            self._fixed["api_base"] = base_url
        if api_key:
            self._fixed["api_key"] = api_key

    @asynccontextmanager
    async def open(
        self,
        body: bytes,
        *,
        path: str = CHAT_PATH,
        headers: Mapping[str, str] | None = None,
        within_s: float | None = None,
    ) -> AsyncIterator[LiteLLMAnswer]:
        """One call. The client's headers stay behind: LiteLLM sets what each provider needs."""
        fields = orjson.loads(body)
        if (unusable := _unusable(fields, _CHAT_FIELDS if path == CHAT_PATH else _EMBEDDING_FIELDS)) is not None:
            yield LiteLLMAnswer(400, unusable)
            return
        call = self._library.acompletion if path == CHAT_PATH else self._library.aembedding
        async with _time_limit("whole_s", min(within_s or self._limits.whole_s, self._limits.whole_s)):
            answered, refusal = None, None
            try:
                async with _time_limit("first_byte_s", self._limits.first_byte_s):
                    answered = await call(**fields, **self._fixed)
            except UpstreamError:
                raise
            except Exception as error:
                refusal = _refusal(error)
            try:
                if refusal is not None:
                    yield refusal
                elif fields.get("stream") is True:
                    yield LiteLLMAnswer(200, pieces=self._events(answered))
                else:
                    yield LiteLLMAnswer(200, _json(answered))
            finally:
                if (close := getattr(answered, "aclose", None)) is not None:
                    await close()

    async def _events(self, chunks: Any) -> AsyncIterator[bytes]:
        following = aiter(chunks)
        while True:
            try:
                async with _time_limit("between_chunks_s", self._limits.between_chunks_s):
                    chunk = await anext(following)
            except StopAsyncIteration:
                yield b"data: [DONE]\n\n"
                return
            except UpstreamError:
                raise
            except Exception as error:
                raise UpstreamUnreachableError("The provider broke its stream off.") from error
            yield b"data: " + _json(chunk) + b"\n\n"


def _json(answered: Any) -> bytes:
    content: str = answered.model_dump_json()
    return content.encode()


def _litellm() -> Any:
    # Without this the library fetches its table of prices from the network when it is imported.
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    try:
        import litellm
    except ImportError:
        raise MissingExtraError("litellm", extra="litellm", purpose='A model with protocol = "litellm"') from None
    litellm.suppress_debug_info = True
    litellm.telemetry = False
    return litellm


@asynccontextmanager
async def _time_limit(name: str, seconds: float) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise UpstreamTimeoutError(f"The provider was too slow: the time limit {name} = {seconds:g} ran out.") from None


def _unusable(fields: Mapping[str, Any], known: frozenset[str]) -> bytes | None:
    """The refusal of the first field that must not reach the library, or None."""
    for field in fields:
        if field not in known:
            return _error(f"'{field}' cannot be given to a provider that is called through LiteLLM.", param=field)
    for position, message in enumerate(fields.get("messages", ())):
        content = message.get("content")
        for place, part in enumerate(content if isinstance(content, list) else ()):
            where = f"messages[{position}].content[{place}]"
            if not _is_data(part):
                return _error(f"'{where}' must hold its data itself (data:…;base64,…).", param=where)
    return None


def _is_data(part: Any) -> bool:
    """Whether nothing has to be fetched for a part of a message."""
    if not isinstance(part, dict) or part.get("type") == "text":
        return True
    if part.get("type") == "image_url":
        image = part.get("image_url")
        address = image.get("url") if isinstance(image, dict) else image
        return isinstance(address, str) and address.startswith(_DATA)
    if part.get("type") == "file":
        file = part.get("file")
        return isinstance(file, dict) and "file_id" not in file and str(file.get("file_data", "")).startswith(_DATA)
    return part.get("type") in ("input_audio", "refusal")


def _refusal(error: Exception) -> LiteLLMAnswer:
    """What a provider refused with, which LiteLLM raises, or an UpstreamError where it answered nothing."""
    status = getattr(error, "status_code", None)
    kind = type(error).__name__
    if kind in ("Timeout", "APITimeoutError"):
        raise UpstreamTimeoutError("The provider was too slow for LiteLLM.") from error
    if kind in ("APIConnectionError", "ServiceUnavailableError") or not isinstance(status, int):
        raise UpstreamUnreachableError("LiteLLM could not reach the provider.") from error
    if not 400 <= status <= 599:
        raise UpstreamProtocolError(f"The provider answered LiteLLM with the HTTP status {status}.") from error
    return LiteLLMAnswer(status, _error(str(getattr(error, "message", error)), code=f"upstream_status_{status}"))


def _error(message: str, *, param: str | None = None, code: str | None = None) -> bytes:
    error = {"message": message, "type": "invalid_request_error", "param": param, "code": code}
    return orjson.dumps({"error": error})
