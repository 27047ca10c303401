"""Vectors by feature hashing: no weights, no training, the same on every machine."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np

from turnout.encoders.base import check_texts, tokens_of, unit_rows
from turnout.errors import InvalidValueError
from turnout.types import VectorArray

_VERSION = 1
_CACHED_WORDS = 50_000


class HashingEncoder:
    """Signed counts of words and of their letter trigrams, in `dim` buckets.

    It knows spelling, not meaning: for tests, and as a baseline without learned weights. Of a text longer
    than `max_tokens` both ends are read.

    >>> HashingEncoder(dim=64).encode(["Which number is prime?", ""]).shape
    (2, 64)
    """

    name = "hashing"

    def __init__(self, *, dim: int = 256, seed: int = 0, max_tokens: int = 1024) -> None:
        if dim < 1:
            raise InvalidValueError(f"dim must be at least 1, got {dim}.")
        if max_tokens < 2:
            raise InvalidValueError(f"max_tokens must be at least 2, got {max_tokens}.")
        self.dim = dim
        self.seed = seed
        self.max_tokens = max_tokens
        self._features: dict[str, tuple[list[int], list[float]]] = {}

    @property
    def identity(self) -> str:
        """Name, version and every setting that changes the vectors."""
        return f"hashing/{_VERSION}:dim={self.dim},seed={self.seed},max_tokens={self.max_tokens}"

    def encode(self, texts: Sequence[str]) -> VectorArray:
        """Vectors of length 1 (zeros for a text without a word or sign), shape (n_texts, dim), float32."""
        check_texts(texts)
        vectors = np.zeros((len(texts), self.dim), dtype=np.float32)
        for row, text in enumerate(texts):
            buckets: list[int] = []
            values: list[float] = []
            for token in tokens_of(text, max_tokens=self.max_tokens):
                token_buckets, token_values = self._features_of(token)
                buckets += token_buckets
                values += token_values
            if buckets:
                vectors[row] = np.bincount(buckets, weights=values, minlength=self.dim)
        return unit_rows(vectors)

    def _features_of(self, token: str) -> tuple[list[int], list[float]]:
        """The buckets that a token falls into and what it adds to each."""
        known = self._features.get(token)
        if known is not None:
            return known
        marked = f"<{token}>"
        trigrams = [marked[start : start + 3] for start in range(len(marked) - 2)]
        buckets, values = [], []
        for feature, value in [(f"word:{token}", 1.0)] + [(t, len(trigrams) ** -0.5) for t in trigrams]:
            hashed = zlib.crc32(feature.encode(errors="surrogatepass"), self.seed & 0xFFFFFFFF)
            buckets.append((hashed >> 1) % self.dim)
            values.append(value if hashed & 1 else -value)
        if len(self._features) < _CACHED_WORDS:
            self._features[token] = (buckets, values)
        return buckets, values
