"""Battles by distinct query: many votes on one query are one row, with their mean share and their summed weight."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from turnout.data.battles import Battles
from turnout.data.split import same_text
from turnout.types import BoolArray, FloatArray, IntArray


@dataclass(frozen=True, eq=False)
class DistinctQueries:
    """What n distinct queries teach about one pair, in the order in which they first occur."""

    texts: list[str]
    """Queries that differ only in case and white space are one; it is written as it first occurs."""
    shares: FloatArray
    """Shape (n,), in [0, 1]: the strong model's weighted mean share."""
    weights: FloatArray
    """Shape (n,), above 0: the summed weight of a query's battles, in units of the mean battle."""

    @classmethod
    def of(cls, battles: Battles) -> DistinctQueries:
        """The distinct queries of battles between the pair's two models.

        Raises:
            InvalidValueError: the pair is not settled, or other models are among the battles.
        """
        shares = battles.strong_share()
        texts, rows = distinct_texts(battles.queries)
        weight = battles.weight / battles.weight.mean()
        total: FloatArray = np.bincount(rows, weights=weight, minlength=len(texts)).astype(np.float64)
        won = np.bincount(rows, weights=weight * shares, minlength=len(texts))
        return cls(texts, np.clip(won / total, 0.0, 1.0), total)

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def mean_share(self) -> float:
        """The strong model's share over all battles, in [0, 1]: what is known of a query that is like no other."""
        return float(np.average(self.shares, weights=self.weights))


def distinct_texts(queries: Sequence[str]) -> tuple[list[str], IntArray]:
    """(the distinct queries as they first occur, each query's row in them); case and white space do not count.

    >>> texts, rows = distinct_texts(["Hi there", "bye", "hi  THERE"])
    >>> texts, rows.tolist()
    (['Hi there', 'bye'], [0, 1, 0])
    """
    texts: list[str] = []
    row_of: dict[str, int] = {}
    rows = np.empty(len(queries), dtype=np.int64)
    for number, query in enumerate(queries):
        rows[number] = row_of.setdefault(same_text(query), len(texts))
        if rows[number] == len(texts):
            texts.append(query)
    return texts, rows


def held_out_folds(n_queries: int, *, n_folds: int = 5, enough: int = 2_000, seed: int) -> list[BoolArray]:
    """Which distinct queries are held out at a time, each of shape (n_queries,), to choose a setting.

    A random fifth at a time, in turn until `enough` queries or all have been held out: a few hundred labels get a full
    cross-validation, large data one split. With fewer than two queries a fold there is none.
    """
    if n_queries < 2 * n_folds:
        return []
    fold = np.random.default_rng(seed).permutation(n_queries) % n_folds
    n_needed = min(n_folds, math.ceil(enough / (n_queries // n_folds)))
    return [fold == number for number in range(n_needed)]
