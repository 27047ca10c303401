"""Matrix factorization: models and queries meet in a few hidden dimensions (paper, section 4.2)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import islice
from types import MappingProxyType
from typing import ClassVar, Literal, Self

import numpy as np

from turnout.data.battles import Battles
from turnout.data.split import same_text, split_rows
from turnout.encoders.base import unit_rows
from turnout.errors import EmptyDataError, InvalidValueError, UnknownNameError
from turnout.routers.base import Router, check_fitted, check_trainable
from turnout.routers.learning.factor_training import (
    Comparisons,
    Factors,
    Recipe,
    line_of_pair,
    summed_loss,
    train_factors,
)
from turnout.routers.learning.sigmoid import sigmoid
from turnout.types import JSON, Encoder, FloatArray, IntArray, ModelPair, check_queries

Ties = Literal["soft", "drop"]

WEIGHT_DECAY_CHOICES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2)

_LEAST_BATCH, _MOST_STEPS = 64, 256
_ENOUGH_HELD_OUT = 2_000  # queries that settle the choice; fewer are held out in turn, until all have been


@dataclass(frozen=True)
class EpochProgress:
    """Told after each epoch to whoever wants to draw a progress bar."""

    step: int
    """Epochs so far, over all weight decays that are tried and the last training on all battles."""
    n_steps: int
    """How many there will be at most; falls when a training stops early."""
    weight_decay: float
    train_loss: float
    """Weighted mean cross-entropy over the epoch's batches, in nats."""
    validation_loss: float | None
    """The same on held-out queries; None where none are held out."""


ProgressCallback = Callable[[EpochProgress], None]
Tell = Callable[[int, int, float, float, float | None], None]
"""(epoch, epochs left at most, weight_decay, train_loss, validation_loss): keeps the curve and reports progress."""


