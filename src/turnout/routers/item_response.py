"""Item response theory: models have an ability, queries a difficulty and a power to tell models apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from turnout import ranking
from turnout.data.battles import Battles
from turnout.data.distinct_queries import distinct_texts, held_out_folds
from turnout.data.outcomes import Outcomes
from turnout.errors import EmptyDataError, InvalidValueError
from turnout.routers.base import Router, check_fitted, check_known, check_trainable
from turnout.routers.learning.lbfgs import minimise
from turnout.routers.learning.setting_checks import check_above_0
from turnout.routers.learning.sigmoid import sigmoid
from turnout.types import BoolArray, Encoder, FloatArray, IntArray, ModelPair, check_queries

STRENGTH_CHOICES = (3_000.0, 1_000.0, 300.0, 100.0, 30.0, 10.0, 3.0)

_ABILITY_RIDGE = 0.01  # towards where the search begins; only what the data leave open is settled by it
_STEADINESS = 5.0  # how much more the slope of the discrimination is penalised than that of the difficulty
_LARGEST_LOG_DISCRIMINATION = 2.0


class ItemResponse(Router):
    """Win rate from the chance that each model answers the query well, by a two-parameter item response model.

        P(m is right on q) = sigmoid(discrimination(q) · (ability_m − difficulty(q)))
        win rate = (1 + P(strong is right) − P(weak is right)) / 2

    Difficulty and the log of discrimination are linear in the query's vector, with a ridge on their slopes. The win
    rate is highest where strong is able and weak is not: for easy and for hopeless queries it is 0.5.

    `fit_outcomes` learns from right-or-wrong outcomes of any number of models, which is what the model is made for.
    `fit` learns from battles, of which a tie says that both were right or both were wrong, but not which: of two such
    solutions that mirror each other it takes the one where most queries are easy. Their win rates are the same.
    """

    name = "irt"

    models_: list[str]
    abilities_: FloatArray
    """Shape (n_models,)."""
    difficulty_: FloatArray
    """Shape (dim + 1,): slopes at the query's vector, and the constant."""
    discrimination_: FloatArray
    """Shape (dim + 1,): the same for the log of the discrimination."""
    strength_: float

    def __init__(self, encoder: Encoder, *, strength: float | None = None, seed: int = 0) -> None:
        """Store the settings.

        Args:
            encoder: turns queries into vectors.
            strength: of the ridge on the slopes, above 0. None: chosen when fitting.
            seed: which queries are held out to choose it.
        """
        self.encoder = encoder
        self.strength = strength
        self.seed = seed

    def fit(self, battles: Battles) -> Self:
        """Learn from battles between any models; the pair is the one that is scored by default.

        The expected share of a battle is (1 + P(a is right) − P(b is right)) / 2. If the strength is not given, it is
        chosen by the likelihood of battles on held-out queries.

        Raises:
            EmptyDataError: there is no battle.
            DataError: no battle, not even by way of others, connects some of the models.
            InvalidValueError: the pair is not settled, or the strength is not above 0.
            UnknownNameError: a model of the pair is in no battle.
        """
        pair = check_trainable(battles)
        models, a, b = battles.model_indices()
        check_known(pair, models, "model in these battles")
        weight = battles.weight / battles.weight.mean()
        ratings = ranking.rate(models, a, b, battles.share_a, weight, ridge=_ABILITY_RIDGE)
        texts, row = distinct_texts(battles.queries)
        observed = _Observed(row, a, b, battles.share_a, weight)
        return self._learn(texts, observed, models, pair, abilities=ratings + 1.0)  # most queries are easy

    def fit_outcomes(self, outcomes: Outcomes, pair: ModelPair) -> Self:
        """Learn from what each model scored on each query, in [0, 1]; scores that are missing (NaN) teach nothing.

        Args:
            outcomes: of any models, the pair among them.
            pair: the one that is scored by default.

        Raises:
            EmptyDataError: there is no score.
            InvalidValueError: a score is outside [0, 1], or the strength is not above 0.
            UnknownNameError: the outcomes do not know a model of the pair.
        """
        check_known(pair, outcomes.models, "model in these outcomes")
        place, model = np.nonzero(np.isfinite(outcomes.scores))
        if not len(place):
            raise EmptyDataError("There is no score to learn from.")
        score = outcomes.scores[place, model]
        if score.min() < 0 or score.max() > 1:
            raise InvalidValueError(
                f"Scores must be in [0, 1] to be chances of being right, got {score.min():g} to {score.max():g}. "
                "Scale them first, or learn from battles: fit(outcomes.battles(pair))"
            )
        texts, row = distinct_texts(outcomes.queries)
        mean = np.bincount(model, weights=score, minlength=len(outcomes.models)) + 0.5
        mean /= np.bincount(model, minlength=len(outcomes.models)) + 1.0
        observed = _Observed(row[place], model, None, score, np.ones(len(score)))
        return self._learn(texts, observed, outcomes.models, pair, abilities=np.log(mean / (1 - mean)))

    def predict_win_rate(self, queries: Sequence[str], *, pair: ModelPair | None = None) -> FloatArray:
        """The win rate of the pair, by default the training pair, shape (n_queries,), in [0, 1].

        Raises:
            UnknownNameError: the router has learned nothing about one of the models.
        """
        check_fitted(self, "abilities_", "pair_")
        check_queries(queries)
        asked = pair or self.pair_
        check_known(asked, self.models_, "model that this router knows")
        level, sharp = self._items(queries)
        strong, weak = (self.abilities_[self.models_.index(name)] for name in (asked.strong, asked.weak))
        win_rates: FloatArray = (1 + sigmoid(sharp * (strong - level)) - sigmoid(sharp * (weak - level))) / 2
        return win_rates

    def difficulty(self, queries: Sequence[str]) -> FloatArray:
        """How able a model must be to be right half of the time, on the scale of `abilities_`, shape (n_queries,)."""
        return self._items(queries)[0]

    def discrimination(self, queries: Sequence[str]) -> FloatArray:
        """How sharply a query tells abler models from others, above 0, shape (n_queries,)."""
        return self._items(queries)[1]

    def _items(self, queries: Sequence[str]) -> tuple[FloatArray, FloatArray]:
        """(difficulty, discrimination) of each query."""
        check_fitted(self, "abilities_", "pair_")
        vectors = self.encoder.encode(queries).astype(np.float64)
        # einsum sums each row alike in a batch of one and in a batch of a thousand.
        level, raw = (
            np.einsum("ij,j->i", vectors, line[:-1]) + line[-1] for line in (self.difficulty_, self.discrimination_)
        )
        return level, np.exp(_bounded(raw))

    def _learn(
        self, texts: Sequence[str], observed: _Observed, models: Sequence[str], pair: ModelPair, abilities: FloatArray
    ) -> Self:
        check_above_0("strength", self.strength, chosen=True)
        task = _Task(self.encoder.encode(texts).astype(np.float64), abilities)
        if self.strength is None:
            losses = np.zeros(len(STRENGTH_CHOICES))
            for held_out in held_out_folds(len(texts), seed=self.seed):
                losses += task.losses_on(held_out, observed)
            self.strength_ = STRENGTH_CHOICES[int(np.argmin(losses))]  # the greatest, if none were held out
        else:
            self.strength_ = float(self.strength)
        theta = task.solve(observed, self.strength_, task.start)
        self.abilities_, self.difficulty_, self.discrimination_ = task.parts(theta)
        self.models_ = list(models)
        self.pair_ = pair
        return self


