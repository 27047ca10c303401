"""Prompt-conditional Bradley–Terry: every model has a rating that depends on the query."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Self

import numpy as np

from turnout import ranking
from turnout.data.battles import Battles
from turnout.data.distinct_queries import distinct_texts, held_out_folds
from turnout.routers.base import Router, check_fitted, check_known, check_trainable
from turnout.routers.learning.ridge import maximise_likelihood
from turnout.routers.learning.setting_checks import check_above_0
from turnout.routers.learning.sigmoid import sigmoid
from turnout.types import BoolArray, Encoder, FloatArray, IntArray, ModelPair, check_queries

STRENGTH_CHOICES = (3_000.0, 1_000.0, 300.0, 100.0, 30.0, 10.0, 3.0)

_RATING_RIDGE = 0.01  # keeps the rating of a model that won everything finite


class ConditionalBradleyTerry(Router):
    """Win rate of a pair as sigmoid(r_strong(q) − r_weak(q)), where a model's rating is linear in the query's vector.

        r_m(q) = rating_m + slope_m · v_q

    It learns from battles between any models: ratings and slopes together have the greatest likelihood, with ties and
    graded shares as soft labels. A ridge on the slopes pulls each model towards its rating over all queries, so that a
    model with few battles is rated as Bradley–Terry would, and scores any pair of models that it has seen.
    """

    name = "conditional-bt"

    models_: list[str]
    ratings_: FloatArray
    """Shape (n_models,), natural-log scale: at the mean training query; they sum to about 0."""
    slopes_: FloatArray
    """Shape (n_models, dim)."""
    middle_: FloatArray
    """Shape (dim,): the mean training query's vector."""
    strength_: float

    def __init__(self, encoder: Encoder, *, strength: float | None = None, seed: int = 0) -> None:
        """Store the settings.

        Args:
            encoder: turns queries into vectors.
            strength: of the ridge on the slopes, above 0. None: chosen in `fit`.
            seed: which queries are held out to choose it.
        """
        self.encoder = encoder
        self.strength = strength
        self.seed = seed

    def fit(self, battles: Battles) -> Self:
        """Learn ratings and slopes of all models; the pair is the one that is scored by default.

        If the strength is not given, it is chosen by the likelihood of battles on held-out queries: five folds of the
        distinct queries, in turn until 2,000 queries or all were held out.

        Raises:
            EmptyDataError: there is no battle.
            DataError: no battle, not even by way of others, connects some of the models.
            InvalidValueError: the pair is not settled, or the strength is not above 0.
            UnknownNameError: a model of the pair is in no battle.
        """
        pair = check_trainable(battles)
        check_above_0("strength", self.strength, chosen=True)
        models, a, b = battles.model_indices()
        check_known(pair, models, "model in these battles")
        weight = battles.weight / battles.weight.mean()
        ratings = ranking.rate(models, a, b, battles.share_a, weight, ridge=_RATING_RIDGE)
        texts, row = distinct_texts(battles.queries)
        vectors = self.encoder.encode(texts)
        self.middle_ = vectors[row].mean(axis=0, dtype=np.float64)
        task = _Task(vectors - self.middle_, row, a, b, battles.share_a, weight, ratings)
        self.strength_ = self._choose_strength(task) if self.strength is None else float(self.strength)
        self.ratings_, self.slopes_ = task.solve(self.strength_)
        self.models_ = list(models)
        self.pair_ = pair
        return self

    def predict_win_rate(self, queries: Sequence[str], *, pair: ModelPair | None = None) -> FloatArray:
        """The win rate of the pair, by default the training pair, shape (n_queries,), in [0, 1].

        Raises:
            UnknownNameError: the router has seen no battle of one of the models.
        """
        check_fitted(self, "slopes_", "pair_")
        check_queries(queries)
        asked = pair or self.pair_
        check_known(asked, self.models_, "model that this router knows")
        strong, weak = self.models_.index(asked.strong), self.models_.index(asked.weak)
        slope = self.slopes_[strong] - self.slopes_[weak]
        offset = self.ratings_[strong] - self.ratings_[weak] - float((self.middle_ * slope).sum())
        # einsum sums each row alike in a batch of one and in a batch of a thousand.
        vectors = self.encoder.encode(queries).astype(np.float64)
        win_rates: FloatArray = sigmoid(np.einsum("ij,j->i", vectors, slope) + offset)
        return win_rates

    def _choose_strength(self, task: _Task) -> float:
        losses = np.zeros(len(STRENGTH_CHOICES))
        for held_out in held_out_folds(len(task.vectors), seed=self.seed):
            losses += task.losses_on(held_out[task.row], STRENGTH_CHOICES)
        return STRENGTH_CHOICES[int(np.argmin(losses))]  # the greatest, if there were none


class _Task:
    """The likelihood of battles under ratings that are linear in the query's vector."""

    def __init__(
        self,
        vectors: FloatArray,
        row: IntArray,
        a: IntArray,
        b: IntArray,
        share_a: FloatArray,
        weight: FloatArray,
        ratings: FloatArray,
    ) -> None:
        self.vectors = vectors  # (n_queries, dim), of mean 0
        self.row, self.a, self.b = row, a, b  # (n_battles,)
        self.share_a, self.weight = share_a, weight
        self.ratings = ratings  # (n_models,): where the search begins
        self.n_models = len(ratings)

    def solve(self, strength: float, *, weight: FloatArray | None = None) -> tuple[FloatArray, FloatArray]:
        """(ratings, slopes) with the greatest likelihood."""
        theta = self._maximise(strength, self.weight if weight is None else weight, self._start())
        return self._unpacked(theta)

    def losses_on(self, held_out: BoolArray, strengths: Iterable[float]) -> FloatArray:
        """The summed loss of held-out battles for each strength, in nats; each search begins at the one before."""
        losses, theta = [], self._start()
        for strength in strengths:
            theta = self._maximise(strength, np.where(held_out, 0.0, self.weight), theta)
            logits = self._logits(theta)[held_out]
            loss = np.logaddexp(0, logits) - self.share_a[held_out] * logits
            losses.append(float((self.weight[held_out] * loss).sum()))
        return np.array(losses)

    def _start(self) -> FloatArray:
        return np.concatenate([self.ratings, np.zeros(self.n_models * self.vectors.shape[1])])

    def _maximise(self, strength: float, weight: FloatArray, start: FloatArray) -> FloatArray:
        penalty = np.full(len(start), strength)
        penalty[: self.n_models] = _RATING_RIDGE
        return maximise_likelihood(self._logits, self._gathered, self.share_a, weight, penalty=penalty, start=start)

    def _unpacked(self, theta: FloatArray) -> tuple[FloatArray, FloatArray]:
        return theta[: self.n_models], theta[self.n_models :].reshape(self.n_models, -1)

    def _logits(self, theta: FloatArray) -> FloatArray:
        ratings, slopes = self._unpacked(theta)
        scores = self.vectors @ slopes.T + ratings  # (n_queries, n_models)
        logits: FloatArray = scores[self.row, self.a] - scores[self.row, self.b]
        return logits

    def _gathered(self, rows: FloatArray) -> FloatArray:
        size = len(self.vectors) * self.n_models
        sums = np.bincount(self.row * self.n_models + self.a, weights=rows, minlength=size)
        sums -= np.bincount(self.row * self.n_models + self.b, weights=rows, minlength=size)
        by_model = sums.reshape(len(self.vectors), self.n_models)
        return np.concatenate([by_model.sum(axis=0), (by_model.T @ self.vectors).ravel()])
