"""Similarity-weighted ranking: Bradley–Terry ratings fitted anew for each query (paper, section 4.2).

Battles about queries like the one at hand count more. The paper solves a logistic regression over all battles at each
request. It depends on them only through the weighted wins of each tier of models over each other tier, so that here a
request costs the cosines, one sum for each pair of tiers, and a Newton solve with as many unknowns as there are tiers.
The win rates are the regression's own, not an approximation.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Self, get_args

import numpy as np

from turnout.data.battles import Battles
from turnout.data.tiers import Tiers
from turnout.errors import DataError, InvalidValueError, UnknownNameError
from turnout.ranking import fit_ratings
from turnout.routers.base import Router, check_fitted, check_trainable
from turnout.routers.learning.similarity_weights import Similarity, battle_weights, cosines, highest_among_others
from turnout.types import Encoder, FloatArray, IntArray, ModelPair, VectorArray, check_queries

MAX_GAMMA = 1e6

_QUERIES_AT_ONCE = 64  # bounds memory: 64 rows of cosines


class SimilarityRanking(Router):
    """Win rate from the ratings that similar past queries give to the two models' tiers.

    Knows models: any two models of the battles are scored, each by its tier. Two models of one tier are equals to it:
    their win rate is 0.5 whatever the query.

    Args:
        encoder: turns queries into vectors.
        similarity: the form of the weights, see `turnout.routers.learning.similarity_weights.Similarity`.
        gamma: a battle whose S is higher by 1 counts this many times as much; 1 turns the weights off. The paper's
            code has 10.
        n_tiers: into how many tiers of similar strength the models are cut (the paper: 10); with fewer models each is
            a tier of its own, as it is with None. Battles of one pair, lifted ones say, are two classes.
    """

    name = "sw"

    models_: list[str]
    tiers_: list[list[str]]
    """The models of each tier, best first."""
    vectors_: VectorArray
    """One row for each distinct query, shape (n_queries, dim)."""
    highest_: VectorArray
    """Shape (n_queries,); only for the form `paper-without-itself`."""
    wins_: FloatArray
    """Wins of one tier over another on one query, battles' weights included, shape (n_wins,)."""
    wins_query_: IntArray
    """The row of that query, shape (n_wins,)."""
    wins_cell_: IntArray
    """Winner · n_tiers + loser, shape (n_wins,)."""

    def __init__(
        self,
        encoder: Encoder,
        *,
        similarity: Similarity = "released-code",
        gamma: float = 10.0,
        n_tiers: int | None = 10,
    ) -> None:
        self.encoder = encoder
        self.similarity: Similarity = similarity
        self.gamma = gamma
        self.n_tiers = n_tiers

    def fit(self, battles: Battles) -> Self:
        """Encode the queries, cut the models into tiers, and count who beat whom on which query.

        Raises:
            EmptyDataError: there is no battle.
            InvalidValueError: the pair is not settled, or a setting is out of its range.
            UnknownNameError: a model of the pair is in no battle, or the form of the weights is not known.
            DataError: no battle connects some of the models, or the pair is in one tier.
        """
        self._check_settings()
        pair = check_trainable(battles)
        models, a, b = battles.model_indices()
        for model in (pair.strong, pair.weak):
            if model not in models:
                raise UnknownNameError("model in these battles", model, models)
        tiers = self._cut(battles, pair)
        tier_of = np.array([_tier_of(tiers, model) for model in models])
        if tier_of[models.index(pair.strong)] == tier_of[models.index(pair.weak)]:
            raise DataError(
                f"'{pair.strong}' and '{pair.weak}' are in one of the {len(tiers)} tiers, so that every query's win "
                "rate would be 0.5. Use more tiers, or none: n_tiers=None."
            )
        texts = {text: row for row, text in enumerate(dict.fromkeys(battles.queries))}
        query = np.fromiter((texts[text] for text in battles.queries), dtype=np.int64, count=len(battles))
        self.wins_query_, self.wins_cell_, self.wins_ = wins_by_query(
            query, tier_of[a], tier_of[b], battles, len(tiers)
        )
        self.vectors_ = np.ascontiguousarray(self.encoder.encode(list(texts)), dtype=np.float32)
        if self.similarity == "paper-without-itself":
            self.highest_ = highest_among_others(self.vectors_)
        self.pair_, self.models_, self.tiers_ = pair, list(models), tiers
        return self

    def predict_win_rate(self, queries: Sequence[str], *, pair: ModelPair | None = None) -> FloatArray:
        """The strong model's tier's win rate over the weak one's, shape (n_queries,), in [0, 1].

        Args:
            queries: the texts.
            pair: any two models of `models_`; None means the pair that the router was trained for. 0.5 for two models
                of one tier.

        Raises:
            NotFittedError: called before `fit`.
            UnknownNameError: a model is not in `models_`.
        """
        check_fitted(self, "vectors_")
        check_queries(queries)
        pair = pair or self.pair_
        strong, weak = _tier_of(self.tiers_, pair.strong), _tier_of(self.tiers_, pair.weak)
        win_rates = np.full(len(queries), 0.5)
        if strong == weak or not len(queries):
            return win_rates
        vectors = self.encoder.encode(queries)
        for start in range(0, len(queries), _QUERIES_AT_ONCE):
            part = slice(start, start + _QUERIES_AT_ONCE)
            win_rates[part] = _win_rates(self._weighted_wins(vectors[part]), strong, weak)
        return win_rates

    def _check_settings(self) -> None:
        if self.similarity not in get_args(Similarity):
            raise UnknownNameError("similarity", self.similarity, get_args(Similarity))
        if not 1 <= self.gamma <= MAX_GAMMA:  # NaN fails too
            raise InvalidValueError(f"gamma must be from 1 to {MAX_GAMMA:,.0f}, got {self.gamma}.")
        if self.n_tiers is not None and self.n_tiers < 2:
            raise InvalidValueError(f"n_tiers must be at least 2, or None for no tiers, got {self.n_tiers}.")

    def _cut(self, battles: Battles, pair: ModelPair) -> list[list[str]]:
        models = battles.models
        if len(models) == 2:
            return [[pair.strong], [pair.weak]]
        n_tiers = len(models) if self.n_tiers is None else min(self.n_tiers, len(models))
        return [list(tier) for tier in Tiers.of(battles, n_tiers).models]

    def _weighted_wins(self, vectors: VectorArray) -> FloatArray:
        """Wins of row tier over column tier, weighted by each query's similarities, shape (n, n_tiers, n_tiers)."""
        n_tiers = len(self.tiers_)
        highest = self.highest_ if self.similarity == "paper-without-itself" else None
        summed = np.empty((len(vectors), n_tiers**2))
        for cosine, wins in zip(cosines(self.vectors_, vectors), summed, strict=True):
            weights = battle_weights(cosine, self.similarity, self.gamma, highest)
            wins[:] = np.bincount(self.wins_cell_, weights[self.wins_query_] * self.wins_, minlength=n_tiers**2)
        return summed.reshape(-1, n_tiers, n_tiers)