@dataclass(frozen=True, eq=False)
class _Observed:
    """What was seen: scores of models on queries, or shares of battles between two of them; each of shape (n,)."""

    row: IntArray
    """The query."""
    a: IntArray
    """The model."""
    b: IntArray | None
    """The model that it met in a battle; None for scores."""
    share: FloatArray
    """Model a's score or share, in [0, 1]."""
    weight: FloatArray

    def take(self, kept: BoolArray) -> _Observed:
        b = None if self.b is None else self.b[kept]
        return _Observed(self.row[kept], self.a[kept], b, self.share[kept], self.weight[kept])


class _Task:
    """The penalised likelihood of what was seen. Parameters: abilities, difficulty, log of discrimination."""

    def __init__(self, vectors: FloatArray, abilities: FloatArray) -> None:
        self.vectors = vectors  # (n_queries, dim)
        self.dim = vectors.shape[1]
        self.n_models = len(abilities)
        self.start = np.concatenate([abilities, np.zeros(2 * (self.dim + 1))])

    def parts(self, theta: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """(abilities, difficulty, discrimination)."""
        m = self.n_models
        return theta[:m], theta[m : m + self.dim + 1], theta[m + self.dim + 1 :]

    def solve(self, observed: _Observed, strength: float, start: FloatArray) -> FloatArray:
        """The parameters that make what was seen likeliest."""
        slopes = np.append(np.full(self.dim, strength), _ABILITY_RIDGE)
        penalty = np.concatenate([np.full(self.n_models, _ABILITY_RIDGE), slopes, _STEADINESS * slopes])

        def value_and_gradient(theta: FloatArray) -> tuple[float, FloatArray]:
            loss, gradient = self.loss(theta, observed)
            away = theta - self.start
            return loss + float((penalty * away * away).sum()) / 2, gradient + penalty * away

        return minimise(value_and_gradient, start)

    def losses_on(self, held_out: BoolArray, observed: _Observed) -> FloatArray:
        """The loss of what was seen on held-out queries for each strength; each search begins at the one before."""
        mask = held_out[observed.row]
        train, test = observed.take(~mask), observed.take(mask)
        theta, losses = self.start, []
        for strength in STRENGTH_CHOICES:
            theta = self.solve(train, strength, theta)
            losses.append(self.loss(theta, test)[0])
        return np.array(losses)

    def loss(self, theta: FloatArray, observed: _Observed) -> tuple[float, FloatArray]:
        """(summed cross-entropy in nats, its gradient)."""
        abilities, difficulty, log_discrimination = self.parts(theta)
        level = self.vectors @ difficulty[:-1] + difficulty[-1]
        raw = self.vectors @ log_discrimination[:-1] + log_discrimination[-1]
        sharp = np.exp(_bounded(raw))
        row = observed.row
        chance_a = sigmoid(sharp[row] * (abilities[observed.a] - level[row]))
        expected = chance_a
        if observed.b is not None:
            chance_b = sigmoid(sharp[row] * (abilities[observed.b] - level[row]))
            expected = (1 + chance_a - chance_b) / 2
        expected = np.clip(expected, 1e-12, 1 - 1e-12)
        y, weight = observed.share, observed.weight
        loss = -float((weight * (y * np.log(expected) + (1 - y) * np.log1p(-expected))).sum())
        by_expected = weight * (expected - y) / (expected * (1 - expected))
        sides = [(observed.a, chance_a, by_expected if observed.b is None else by_expected / 2)]
        if observed.b is not None:
            sides.append((observed.b, chance_b, -by_expected / 2))
        n_queries = len(self.vectors)
        by_ability = np.zeros(self.n_models)
        by_level, by_raw = np.zeros(n_queries), np.zeros(n_queries)
        steepness = 1 - np.tanh(raw / _LARGEST_LOG_DISCRIMINATION) ** 2
        for model, chance, slope in sides:
            by_logit = slope * chance * (1 - chance)
            by_ability += np.bincount(model, weights=by_logit * sharp[row], minlength=self.n_models)
            by_level -= np.bincount(row, weights=by_logit * sharp[row], minlength=n_queries)
            logit = sharp[row] * (abilities[model] - level[row])
            by_raw += np.bincount(row, weights=by_logit * logit * steepness[row], minlength=n_queries)
        gradient = np.concatenate(
            [
                by_ability,
                self.vectors.T @ by_level,
                [by_level.sum()],
                self.vectors.T @ by_raw,
                [by_raw.sum()],
            ]
        )
        return loss, gradient


def _bounded(raw: FloatArray) -> FloatArray:
    """About raw where it is small, never beyond the largest log discrimination: no query is told apart for certain."""
    bounded: FloatArray = _LARGEST_LOG_DISCRIMINATION * np.tanh(raw / _LARGEST_LOG_DISCRIMINATION)
    return bounded
