"""The default router: meaning, form and words of a query, weighed by what left-out queries show, and how sure it is."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from turnout.data.battles import Battles
from turnout.data.distinct_queries import DistinctQueries
from turnout.data.split import same_text
from turnout.errors import EncoderMismatchError
from turnout.routers.base import Router, check_fitted, check_trainable
from turnout.routers.features.blocks import Features, LinearFunction
from turnout.routers.features.form import form_of
from turnout.routers.features.templates import Template
from turnout.routers.features.words import words_of
from turnout.routers.learning.averaged_ridge import AveragedRidge, fit_averaged_ridge
from turnout.types import JSON, Encoder, FloatArray, VectorArray, check_queries

_FAMILIAR = 0.99
_SEVERAL = 3  # sources, from which whole sources are left out


@dataclass(frozen=True, eq=False)
class EstimatedWinRates:
    """Win rates, and how far each can be trusted."""

    win_rates: FloatArray
    """Shape (n_queries,), in [0, 1]: as `predict_win_rate`."""
    uncertainty: FloatArray
    """Shape (n_queries,), at least 0: the posterior standard deviation of the estimate, in units of the win rate. It
    is that of the mean over many queries like this one, not of one answer, and leaves the words' part out."""
    novelty: FloatArray
    """Shape (n_queries,), above 0: the uncertainty in units of what 99 of 100 training queries stay below when they
    are left out. Above 1 the query is unlike the training data, and its win rate is drawn to the training mean."""


