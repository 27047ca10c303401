"""Routers that learn nothing: what a learned router must beat."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Self

import numpy as np

from turnout.data.battles import Battles
from turnout.routers.base import Router, check_fitted, check_trainable
from turnout.types import FloatArray, check_queries

_HALF = 1_000.0  # characters: any number gives the same order


class _LearnsNothing(Router):
    def fit(self, battles: Battles) -> Self:
        """Remember the pair; there is nothing else to learn."""
        self.pair_ = check_trainable(battles)
        return self

    def _check(self, queries: Sequence[str]) -> None:
        check_fitted(self, "pair_")
        check_queries(queries)


class RandomRouter(_LearnsNothing):
    """A uniform win rate in [0, 1) that depends on nothing but the query's text and the seed."""

    name = "random"

    def __init__(self, *, seed: int = 0) -> None:
        self.seed = seed

    def predict_win_rate(self, queries: Sequence[str]) -> FloatArray:
        """A hash of each query as a number in [0, 1), so that equal queries are routed alike, shape (n_queries,)."""
        self._check(queries)
        key = str(self.seed).encode()
        digests = (hashlib.blake2b(q.encode("utf-8", "surrogatepass"), digest_size=8, key=key) for q in queries)
        numbers = [int.from_bytes(digest.digest(), "little") >> 11 for digest in digests]
        return np.array(numbers, dtype=np.float64) / 2**53


class AlwaysStrong(_LearnsNothing):
    """Win rate 1 for every query: all-strong routing at every threshold up to 1."""

    name = "always-strong"

    def predict_win_rate(self, queries: Sequence[str]) -> FloatArray:
        """Ones, shape (n_queries,)."""
        self._check(queries)
        return np.ones(len(queries))


class AlwaysWeak(_LearnsNothing):
    """Win rate 0 for every query: all-weak routing at every threshold above 0."""

    name = "always-weak"

    def predict_win_rate(self, queries: Sequence[str]) -> FloatArray:
        """Zeros, shape (n_queries,)."""
        self._check(queries)
        return np.zeros(len(queries))


class QueryLength(_LearnsNothing):
    """Longer queries sooner to the strong model, by their number of characters, whatever they ask.

    On some benchmarks that is more than a trained router reaches, on others it is worse than chance: a router is worth
    what it adds to it.
    """

    name = "length"

    def predict_win_rate(self, queries: Sequence[str]) -> FloatArray:
        """n / (n + 1,000) for n characters, shape (n_queries,), in [0, 1): an order, not an estimate."""
        self._check(queries)
        lengths = np.array([len(query) for query in queries], dtype=np.float64)
        return lengths / (lengths + _HALF)
