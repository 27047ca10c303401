"""Three blocks of features of many queries, meaning, form and words, and linear functions of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from turnout.routers.features.form import form_of
from turnout.routers.features.words import N_BUCKETS, words_of
from turnout.types import Encoder, FloatArray, IntArray


@dataclass(frozen=True, eq=False)
class Features:
    """What is known of n queries: three blocks, each row a vector of length about 1."""

    meaning: FloatArray
    """Shape (n, dim): the encoder's vectors."""
    form: FloatArray
    """Shape (n, N_FORM)."""
    starts: IntArray
    """Shape (n + 1,): the words of query i are at starts[i] to starts[i + 1]."""
    buckets: IntArray
    values: FloatArray

    @classmethod
    def of(cls, queries: Sequence[str], encoder: Encoder) -> Features:
        """The features of n queries."""
        words = [words_of(query) for query in queries]
        empty = np.empty(0)
        return cls(
            meaning=encoder.encode(queries).astype(np.float64),
            form=np.array([form_of(query) for query in queries]),
            starts=np.cumsum([0, *(len(buckets) for buckets, _ in words)]),
            buckets=np.concatenate([empty.astype(np.int64), *(buckets for buckets, _ in words)]),
            values=np.concatenate([empty, *(values for _, values in words)]),
        )

    def __len__(self) -> int:
        return len(self.meaning)

    def take(self, rows: IntArray) -> Features:
        """The features of these queries."""
        spans = [np.arange(self.starts[row], self.starts[row + 1]) for row in rows]
        chosen = np.concatenate([np.empty(0, dtype=np.int64), *spans])
        starts = np.cumsum([0, *map(len, spans)])
        return Features(self.meaning[rows], self.form[rows], starts, self.buckets[chosen], self.values[chosen])

    def times(self, weights: LinearFunction) -> FloatArray:
        """The estimate of each query, shape (n,)."""
        rows = np.repeat(np.arange(len(self)), np.diff(self.starts))
        words = np.bincount(rows, weights=self.values * weights.words[self.buckets], minlength=len(self))
        total: FloatArray = weights.intercept + self.meaning @ weights.meaning + self.form @ weights.form + words
        return total

    def summed(self, amounts: FloatArray) -> LinearFunction:
        """The sum of the queries' features, each taken so many times; amounts has shape (n,)."""
        spread = np.repeat(amounts, np.diff(self.starts))
        words = np.bincount(self.buckets, weights=self.values * spread, minlength=N_BUCKETS)
        return LinearFunction(0.0, amounts @ self.meaning, amounts @ self.form, words.astype(np.float64))

    def products(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Each block's matrix of inner products between queries, shape (n, n)."""
        used, columns = np.unique(self.buckets, return_inverse=True)
        words = np.zeros((len(self), len(used)), dtype=np.float32)
        words[np.repeat(np.arange(len(self)), np.diff(self.starts)), columns] = self.values
        return self.meaning @ self.meaning.T, self.form @ self.form.T, (words @ words.T).astype(np.float64)


@dataclass(frozen=True, eq=False)
class LinearFunction:
    """A linear function of a query's features."""

    intercept: float
    meaning: FloatArray
    """Shape (dim,)."""
    form: FloatArray
    """Shape (N_FORM,)."""
    words: FloatArray
    """Shape (N_BUCKETS,)."""

    @classmethod
    def zero(cls, dim: int, n_form: int) -> LinearFunction:
        """Nothing known."""
        return cls(0.0, np.zeros(dim), np.zeros(n_form), np.zeros(N_BUCKETS))

    def plus(self, other: LinearFunction, times: float = 1.0) -> LinearFunction:
        """The sum of this function and some times another."""
        return LinearFunction(
            self.intercept + times * other.intercept,
            self.meaning + times * other.meaning,
            self.form + times * other.form,
            self.words + times * other.words,
        )

    def dot(self, other: LinearFunction) -> float:
        """The inner product of the weights, without the intercepts."""
        return float(self.meaning @ other.meaning + self.form @ other.form + self.words @ other.words)