class Blend(Router):
    """Ridge regression on a query's meaning, form and words, averaged over settings.

    Three blocks of features: the encoder's vector; measures of form (length, numbers, signs, options …); words and
    pairs of words. How much each block counts and how far weights are shrunk is averaged over 35 settings, each with
    a weight that falls with its error on left-out queries: one distinct query at a time, or a whole source if there
    are three or more, since the next user's traffic is a source that nobody trained on. All of it is one linear
    function, so a decision costs about 0.15 ms besides the encoder.

    What most queries of a source share (a preamble, examples) is cut off before they are read; see `Template`.

    Beyond the data the win rate goes to the training mean: by as much as the estimate's variance exceeds what is
    usual among the training queries.
    """

    name = "blend"

    mean_: float
    """The training mean of the win rate, in [0, 1]."""
    intercept_: float
    meaning_: FloatArray
    """Shape (dim,): weights of the encoder's vector."""
    form_: FloatArray
    """Shape (N_FORM,)."""
    words_: VectorArray
    """Shape (N_BUCKETS,), 32-bit floats."""
    centre_: FloatArray
    """Shape (dim + N_FORM,): the training mean of meaning and form."""
    covariance_: VectorArray
    """Shape (dim + N_FORM, dim + N_FORM), 32-bit floats: the posterior covariance of their weights."""
    reach_: float
    """The uncertainty that 99 of 100 training queries stay below when they are left out."""
    templates_: list[dict[str, JSON]]
    """What is cut off before a query is read: learned in `fit` from each source, and by `for_route`."""
    block_shares_: dict[str, float]
    """meaning, form, words → its share of the variance that features may explain; prior → how much of it is kept."""

    _templates: tuple[Template, ...] | None = None  # templates_ as objects, made when first needed

    def __init__(self, encoder: Encoder, *, seed: int = 0) -> None:
        """Store the settings.

        Args:
            encoder: turns queries into vectors.
            seed: which 1,500 queries the settings are compared on, where there are more.
        """
        self.encoder = encoder
        self.seed = seed

    def fit(self, battles: Battles, *, start: Blend | None = None) -> Self:
        """Learn from battles between the pair.

        Args:
            battles: any number; from three sources on, settings are compared by leaving out whole sources.
            start: a fitted router to start from, of any pair. How much of it is kept is a setting like the others; it
                counts only if left-out queries show beyond their noise that it helps.

        Raises:
            EmptyDataError: there is no battle.
            InvalidValueError: the pair is not settled, or other models are among the battles.
            NotFittedError: `start` was not fitted.
            EncoderMismatchError: `start` was trained with another encoder.
        """
        if start is None:
            return self._learn(battles, prior=None)
        check_fitted(start, "meaning_", "pair_")
        if start.encoder.identity != self.encoder.identity:
            raise EncoderMismatchError(start.encoder.identity, self.encoder.identity)
        prior = LinearFunction(start.intercept_, start.meaning_, start.form_, start.words_.astype(np.float64))
        return self._learn(battles, prior=prior)

    def predict_win_rate(self, queries: Sequence[str]) -> FloatArray:
        """P(strong preferred) + P(tie)/2 for each query, shape (n_queries,), in [0, 1]."""
        return self.predict_with_uncertainty(queries).win_rates

    def predict_with_uncertainty(self, queries: Sequence[str]) -> EstimatedWinRates:
        """Win rates, and how far each can be trusted.

        Raises:
            NotFittedError: called before `fit`.
        """
        check_fitted(self, "meaning_", "pair_")
        check_queries(queries)
        win_rates, uncertainty = np.empty(len(queries)), np.empty(len(queries))
        unwrapped = self._unwrapped(queries)
        vectors = self.encoder.encode(unwrapped)
        for row, query in enumerate(unwrapped):  # one by one, so that no win rate depends on the batch
            buckets, values = words_of(query)
            dense = np.concatenate([vectors[row].astype(np.float64), form_of(query)])
            dim = len(self.meaning_)
            estimate = self.intercept_ + dense[:dim] @ self.meaning_ + dense[dim:] @ self.form_
            estimate += values @ self.words_[buckets].astype(np.float64)
            away = (dense - self.centre_).astype(np.float32)
            uncertainty[row] = math.sqrt(max(float(away @ (self.covariance_ @ away)), 1e-12))
            trust = min(1.0, (self.reach_ / uncertainty[row]) ** 2)
            win_rates[row] = self.mean_ + trust * (estimate - self.mean_)
        return EstimatedWinRates(np.clip(win_rates, 0.0, 1.0), uncertainty, uncertainty / self.reach_)

    def for_route(self, queries: Sequence[str]) -> Blend:
        """The same router for a route whose queries come wrapped: what most of these share is cut off before reading.

        Args:
            queries: a sample of the route's traffic, at least ten; labels are not needed.

        Raises:
            NotFittedError: this router was not fitted.
        """
        check_fitted(self, "meaning_", "pair_")
        check_queries(queries)
        router = copy.copy(self)
        # From what the templates before it leave, since it is applied after them.
        template = Template.learned_from(self._unwrapped(queries))
        router._templates = None
        router.templates_ = [*self.templates_, *([template.to_json()] if template else [])]
        return router

    def _unwrapped(self, queries: Sequence[str]) -> list[str]:
        if self._templates is None:
            self._templates = tuple(map(Template.from_json, self.templates_))
        texts = list(queries)
        for template in self._templates:
            texts = [template.unwrap(text) for text in texts]
        return texts

    def _learn(self, battles: Battles, *, prior: LinearFunction | None) -> Self:
        pair = check_trainable(battles)
        source_of = {same_text(query): source for query, source in zip(battles.queries, battles.source, strict=True)}
        known = DistinctQueries.of(battles)
        sources = np.unique([source_of[same_text(text)] for text in known.texts], return_inverse=True)[1]
        texts = np.array(known.texts, dtype=object)
        learned = [Template.learned_from(texts[sources == number]) for number in range(sources.max() + 1)]
        self._templates = None
        self.templates_ = [template.to_json() for template in learned if template]
        features = Features.of(self._unwrapped(known.texts), self.encoder)
        fit = fit_averaged_ridge(
            features,
            known.shares,
            known.weights,
            groups=sources if sources.max() + 1 >= _SEVERAL else None,
            prior=prior,
            seed=self.seed,
        )
        self.mean_ = known.mean_share
        self.intercept_ = float(fit.weights.intercept)
        self.meaning_ = fit.weights.meaning
        self.form_ = fit.weights.form
        self.words_ = fit.weights.words.astype(np.float32)
        self._learn_uncertainty(features, known.weights, fit)
        total = max(sum(fit.variances), 1e-12)
        meaning, form, words = (variance / total for variance in fit.variances)
        self.block_shares_ = {"meaning": meaning, "form": form, "words": words, "prior": fit.prior_share}
        self.pair_ = pair
        return self

    def _learn_uncertainty(self, features: Features, counts: FloatArray, fit: AveragedRidge) -> None:
        """The posterior covariance of the dense weights, and how uncertain left-out training queries are."""
        dense = np.hstack([features.meaning, features.form])
        self.centre_ = np.average(dense, axis=0, weights=counts)
        away = dense - self.centre_
        meaning, form, _ = (max(variance, 1e-4) for variance in fit.variances)
        precision = np.concatenate(
            [np.full(features.meaning.shape[1], 1 / meaning), np.full(features.form.shape[1], 1 / form)]
        )
        covariance = np.linalg.inv(np.diag(precision) + (away * counts[:, None]).T @ away)
        self.covariance_ = (fit.noise * covariance).astype(np.float32)
        variance: FloatArray = np.einsum("ij,jk,ik->i", away, covariance, away, optimize=True)
        left_out = fit.noise * variance / np.maximum(1 - counts * variance, 1e-3)
        self.reach_ = float(np.sqrt(max(np.quantile(left_out, _FAMILIAR), 1e-12)))
