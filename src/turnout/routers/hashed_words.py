"""Words and pairs of words as sparse features: hashed, weighted by rarity (TF-IDF), bounded in number."""

from __future__ import annotations

import itertools
import math
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from turnout.encoders.base import tokens_of
from turnout.types import FloatArray, IntArray

MAX_TOKENS = 1_024

_MIN_QUERIES = 2  # what occurs in one query only cannot be told from noise


@dataclass(frozen=True, eq=False)
class HashedWords:
    """The commonest words and pairs of neighbouring words of some queries, known by their 32-bit hashes only."""

    hashes: npt.NDArray[np.int64]
    """Shape (n_words,), ascending."""
    rarity: FloatArray
    """Shape (n_words,), at least 1: 1 + log((1 + n_queries) / (1 + queries that hold the word))."""

    @classmethod
    def of(cls, queries: Sequence[str], *, most: int) -> HashedWords:
        """The `most` words or pairs that the most queries hold, at least two each."""
        holding: Counter[int] = Counter()
        for query in queries:
            holding.update(_counts(query).keys())
        common = sorted(holding.items(), key=lambda item: (-item[1], item[0]))[:most]
        kept = sorted((word, n) for word, n in common if n >= _MIN_QUERIES)
        rarity = [1 + math.log((1 + len(queries)) / (1 + n)) for _, n in kept]
        return cls(np.array([word for word, _ in kept], dtype=np.int64), np.array(rarity, dtype=np.float64))

    def __len__(self) -> int:
        return len(self.hashes)

    def features_of(self, query: str) -> tuple[IntArray, FloatArray]:
        """(columns, values): which known words the query holds, ascending; values of Euclidean length 1."""
        counts = _counts(query)
        words = np.fromiter(counts.keys(), dtype=np.int64, count=len(counts))
        times = np.fromiter(counts.values(), dtype=np.float64, count=len(counts))
        place = np.searchsorted(self.hashes, words)
        known = np.flatnonzero(self.hashes.take(place, mode="clip") == words) if len(self) else np.empty(0, np.int64)
        known = known[np.argsort(place[known])]
        columns = place[known]
        values = (1 + np.log(times[known])) * self.rarity[columns]
        length = math.sqrt((values * values).sum())
        return columns, values / length if length > 0 else values


def _counts(query: str) -> Counter[int]:
    """How often each word and each pair of neighbouring words occurs, by hash."""
    tokens = [token.encode(errors="surrogatepass") for token in tokens_of(query, max_tokens=MAX_TOKENS)]
    pairs = [first + b" " + second for first, second in itertools.pairwise(tokens)]
    return Counter(map(zlib.crc32, tokens + pairs))
