"""Clusters: queries fall into kinds, and for each kind it is known how often the strong model wins."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Self

import numpy as np

from turnout.data.battles import Battles
from turnout.data.distinct_queries import DistinctQueries
from turnout.encoders.base import unit_rows
from turnout.routers.base import Router, check_fitted, check_trainable
from turnout.routers.learning.exact_cosines import whole_numbers
from turnout.routers.learning.setting_checks import check_at_least_0, check_whole
from turnout.types import Encoder, FloatArray, IntArray, VectorArray, check_queries

CLUSTER_CHOICES = (4, 8, 16, 32, 64, 128)
SHRINKAGE_CHOICES = (1.0, 3.0, 10.0, 30.0, 100.0)

_FEWEST_A_CLUSTER = 5  # queries, on average
_ROUNDS = 30
_CENTRES_FROM = 10_000  # queries are enough to place a hundred centres, and keep 60,000 to seconds


class Cluster(Router):
    """Win rate as the strong model's share of wins among the training queries of the same cluster.

    Clusters are those of k-means on the encoder's vectors, by cosine. A cluster's share is shrunk towards the training
    mean as if `shrinkage` more battles had shown just that. It is small and quick, and it can be read: a table of
    clusters. All queries of a cluster tie.
    """

    name = "cluster"

    centres_: VectorArray
    """Shape (n_clusters, dim): whole numbers, see `exact_cosines`."""
    win_rates_: FloatArray
    """Shape (n_clusters,), in [0, 1]."""
    n_queries_: IntArray
    """Shape (n_clusters,): how many distinct training queries are in each."""
    mean_: float
    """The training mean, and the win rate of a query without a word."""
    shrinkage_: float

    def __init__(
        self,
        encoder: Encoder,
        *,
        n_clusters: int | None = None,
        shrinkage: float | None = None,
        n_starts: int = 3,
        seed: int = 0,
    ) -> None:
        """Store the settings.

        Args:
            encoder: turns queries into vectors.
            n_clusters: at least 1. None: chosen in `fit`.
            shrinkage: how many battles the training mean counts for in each cluster, at least 0. None: chosen in `fit`.
            n_starts: how many times k-means starts anew; the tightest clusters are kept.
            seed: of the starts.
        """
        self.encoder = encoder
        self.n_clusters = n_clusters
        self.shrinkage = shrinkage
        self.n_starts = n_starts
        self.seed = seed

    def fit(self, battles: Battles) -> Self:
        """Find clusters and their win rates from battles between the pair.

        Settings that are None are chosen by the squared error of a query's win rate when its own battles are left out
        of its cluster.

        Raises:
            EmptyDataError: there is no battle.
            InvalidValueError: the pair is not settled, other models are among the battles, or a setting is out of its
                range.
        """
        pair = check_trainable(battles)
        self._check_settings()
        known = DistinctQueries.of(battles)
        vectors = whole_numbers(self.encoder.encode(known.texts))
        self.mean_ = known.mean_share
        least = math.inf
        for n_clusters, shrinkage, centres, members in self._candidates(vectors):
            error = _left_out_error(known, members, shrinkage, self.mean_)
            if error < least - 1e-12:  # of equals the fewest clusters
                least, self.centres_, self.shrinkage_ = error, centres, shrinkage
                votes = np.bincount(members, weights=known.weights, minlength=n_clusters)
                wins = np.bincount(members, weights=known.weights * known.shares, minlength=n_clusters)
                total = votes + shrinkage
                shrunk = (wins + shrinkage * self.mean_) / np.where(total > 0, total, 1.0)
                self.win_rates_ = np.clip(np.where(total > 0, shrunk, self.mean_), 0.0, 1.0)
                self.n_queries_ = np.bincount(members, minlength=n_clusters)
        self.pair_ = pair
        return self

    def predict_win_rate(self, queries: Sequence[str]) -> FloatArray:
        """The win rate of each query's cluster, shape (n_queries,), in [0, 1]."""
        check_fitted(self, "win_rates_", "pair_")
        check_queries(queries)
        vectors = whole_numbers(self.encoder.encode(queries))
        return np.where(vectors.any(axis=1), self.win_rates_[nearest_centre(vectors, self.centres_)], self.mean_)

    def clusters_of(self, queries: Sequence[str]) -> IntArray:
        """Which cluster each query is in, shape (n_queries,): for looking at what the clusters are about."""
        check_fitted(self, "win_rates_", "pair_")
        check_queries(queries)
        return nearest_centre(whole_numbers(self.encoder.encode(queries)), self.centres_)

    def _candidates(self, vectors: VectorArray) -> list[tuple[int, float, VectorArray, IntArray]]:
        """(n_clusters, shrinkage, centres, each query's cluster) to choose between."""
        most = max(len(vectors) // _FEWEST_A_CLUSTER, 1)
        counts = [n for n in CLUSTER_CHOICES if n <= most] or [most]
        if self.n_clusters is not None:
            counts = [min(self.n_clusters, len(vectors))]
        sample = vectors
        if len(vectors) > _CENTRES_FROM:
            sample = vectors[np.random.default_rng(self.seed).permutation(len(vectors))[:_CENTRES_FROM]]
        candidates = []
        for n_clusters in counts:
            centres = k_means(sample, min(n_clusters, len(sample)), n_starts=self.n_starts, seed=self.seed)
            members = nearest_centre(vectors, centres)
            candidates.append((len(centres), centres, members))
        shrinkages = SHRINKAGE_CHOICES if self.shrinkage is None else (self.shrinkage,)
        return [
            (n_clusters, shrinkage, centres, members)
            for (n_clusters, centres, members), shrinkage in itertools.product(candidates, shrinkages)
        ]

    def _check_settings(self) -> None:
        check_whole("n_clusters", self.n_clusters, least=1, chosen=True)
        check_at_least_0("shrinkage", self.shrinkage, chosen=True)
        check_whole("n_starts", self.n_starts, least=1)


def k_means(vectors: VectorArray, n_clusters: int, *, n_starts: int, seed: int) -> VectorArray:
    """Centres of the tightest clusters by cosine that some starts lead to, shape (n_clusters, dim).

    Args:
        vectors: whole numbers (see `exact_cosines`), shape (n, dim).
        n_clusters: from 1 to n.
        n_starts: at least 1.
        seed: equal seeds give equal centres.
    """
    random = np.random.default_rng(seed)
    best, tightest = vectors[:n_clusters], -math.inf
    for _ in range(n_starts):
        centres = _spread_out(vectors, n_clusters, random)
        members = nearest_centre(vectors, centres)
        for _ in range(_ROUNDS):
            centres = _middles(vectors, members, centres)
            before, members = members, nearest_centre(vectors, centres)
            if np.array_equal(members, before):
                break
        tightness = float(np.einsum("ij,ij->", vectors, centres[members], dtype=np.float64))
        if tightness > tightest:
            best, tightest = centres, tightness
    return best


def nearest_centre(vectors: VectorArray, centres: VectorArray) -> IntArray:
    """The centre with the greatest cosine to each vector, of equals the first, shape (n,)."""
    nearest: IntArray = np.argmax(vectors @ centres.T, axis=1).astype(np.int64)
    return nearest


def _spread_out(vectors: VectorArray, n_clusters: int, random: np.random.Generator) -> VectorArray:
    """Starting centres as in k-means++: each a random vector, likelier the farther from those already taken."""
    taken = [int(random.integers(len(vectors)))]
    longest = float((vectors[taken[0]] ** 2).sum()) or 1.0
    distance = np.full(len(vectors), np.inf)
    for _ in range(n_clusters - 1):
        cosine = (vectors @ vectors[taken[-1]]).astype(np.float64) / longest
        distance = np.minimum(distance, np.maximum(1 - cosine, 0.0))
        distance[taken] = 0.0
        chance = distance if distance.any() else np.ones(len(vectors))
        taken.append(int(random.choice(len(vectors), p=chance / chance.sum())))
    return vectors[taken]


def _middles(vectors: VectorArray, members: IntArray, centres: VectorArray) -> VectorArray:
    """The direction of each cluster's sum; a cluster without members stays where it was."""
    order = np.argsort(members, kind="stable")
    present, starts = np.unique(members[order], return_index=True)
    sums = np.add.reduceat(vectors[order], starts, axis=0)
    moved = centres.copy()
    moved[present] = whole_numbers(unit_rows(sums))
    return moved


def _left_out_error(known: DistinctQueries, members: IntArray, shrinkage: float, mean: float) -> float:
    """The weighted squared error of each query's win rate from the others of its cluster."""
    votes = np.bincount(members, weights=known.weights)[members] - known.weights
    wins = np.bincount(members, weights=known.weights * known.shares)[members] - known.weights * known.shares
    total = votes + shrinkage
    left_out = np.where(total > 1e-9, (wins + shrinkage * mean) / np.maximum(total, 1e-9), mean)
    return float((known.weights * (left_out - known.shares) ** 2).sum())
