"""Vectors from any server that speaks OpenAI's /embeddings."""

from __future__ import annotations

import http.client
import os
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson

from turnout.encoders.base import check_texts, unit_rows
from turnout.errors import (
    ConfigError,
    InvalidValueError,
    UpstreamError,
    UpstreamProtocolError,
    UpstreamStatusError,
    UpstreamTimeoutError,
    UpstreamUnreachableError,
)
from turnout.types import VectorArray

_VERSION = 1
_WORTH_RETRYING = frozenset({408, 409, 425, 429, 500, 502, 503, 504})
_FIRST_WAIT_S = 0.5
_LONGEST_WAIT_S = 60.0


class OpenAIEncoder:
    """Vectors from an OpenAI-compatible embeddings endpoint: OpenAI itself, vLLM, Ollama, a gateway.

    Each `encode` asks the network, in batches of `batch_size`; wrap it in `CachedEncoder` so that nothing is
    paid for twice. The key is read from the environment variable `api_key_env` at each call and stored nowhere;
    None is for servers that need none. Texts longer than `max_chars` keep both ends. With `send_dim` the
    server is asked to shorten its vectors to `dim` (OpenAI's text-embedding-3 models can).
    """

    name = "openai"

    def __init__(
        self,
        model: str = "text-embedding-3-small",
        *,
        dim: int = 1536,
        base_url: str = "https://api.openai.com/v1",
        api_key_env: str | None = "OPENAI_API_KEY",
        send_dim: bool = False,
        batch_size: int = 128,
        max_chars: int = 16_000,
        timeout_s: float = 30.0,
        retries: int = 3,
    ) -> None:
        for setting, value, least in (
            ("dim", dim, 1), ("batch_size", batch_size, 1), ("max_chars", max_chars, 2), ("retries", retries, 0)
        ):  # fmt: skip
            if value < least:
                raise InvalidValueError(f"{setting} must be at least {least}, got {value}.")
        if timeout_s <= 0:
            raise InvalidValueError(f"timeout_s must be above 0, got {timeout_s}.")
        if not base_url.startswith(("http://", "https://")):
            raise InvalidValueError(f"base_url must begin with http:// or https://, got '{base_url}'.")
        self.model = model
        self.dim = dim
        self.base_url = base_url
        self.api_key_env = api_key_env
        self.send_dim = send_dim
        self.batch_size = batch_size
        self.max_chars = max_chars
        self.timeout_s = timeout_s
        self.retries = retries

    @property
    def identity(self) -> str:
        """Name, version, server, model and every setting that changes the vectors."""
        server = self.base_url.rstrip("/")
        return f"openai/{_VERSION}:{server},model={self.model},dim={self.dim},max_chars={self.max_chars}"

    def encode(self, texts: Sequence[str]) -> VectorArray:
        """Vectors of length 1 (zeros for a blank text, never sent), shape (n_texts, dim), float32.

        Raises:
            ConfigError: the environment variable of the key is not set.
            UpstreamError: the server could not be reached, was too slow, refused, or sent something else.
        """
        check_texts(texts)
        vectors = np.zeros((len(texts), self.dim), dtype=np.float32)
        asked = [row for row, text in enumerate(texts) if text.strip()]
        for start in range(0, len(asked), self.batch_size):
            rows = asked[start : start + self.batch_size]
            vectors[rows] = self._ask([self._shorten(texts[row]) for row in rows])
        return unit_rows(vectors)

    def _shorten(self, text: str) -> str:
        half = self.max_chars // 2
        return text if len(text) <= self.max_chars else text[:half] + text[-half:]

    def _ask(self, texts: list[str]) -> VectorArray:
        body: dict[str, Any] = {"model": self.model, "input": texts, "encoding_format": "float"}
        if self.send_dim:
            body["dimensions"] = self.dim
        content = orjson.dumps(body)
        for attempt in range(self.retries + 1):
            try:
                return self._read(self._post(content), len(texts))
            except UpstreamStatusError as error:
                if error.status not in _WORTH_RETRYING or attempt == self.retries:
                    raise
                wait_s = error.retry_after_s
            except (UpstreamUnreachableError, UpstreamTimeoutError):
                if attempt == self.retries:
                    raise
                wait_s = None
            time.sleep(min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2**attempt if wait_s is None else wait_s))
        raise AssertionError("the loop returns or raises")

    def _post(self, content: bytes) -> bytes:
        """The body of the answer, which had status 200."""
        url = f"{self.base_url.rstrip('/')}/embeddings"
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if self.api_key_env is not None:
            headers["Authorization"] = f"Bearer {self._api_key(self.api_key_env)}"
        request = urllib.request.Request(url, data=content, headers=headers, method="POST")
        try:
            with _OPENER.open(request, timeout=self.timeout_s) as answer:
                return bytes(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                raise UpstreamStatusError(
                    error.code, error.read(), retry_after_s=_seconds(error.headers.get("Retry-After"))
                ) from error
        except (OSError, http.client.HTTPException) as error:
            raise self._failure(url, error) from error

    def _failure(self, url: str, error: Exception) -> UpstreamError:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        if isinstance(reason, TimeoutError):
            return UpstreamTimeoutError(f"{url} did not answer within timeout_s = {self.timeout_s} seconds.")
        return UpstreamUnreachableError(f"{url} could not be reached, or broke off: {reason}.")

    @staticmethod
    def _api_key(variable: str) -> str:
        key = os.environ.get(variable, "")
        if not key:
            raise ConfigError(
                f"The environment variable {variable} is not set; it holds the key of the embeddings server. "
                "For a server that needs none, set api_key_env to None."
            )
        return key

    def _read(self, content: bytes, n_texts: int) -> VectorArray:
        try:
            items = sorted(orjson.loads(content)["data"], key=lambda item: item["index"])
            vectors = [np.array(item["embedding"], dtype=np.float32) for item in items]
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
            raise UpstreamProtocolError(
                f"The embeddings server sent something else than vectors: {content[:200]!r}."
            ) from error
        if len(vectors) != n_texts:
            raise UpstreamProtocolError(f"Asked for {n_texts} vectors, the server sent {len(vectors)}.")
        if [item["index"] for item in items] != list(range(n_texts)):
            raise UpstreamProtocolError(f"The server's vectors are not numbered from 0 to {n_texts - 1}.")
        for vector in vectors:
            if vector.shape != (self.dim,):
                raise UpstreamProtocolError(
                    f"The model '{self.model}' gives vectors of {vector.size} numbers, but dim is {self.dim}. "
                    f"Write dim={vector.size}, or send_dim=True if the server can shorten them."
                )
            if not np.isfinite(vector).all():
                raise UpstreamProtocolError(f"The model '{self.model}' gave a vector with NaN or infinity.")
        return np.stack(vectors)


class _RefuseRedirects(urllib.request.HTTPRedirectHandler):
    """A redirect could carry the key to another host: it is an error instead."""

    def redirect_request(self, *_: Any) -> None:
        return None


_OPENER = urllib.request.build_opener(_RefuseRedirects)


def _seconds(value: str | None) -> float | None:
    """The seconds of a Retry-After header; None for a missing one and for a date."""
    return float(value) if value is not None and value.isdigit() else None
