"""The arithmetic of `mf`: how bilinear factors are trained on comparisons, by Adam, in numpy."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from turnout.encoders.base import unit_rows
from turnout.errors import InvalidValueError
from turnout.routers.learning.sigmoid import sigmoid
from turnout.types import FloatArray, IntArray, VectorArray

Factors = dict[str, VectorArray]
"""`projection` (W1, shape (n_inputs, dim)), `output` (w2, (dim,)), `models` (one v_M a row, (n_models, dim)) and, if
wanted, `bias` (b, (dim,))."""

_UNDECAYED = frozenset({"bias"})
_TOO_LARGE = 1e9  # a product of three such factors still fits in 32 bits


@dataclass(frozen=True, eq=False)
class Comparisons:
    """n battles as arrays: indices into the distinct queries' vectors and into the models."""

    vectors: VectorArray
    """Shape (n_queries, n_inputs)."""
    n_models: int
    query: IntArray
    """Shape (n,), as the next ones."""
    a: IntArray
    b: IntArray
    share_a: VectorArray
    """In [0, 1]."""
    weight: VectorArray
    """Above 0, in units of the mean battle."""

    def __len__(self) -> int:
        return len(self.query)

    def take(self, rows: IntArray) -> Comparisons:
        """The battles at these rows."""
        columns: dict[str, Any] = {name: getattr(self, name)[rows] for name in ("query", "a", "b", "share_a", "weight")}
        return replace(self, **columns)


@dataclass(frozen=True)
class Recipe:
    """How factors are trained; see `MatrixFactorization` for what the settings mean."""

    dim: int
    bias: bool
    normalise_models: bool
    query_noise: float
    batch_size: int
    learning_rate: float
    seed: int

    def __post_init__(self) -> None:
        for name in ("dim", "batch_size"):
            if getattr(self, name) < 1:
                raise InvalidValueError(f"{name} must be at least 1, got {getattr(self, name)}.")
        if not 0 < self.learning_rate < math.inf:
            raise InvalidValueError(f"learning_rate must be above 0, got {self.learning_rate}.")
        if not 0 <= self.query_noise < math.inf:
            raise InvalidValueError(f"query_noise must be at least 0, got {self.query_noise}.")


class Adam:
    """Kingma and Ba's optimiser, with their constants."""

    def __init__(self, learning_rate: float) -> None:
        self.learning_rate = learning_rate
        self.n_steps = 0
        self._mean: Factors = {}
        self._square: Factors = {}

    def step(self, factors: Factors, gradients: Factors) -> None:
        """Move the factors, in place, against the gradients."""
        self.n_steps += 1
        size = np.float32(self.learning_rate * math.sqrt(1 - 0.999**self.n_steps) / (1 - 0.9**self.n_steps))
        for name, gradient in gradients.items():
            if name not in self._mean:
                self._mean[name], self._square[name] = np.zeros_like(gradient), np.zeros_like(gradient)
            mean, square = self._mean[name], self._square[name]
            mean += np.float32(0.1) * (gradient - mean)
            square += np.float32(0.001) * (gradient * gradient - square)
            factors[name] -= size * mean / (np.sqrt(square) + np.float32(1e-8))


def train_factors(data: Comparisons, recipe: Recipe, weight_decay: float) -> Iterator[tuple[Factors, float]]:
    """The factors after each epoch, and the mean loss of its batches in nats, without end.

    What falls is the weighted mean cross-entropy + weight_decay / 2 · (the squares of all factors but the bias). The
    arrays are the ones that training goes on with: use them before the next epoch.

    Raises:
        InvalidValueError: the training diverged.
    """
    random = np.random.default_rng(recipe.seed)
    factors = first_factors(data.vectors.shape[1], data.n_models, recipe, random)
    adam = Adam(recipe.learning_rate)
    while True:
        order, total = random.permutation(len(data)), 0.0
        for start in range(0, len(data), recipe.batch_size):
            batch = data.take(order[start : start + recipe.batch_size])
            vectors = batch.vectors[batch.query]
            if recipe.query_noise:
                noise = random.standard_normal(vectors.shape, dtype=np.float32)
                vectors = vectors + np.float32(recipe.query_noise) * noise
            with np.errstate(all="ignore"):  # what overflows is found below
                loss, gradients = loss_and_gradients(factors, vectors, batch, normalise_models=recipe.normalise_models)
                for name in gradients.keys() - _UNDECAYED:
                    gradients[name] += np.float32(weight_decay) * factors[name]
                adam.step(factors, gradients)
            total += loss * len(batch)
        if not all(np.abs(factor).max() < _TOO_LARGE for factor in factors.values()):  # NaN too
            raise InvalidValueError(
                f"The training diverged: the factors grow without end. Lower the learning rate, which is "
                f"{recipe.learning_rate:g}."
            )
        yield factors, total / len(data)


