"""The words of a query and its pairs of neighbouring words, as sparse vectors of length 1, known by hashes only.

`words_of` shares a fixed number of weights among all words: nothing is learned, so that weights learned on different
data can be added. `HashedWords` learns which words are common in some queries and how rare each is (TF-IDF).
"""

from __future__ import annotations

import functools
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

N_BUCKETS = 2**14
"""How many weights all words and pairs of words share in `words_of`."""

_PAIRING = 1_000_003  # a prime: "a b" and "b a" fall into different buckets
_MIN_QUERIES = 2  # what occurs in one query only cannot be told from noise


def words_of(text: str) -> tuple[IntArray, FloatArray]:
    """(buckets, values) of a text's words and pairs of words: a sparse vector of length 1 (or 0).

    What occurs n times counts 1 + log n. Of a text of more than 256 words and signs both ends are read.

    >>> buckets, values = words_of("to be or not to be")
    >>> len(buckets), float(np.round(values @ values, 6))
    (8, 1.0)
    """
    hashes = np.array(list(map(_hash, tokens_of(text, max_tokens=256))), dtype=np.int64)
    pairs = hashes[:-1] * _PAIRING + hashes[1:]
    buckets, counts = np.unique(np.concatenate([hashes, pairs]) % N_BUCKETS, return_counts=True)
    values: FloatArray = 1.0 + np.log(counts)
    return buckets, values / math.sqrt(max(float(values @ values), 1.0))


@functools.lru_cache(maxsize=50_000)
def _hash(token: str) -> int:
    return zlib.crc32(_bytes(token))


def _bytes(token: str) -> bytes:
    return token.encode("utf-8", "surrogatepass")


@dataclass(frozen=True, eq=False)
class HashedWords:
    """The commonest words and pairs of words of some queries."""

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
    """How often each word and pair of words occurs, by hash. Of more than 1,024 words and signs both ends are read."""
    tokens = list(map(_bytes, tokens_of(query, max_tokens=1_024)))
    pairs = [first + b" " + second for first, second in itertools.pairwise(tokens)]
    return Counter(map(zlib.crc32, tokens + pairs))
