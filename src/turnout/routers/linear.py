"""A linear model on what a query means, which words it holds and what form it has."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, Self

import numpy as np
import numpy.typing as npt

from turnout.data.battles import Battles
from turnout.data.distinct_queries import DistinctQueries
from turnout.errors import InvalidValueError
from turnout.routers.base import Router, check_fitted, check_trainable
from turnout.routers.features.form import form_features
from turnout.routers.features.words import HashedWords
from turnout.routers.learning.ridge import choose_strength, fit_logistic, fit_ridge
from turnout.routers.learning.setting_checks import check_above_0, check_whole
from turnout.routers.learning.sigmoid import sigmoid
from turnout.types import Encoder, FloatArray, VectorArray, check_queries

Link = Literal["identity", "logistic"]
Features = Literal["vectors", "words", "form"]

FEATURES: tuple[Features, ...] = ("vectors", "words", "form")
STRENGTH_CHOICES = tuple(10 ** (exponent / 2) for exponent in range(-2, 9))

_CHOSEN_ON = 3_000  # queries are enough to choose one number, and bound the time
_FORM_LIMIT = 3.0  # standard deviations: a query longer than any before is no reason to be surer than ever


class Linear(Router):
    """Win rate as a linear function of a query's features, with ridge regularisation.

    Features: the encoder's vector; the commonest words and pairs of words of the training queries, hashed and weighted
    by rarity; and form (length, numbers, code, question, answer options). The link is the identity (ridge regression,
    win rates cut to [0, 1]) or the logistic function. Labels may be soft, many votes on a query are one row.
    """

    name = "linear"

    weights_: dict[str, FloatArray]
    """Features → their coefficients."""
    intercept_: float
    strength_: float
    """The ridge strength that was used."""
    word_hashes_: npt.NDArray[np.int64]
    """See `HashedWords`."""
    word_rarities_: FloatArray
    form_: dict[str, FloatArray]
    """Mean and standard deviation of the form features."""

    def __init__(
        self,
        encoder: Encoder,
        *,
        link: Link = "identity",
        features: Sequence[Features] = FEATURES,
        strength: float | None = None,
        max_words: int = 2_000,
        seed: int = 0,
    ) -> None:
        """Store the settings.

        Args:
            encoder: turns queries into vectors.
            link: "identity" (ridge regression) or "logistic".
            features: which of "vectors", "words" and "form" are used.
            strength: of the ridge, above 0. None: chosen in `fit`.
            max_words: how many words and pairs of words are known at most.
            seed: which queries the strength is chosen on, where there are very many.
        """
        self.encoder = encoder
        self.link = link
        self.features = features
        self.strength = strength
        self.max_words = max_words
        self.seed = seed

    def fit(self, battles: Battles) -> Self:
        """Learn the coefficients from battles between the pair.

        If the strength is not given, it is chosen by the exact leave-one-out error over distinct queries (over 3,000
        of them, where there are more). The logistic link takes the same strength, in units of its curvature at the
        mean.

        Raises:
            EmptyDataError: there is no battle.
            InvalidValueError: the pair is not settled, other models are among the battles, or a setting is out of its
                range.
        """
        pair = check_trainable(battles)
        self._check_settings()
        known = DistinctQueries.of(battles)
        if "words" in self.features:
            words = HashedWords.of(known.texts, most=self.max_words)
            self.word_hashes_, self.word_rarities_ = words.hashes, words.rarity
        if "form" in self.features:
            form = form_features(known.texts)
            spread = form.std(axis=0)
            self.form_ = {"mean": form.mean(axis=0), "spread": np.where(spread > 1e-9, spread, 1.0)}
        blocks = self._blocks(known.texts)
        x = np.concatenate(list(blocks.values()), axis=1)
        self.strength_ = self._choose_strength(x, known) if self.strength is None else float(self.strength)
        if self.link == "logistic":
            mean = min(max(known.mean_share, 0.05), 0.95)
            fitted = fit_logistic(x, known.shares, known.weights, self.strength_ * mean * (1 - mean))
        else:
            fitted = fit_ridge(x, known.shares, known.weights, self.strength_)
        ends = np.cumsum([block.shape[1] for block in blocks.values()])[:-1]
        self.weights_ = dict(zip(blocks, np.split(fitted.coefficients, ends), strict=True))
        self.intercept_ = fitted.intercept
        self.pair_ = pair
        return self

    def predict_win_rate(self, queries: Sequence[str]) -> FloatArray:
        """The linear function's value at each query, in [0, 1], shape (n_queries,)."""
        check_fitted(self, "weights_", "pair_")
        check_queries(queries)
        scores = np.full(len(queries), self.intercept_)
        # einsum sums each row alike in a batch of one and in a batch of a thousand; a matrix product does not.
        if "vectors" in self.weights_:
            vectors = self.encoder.encode(queries).astype(np.float64)
            scores += np.einsum("ij,j->i", vectors, self.weights_["vectors"])
        if "words" in self.weights_:
            words, weights = self._words(), self.weights_["words"]
            for row, query in enumerate(queries):
                columns, values = words.features_of(query)
                scores[row] += (values * weights[columns]).sum()
        if "form" in self.weights_:
            scores += np.einsum("ij,j->i", self._form(queries), self.weights_["form"])
        win_rates: FloatArray = sigmoid(scores) if self.link == "logistic" else np.clip(scores, 0.0, 1.0)
        return win_rates

    def _blocks(self, queries: Sequence[str]) -> dict[str, VectorArray]:
        """Features → shape (n_queries, n_features), float32; see `fit`."""
        blocks: dict[str, VectorArray] = {}
        if "vectors" in self.features:
            blocks["vectors"] = self.encoder.encode(queries)
        if "words" in self.features:
            words = self._words()
            blocks["words"] = np.zeros((len(queries), len(words)), dtype=np.float32)
            for row, query in enumerate(queries):
                columns, values = words.features_of(query)
                blocks["words"][row, columns] = values
        if "form" in self.features:
            blocks["form"] = self._form(queries).astype(np.float32)
        return blocks

    def _words(self) -> HashedWords:
        return HashedWords(self.word_hashes_, self.word_rarities_)

    def _form(self, queries: Sequence[str]) -> FloatArray:
        form = (form_features(queries) - self.form_["mean"]) / self.form_["spread"]
        # Of about length 1, as vectors and words are.
        bounded: FloatArray = np.clip(form, -_FORM_LIMIT, _FORM_LIMIT) / math.sqrt(form.shape[1])
        return bounded

    def _choose_strength(self, x: VectorArray, known: DistinctQueries) -> float:
        rows = np.arange(len(known))
        if len(rows) > _CHOSEN_ON:
            rows = np.sort(np.random.default_rng(self.seed).permutation(rows)[:_CHOSEN_ON])
        return choose_strength(x[rows], known.shares[rows], known.weights[rows], STRENGTH_CHOICES)

    def _check_settings(self) -> None:
        if self.link not in ("identity", "logistic"):
            raise InvalidValueError(f"link must be 'identity' or 'logistic', got '{self.link}'.")
        if not self.features or not set(self.features) <= set(FEATURES):
            raise InvalidValueError(f"features must be some of {', '.join(FEATURES)}, got {list(self.features)}.")
        check_above_0("strength", self.strength, chosen=True)
        check_whole("max_words", self.max_words, least=0)