class MatrixFactorization(Router):
    """Win rate as sigmoid(delta(strong, q) − delta(weak, q)), delta(M, q) = w2ᵀ (v_M ∘ (W1ᵀ v_q + b)), as in the paper.

    It learns from battles between any models, and scores any pair of the models that it has seen. For one pair the
    formula is linear in the query's vector, so a decision costs little more than encoding the query.
    """

    name = "mf"

    models_: list[str]
    """The names of all models in the battles, sorted."""
    factors_: Factors
    """`projection` (W1, shape (n_inputs, dim)), `output` (w2, (dim,)), `models` (v_M, (n_models, dim)), `bias` (b)."""
    weight_decay_: float
    n_epochs_: int
    """How many the factors were trained for."""
    learning_curve_: list[dict[str, float]]
    """weight_decay, epoch, train_loss and validation_loss (nats) of each epoch on the way to the settings; last the
    training on all battles, which has no validation_loss."""

    PRESETS: ClassVar[Mapping[str, Mapping[str, JSON]]] = MappingProxyType(
        {
            "paper": {
                "dim": 128,
                "bias": True,
                "normalise_models": True,
                "epochs": 10,
                "batch_size": 64,
                "learning_rate": 3e-4,
                "weight_decay": 1e-5,
                "patience": None,
            },
            "released-code": {
                "dim": 128,
                "bias": False,
                "normalise_models": True,
                "query_noise": 0.1,
                "ties": "drop",
                "epochs": 100,
                "batch_size": 64,
                "learning_rate": 3e-4,
                "weight_decay": 1e-5,
                "patience": None,
            },
        }
    )
    """Both train for a fixed number of epochs, on all battles given. The paper gives no dimension and does not say
    whether models' vectors are scaled: its preset takes these two from the released code."""

    _line: tuple[ModelPair, FloatArray, float] | None = None  # of the pair asked about last

    def __init__(
        self,
        encoder: Encoder,
        *,
        dim: int = 16,
        bias: bool = True,
        normalise_models: bool = False,
        query_noise: float = 0.0,
        ties: Ties = "soft",
        epochs: int = 60,
        batch_size: int | None = None,
        learning_rate: float = 3e-3,
        weight_decay: float | None = None,
        validation_fraction: float = 0.2,
        patience: int | None = 10,
        seed: int = 0,
    ) -> None:
        """Store the settings.

        Args:
            encoder: turns queries into vectors.
            dim: how many hidden dimensions.
            bias: whether there is the b of the formula; the released code has none.
            normalise_models: whether the vectors v_M have length 1, as in the released code.
            query_noise: standard deviation of the Gaussian noise that is added to each number of a query's vector
                while training (the released code's alpha).
            ties: "soft" learns from every share as it is, a tie being half a win; "drop" leaves ties out, as the
                released code does.
            epochs: passes over the battles, at most.
            batch_size: battles a step. None: 64, and of very many battles as many as make 256 steps an epoch.
            learning_rate: of Adam.
            weight_decay: L2 penalty on all factors but the bias, added to the gradient. None: chosen in `fit` among
                `WEIGHT_DECAY_CHOICES`.
            validation_fraction: the share of distinct queries that is held out at a time, in [0, 0.5], to choose what
                is to be chosen. 0: nothing is.
            patience: epochs without a lower loss on held-out queries before training stops; the best number is kept.
                None: all epochs run.
            seed: of the first factors, the order, the noise and the parts held out.
        """
        self.encoder = encoder
        self.dim = dim
        self.bias = bias
        self.normalise_models = normalise_models
        self.query_noise = query_noise
        self.ties = ties
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.seed = seed

    @classmethod
    def from_preset(cls, name: Literal["paper", "released-code"], encoder: Encoder, **settings: JSON) -> Self:
        """A router with a preset's settings, of which any may be overridden.

        Raises:
            UnknownNameError: there is no such preset.
        """
        if name not in cls.PRESETS:
            raise UnknownNameError("preset", name, cls.PRESETS)
        return cls(encoder, **{**cls.PRESETS[name], **settings})

    def fit(self, battles: Battles, *, progress: ProgressCallback | None = None) -> Self:
        """Learn from all battles, of whatever models; shares are soft labels, weights count.

        The number of epochs, and the weight decay where it is None, are those with the lowest loss on held-out
        queries: a part is held out at a time, by distinct text, until 2,000 queries or all have been. Then the factors
        are trained on all battles.

        Args:
            battles: `battles.pair` is the pair that is scored by default; both models must be among the battles.
            progress: called after each epoch.

        Raises:
            EmptyDataError: there is no battle, or none but ties and these are left out.
            InvalidValueError: the pair is not settled, a setting is out of its range, the encoder gave a vector that
                is no number, or training diverged.
            UnknownNameError: a model of the pair is in no battle.
        """
        pair = check_trainable(battles)
        recipe = self._checked_recipe(len(battles))
        if self.ties == "drop":
            battles = battles.take(battles.share_a != 0.5)
            if not len(battles):
                raise EmptyDataError('All battles are ties, and these are left out. To learn from them: ties="soft"')
        models = battles.models
        for name in (pair.strong, pair.weak):
            _position(name, models)
        data = self._comparisons(battles)
        curve: list[dict[str, float]] = []

        def tell(epoch: int, n_left: int, weight_decay: float, train: float, validation: float | None) -> None:
            row = {"weight_decay": weight_decay, "epoch": float(epoch), "train_loss": train}
            curve.append(row if validation is None else row | {"validation_loss": validation})
            if progress is not None:
                progress(EpochProgress(len(curve), len(curve) + n_left, weight_decay, train, validation))

        weight_decay, n_epochs = self._choose(data, battles, recipe, tell)
        training = train_factors(data, recipe, weight_decay)
        for epoch in range(1, n_epochs + 1):
            factors, loss = next(training)
            tell(epoch, n_epochs - epoch, weight_decay, loss, None)
        if self.normalise_models:
            factors["models"] = unit_rows(factors["models"])
        self._line = None
        self.models_ = list(models)
        self.factors_ = factors
        self.weight_decay_ = weight_decay
        self.n_epochs_ = n_epochs
        self.learning_curve_ = curve
        self.pair_ = pair
        return self

    def predict_win_rate(self, queries: Sequence[str], *, pair: ModelPair | None = None) -> FloatArray:
        """P(strong preferred) + P(tie)/2 for each query, shape (n_queries,), in [0, 1].

        Args:
            queries: texts.
            pair: any two models of `models_`; None means `pair_`.

        Raises:
            NotFittedError: called before `fit`.
            UnknownNameError: a model of the pair was in no battle.
        """
        check_fitted(self, "factors_", "pair_")
        check_queries(queries)
        slope, offset = self._line_of(pair or self.pair_)
        vectors = np.ascontiguousarray(self.encoder.encode(queries), dtype=np.float64)
        # Row by row in one order, unlike a matrix product: what else is in the batch changes no bit.
        win_rates: FloatArray = sigmoid(np.einsum("ij,j->i", vectors, slope) + offset)
        return win_rates

    def _line_of(self, pair: ModelPair) -> tuple[FloatArray, float]:
        line = self._line
        if line is None or line[0] != pair:
            positions = [_position(name, self.models_) for name in (pair.strong, pair.weak)]
            line = self._line = (pair, *line_of_pair(self.factors_, *positions))
        return line[1:]

    def _comparisons(self, battles: Battles) -> Comparisons:
        _, a, b = battles.model_indices()
        row_of: dict[str, int] = {}
        texts: list[str] = []
        query = np.empty(len(battles), dtype=np.int64)
        for number, text in enumerate(battles.queries):
            query[number] = row_of.setdefault(text, len(texts))
            if query[number] == len(texts):
                texts.append(text)
        vectors = self.encoder.encode(texts)
        if not np.isfinite(vectors).all():
            bad = int(np.flatnonzero(~np.isfinite(vectors).all(axis=1))[0])
            raise InvalidValueError(
                f"The encoder '{self.encoder.name}' gave a vector that is no number, for the query {texts[bad][:80]!r}."
            )
        weight = (battles.weight / battles.weight.mean()).astype(np.float32)
        n_models = len(battles.models)
        return Comparisons(vectors, n_models, query, a, b, battles.share_a.astype(np.float32), weight)

    def _choose(self, data: Comparisons, battles: Battles, recipe: Recipe, tell: Tell) -> tuple[float, int]:
        """The weight decay and the number of epochs with the lowest loss on held-out queries."""
        decays = WEIGHT_DECAY_CHOICES if self.weight_decay is None else (self.weight_decay,)
        best, lowest_of_all, n_worse = (decays[0], self.epochs), math.inf, 0
        if len(decays) == 1 and self.patience is None:
            return best  # there is nothing to choose
        folds = self._folds(battles)
        held_out = [data.take(rows) for _, rows in folds]
        total_weight = float(sum(part.weight.sum() for part in held_out))
        for place, weight_decay in enumerate(decays):
            lowest, n_epochs = math.inf, 0
            trainings = [train_factors(data.take(rows), recipe, weight_decay) for rows, _ in folds]
            for epoch, states in enumerate(islice(zip(*trainings, strict=True), self.epochs), start=1):
                losses = (
                    summed_loss(factors, part, normalise_models=self.normalise_models)
                    for (factors, _), part in zip(states, held_out, strict=True)
                )
                loss = sum(losses) / total_weight
                n_left = (len(decays) - place + 1) * self.epochs - epoch
                tell(epoch, n_left, weight_decay, float(np.mean([train for _, train in states])), loss)
                if loss < lowest or self.patience is None:
                    lowest, n_epochs = loss, epoch
                elif epoch - n_epochs >= self.patience:
                    break
            if lowest < lowest_of_all:
                best, lowest_of_all, n_worse = (weight_decay, n_epochs), lowest, 0
            else:
                n_worse += 1
            if len(folds) == 1 and n_worse == 2:
                break  # so many queries tell one decay from the next: beyond the best all are worse
        return best

    def _folds(self, battles: Battles) -> list[tuple[IntArray, IntArray]]:
        """(rows to train on, rows held out) of as many parts as it takes to hold out enough queries."""
        if not self.validation_fraction:
            return []
        n_parts = round(1 / self.validation_fraction)
        parts = split_rows(battles.queries, [1 / n_parts] * n_parts, source=battles.source, seed=self.seed)
        folds: list[tuple[IntArray, IntArray]] = []
        n_held_out = 0
        for part in parts:
            rest = np.setdiff1d(np.arange(len(battles)), part)
            if len(part) and len(rest) and n_held_out < _ENOUGH_HELD_OUT:
                folds.append((rest, part))
                n_held_out += len({same_text(battles.queries[row]) for row in part})
        return folds

    def _checked_recipe(self, n_battles: int) -> Recipe:
        if self.epochs < 1:
            raise InvalidValueError(f"epochs must be at least 1, got {self.epochs}.")
        if self.patience is not None and self.patience < 1:
            raise InvalidValueError(f"patience must be at least 1, or None, got {self.patience}.")
        if not 0 <= self.validation_fraction <= 0.5:
            raise InvalidValueError(f"validation_fraction must be in [0, 0.5], got {self.validation_fraction}.")
        if self.weight_decay is None and not self.validation_fraction:
            raise InvalidValueError(
                "weight_decay cannot be chosen with validation_fraction=0. Give it, or hold some queries out."
            )
        if self.weight_decay is not None and not 0 <= self.weight_decay < math.inf:
            raise InvalidValueError(f"weight_decay must be at least 0, or None, got {self.weight_decay}.")
        if self.ties not in ("soft", "drop"):
            raise InvalidValueError(f"ties must be 'soft' or 'drop', got '{self.ties}'.")
        settings = {field.name: getattr(self, field.name) for field in fields(Recipe)}
        if self.batch_size is None:
            settings["batch_size"] = max(_LEAST_BATCH, n_battles // _MOST_STEPS)
        return Recipe(**settings)


def _position(model: str, models: Sequence[str]) -> int:
    if model not in models:
        raise UnknownNameError("model in the battles that this router learned from", model, models)
    return list(models).index(model)