def wins_by_query(
    query: IntArray, tier_a: IntArray, tier_b: IntArray, battles: Battles, n_tiers: int
) -> tuple[IntArray, IntArray, FloatArray]:
    """(query, winner · n_tiers + loser, wins) of each tier's wins over another on one query, where there are any.

    Args:
        query: the row of each battle's query, shape (n_battles,).
        tier_a: the tier of each battle's first model, shape (n_battles,).
        tier_b: the tier of its second.
        battles: the battles.
        n_tiers: how many tiers there are.
    """
    between = tier_a != tier_b  # those within a tier say nothing about tiers
    query, a, b = query[between], tier_a[between], tier_b[between]
    won = battles.weight[between] * battles.share_a[between]
    lost = battles.weight[between] - won
    cells = np.concatenate([a * n_tiers + b, b * n_tiers + a])
    keys, place = np.unique(np.tile(query, 2) * n_tiers**2 + cells, return_inverse=True)
    summed = np.bincount(place, np.concatenate([won, lost])).astype(np.float64)
    counted = summed > 0
    rows, cell = np.divmod(keys[counted], n_tiers**2)
    return rows, cell, summed[counted]


def _win_rates(wins: FloatArray, strong: int, weak: int) -> FloatArray:
    """P(strong wins) under the ratings that fit each matrix of wins best, shape (n,)."""
    if wins.shape[-1] == 2:  # the closed form: the share of wins. A ridge of 1e-6 is not felt.
        share: FloatArray = wins[:, strong, weak] / (wins[:, strong, weak] + wins[:, weak, strong])
        return share
    ratings = fit_ratings(wins)
    return np.array([1 / (1 + math.exp(-difference)) for difference in ratings[:, strong] - ratings[:, weak]])


def _tier_of(tiers: Sequence[Sequence[str]], model: str) -> int:
    for number, members in enumerate(tiers):
        if model in members:
            return number
    raise UnknownNameError("model that this router knows", model, [name for tier in tiers for name in tier])