def first_factors(n_inputs: int, n_models: int, recipe: Recipe, random: np.random.Generator) -> Factors:
    """The factors that training starts from.

    Models start as zeros: every win rate is 1/2 until a battle says otherwise, and no chance direction has to be
    unlearned from few labels. Only models that are scaled to length 1 need a direction to start with.
    """
    shapes = {"projection": (n_inputs, recipe.dim), "output": (recipe.dim,), "models": (n_models, recipe.dim)}
    spread = {"projection": n_inputs**-0.5, "output": recipe.dim**-0.5, "models": float(recipe.normalise_models)}
    factors = {name: random.standard_normal(shape, dtype=np.float32) for name, shape in shapes.items()}
    factors = {name: np.float32(spread[name]) * factor for name, factor in factors.items()}
    if recipe.bias:
        factors["bias"] = np.zeros(recipe.dim, dtype=np.float32)
    return factors


def loss_and_gradients(
    factors: Factors, vectors: VectorArray, batch: Comparisons, *, normalise_models: bool
) -> tuple[float, Factors]:
    """Mean cross-entropy of a batch in nats, and its gradient by each factor.

    With z = W1ᵀ v_q + b and h = v_a − v_b, the win rate of a is sigmoid(w2ᵀ (h ∘ z)).

    Args:
        factors: see there.
        vectors: those of the batch's battles, shape (n, n_inputs), float32.
        batch: n battles.
        normalise_models: whether a model's vector counts by its direction alone.
    """
    n = len(batch)
    models = unit_rows(factors["models"]) if normalise_models else factors["models"]
    meets = np.zeros((n, batch.n_models), dtype=np.float32)  # each battle's a as 1, its b as −1
    meets[np.arange(n), batch.a] = 1
    meets[np.arange(n), batch.b] = -1
    h = meets @ models
    z = vectors @ factors["projection"]
    if "bias" in factors:
        z += factors["bias"]
    scores = (h * z) @ factors["output"]
    loss = float((batch.weight * cross_entropy(scores, batch.share_a)).mean())
    by_score = batch.weight * (sigmoid(scores) - batch.share_a) / np.float32(n)
    by_product = by_score[:, np.newaxis] * factors["output"]
    by_z = by_product * h
    by_models = meets.T @ (by_product * z)
    if normalise_models:  # only what turns a model's vector changes anything
        along = np.einsum("ij,ij->i", models, by_models)[:, np.newaxis]
        lengths = np.sqrt(np.einsum("ij,ij->i", factors["models"], factors["models"]))[:, np.newaxis]
        by_models = (by_models - models * along) / lengths
    gradients = {"projection": vectors.T @ by_z, "output": by_score @ (h * z), "models": by_models}
    if "bias" in factors:
        gradients["bias"] = by_z.sum(axis=0)
    return loss, gradients


def summed_loss(factors: Factors, data: Comparisons, *, normalise_models: bool) -> float:
    """Cross-entropy over all battles, each times its weight, in nats."""
    asked, row = np.unique(data.query, return_inverse=True)
    models = unit_rows(factors["models"]) if normalise_models else factors["models"]
    z = data.vectors[asked] @ factors["projection"] + factors.get("bias", np.float32(0))
    total = 0.0
    for start in range(0, len(data), 8_192):
        rows = slice(start, start + 8_192)
        h = (models[data.a[rows]] - models[data.b[rows]]) * factors["output"]
        scores = np.einsum("ij,ij->i", h, z[row[rows]]).astype(np.float64)
        total += float((data.weight[rows] * cross_entropy(scores, data.share_a[rows])).sum())
    return total


def cross_entropy(scores: Any, share: Any) -> Any:
    """−share · ln sigmoid(score) − (1 − share) · ln(1 − sigmoid(score)), elementwise."""
    return np.logaddexp(0, scores) - share * scores


def line_of_pair(factors: Factors, strong: int, weak: int) -> tuple[FloatArray, float]:
    """(slope, offset) with delta(strong, q) − delta(weak, q) = slope · v_q + offset: linear, as the pair is fixed."""
    models = factors["models"].astype(np.float64)
    by_z = factors["output"] * (models[strong] - models[weak])
    # einsum sums each row by itself, in one order, on any number of threads.
    slope: FloatArray = np.einsum("ij,j->i", factors["projection"].astype(np.float64), by_z)
    return slope, float((factors["bias"] * by_z).sum()) if "bias" in factors else 0.0
