"""Nearest neighbours: what happened to similar queries will happen to this one."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Literal, Self

import numpy as np
import numpy.typing as npt

from turnout.data.battles import Battles
from turnout.data.distinct_queries import DistinctQueries
from turnout.errors import InvalidValueError
from turnout.routers.base import Neighbor, Router, check_fitted, check_trainable
from turnout.routers.learning.exact_cosines import stretch, whole_numbers
from turnout.routers.learning.setting_checks import check_at_least_0, check_whole
from turnout.types import Encoder, FloatArray, IntArray, VectorArray, check_queries

Guard = Literal["none", "mean", "strong"]

K_CHOICES = (10, 30, 100, 300, 1_000)
SHARPNESS_CHOICES = (0.0, 5.0, 10.0, 20.0, 40.0)
SHRINKAGE_CHOICES = (0.0, 3.0, 10.0, 30.0, 100.0)

USUAL_K, USUAL_SHARPNESS = 100, 10.0
"""They did well on the development sources of docs/adr/0001, with 200 labels and with 800."""

_PROOF = 3.0  # standard errors: of many choices the luckiest looks better than it is
_CHOSEN_ON = 2_000  # held-out queries are enough to choose three settings, and keep 60,000 battles to seconds
_SIMILARITIES_AT_ONCE = 2**22  # 16 MB
_GROUP = 16


class NearestNeighbors(Router):
    """Win rate as the strong model's weighted share of wins among the k most similar training queries.

    A neighbour counts `exp(sharpness · cosine)` times its votes. The share is shrunk towards the training mean as if
    `shrinkage` more neighbours had shown just that. The search is exact: one matrix product.

    Vectors are kept as whole numbers, 16 bits each, so small that every sum of their products is exact in 32-bit
    floats. A similarity therefore never depends on the batch, on the number of threads or on the machine, and equal
    texts tie exactly. It differs from the encoder's cosine by about 0.0001.
    """

    name = "knn"

    vectors_: npt.NDArray[np.int16]
    """Shape (n_queries, dim): one row for each distinct training query."""
    shares_: FloatArray
    """Shape (n_queries,), in [0, 1]: the strong model's share of each."""
    votes_: FloatArray
    """Shape (n_queries,), above 0: how much each counts."""
    mean_: float
    """The training mean of the win rate, in [0, 1]."""
    k_: int
    sharpness_: float
    shrinkage_: float

    _table: VectorArray | None = None  # vectors_ as floats, made when first needed

    def __init__(
        self,
        encoder: Encoder,
        *,
        k: int | None = None,
        sharpness: float | None = None,
        shrinkage: float | None = None,
        guard: Guard = "none",
        guard_width: float = 1.0,
        seed: int = 0,
    ) -> None:
        """Store the settings.

        Args:
            encoder: turns queries into vectors.
            k: how many distinct queries are asked; all that are as similar as the k-th are. None: chosen in `fit`.
            sharpness: how much more the more similar of them count, at least 0 (all count alike). None: chosen in
                `fit`.
            shrinkage: how many neighbours the training mean counts for, at least 0. None: chosen in `fit`.
            guard: what to do with evidence that does not exceed its noise. "mean" moves the win rate towards the
                training mean by `guard_width` standard errors, and no further; "strong" raises it by as much, so that
                a query leaves the strong model only where its neighbours say so beyond their noise.
            guard_width: in standard errors, at least 0.
            seed: which queries are held out to choose settings, where there are very many.
        """
        self.encoder = encoder
        self.k = k
        self.sharpness = sharpness
        self.shrinkage = shrinkage
        self.guard = guard
        self.guard_width = guard_width
        self.seed = seed

    def fit(self, battles: Battles) -> Self:
        """Remember the battles between the pair; choose the settings that are None.

        Queries are left out one at a time (at most 2,000 of them). `shrinkage` is that with the least squared error;
        `k` and `sharpness` are the usual ones, unless others have an error that is smaller by more than three standard
        errors.

        Raises:
            EmptyDataError: there is no battle.
            InvalidValueError: the pair is not settled, other models are among the battles, or a setting is out of its
                range.
        """
        pair = check_trainable(battles)
        self._check_settings()
        known = DistinctQueries.of(battles)
        self._table = None
        self.vectors_ = whole_numbers(self.encoder.encode(known.texts)).astype(np.int16)
        self.shares_ = known.shares
        self.votes_ = known.weights
        self.mean_ = known.mean_share
        self.k_, self.sharpness_, self.shrinkage_ = self._choose_settings()
        self.pair_ = pair
        return self

    def predict_win_rate(self, queries: Sequence[str]) -> FloatArray:
        """P(strong preferred) + P(tie)/2 among each query's neighbours, shape (n_queries,), in [0, 1]."""
        check_fitted(self, "vectors_", "pair_")
        check_queries(queries)
        win_rates = np.empty(len(queries))
        for row, similarities in enumerate(self._similarities(whole_numbers(self.encoder.encode(queries)))):
            near = _nearest(similarities, self.k_)
            win_rates[row] = self._win_rate(similarities[near].astype(np.float64), near)
        return win_rates

    def neighbors(self, query: str, n: int) -> list[Neighbor]:
        """The n training queries that resemble the query most, nearest first; fewer if there are fewer.

        Raises:
            NotFittedError: called before `fit`.
        """
        check_fitted(self, "vectors_", "pair_")
        (similarities,) = self._similarities(whole_numbers(self.encoder.encode([query])))
        nearest = np.argsort(-similarities, kind="stable")[:n]
        cosines = similarities[nearest].astype(np.float64) / stretch(self.vectors_.shape[1]) ** 2
        return [
            Neighbor(float(cosine), float(self.shares_[row]), float(self.votes_[row]))
            for row, cosine in zip(nearest, cosines, strict=True)
        ]

    def _win_rate(self, similarities: FloatArray, near: IntArray) -> float:
        counts = self.votes_[near] * np.exp(self.sharpness_ * self._cosine_below_first(similarities))
        shares = self.shares_[near]
        total = counts.sum()
        # Kish's effective number of neighbours: 30 that count alike are 30, 30 of which one counts all are one.
        effective = total * total / (counts * counts).sum()
        share = (counts * shares).sum() / total
        win_rate = (effective * share + self.shrinkage_ * self.mean_) / (effective + self.shrinkage_)
        if self.guard != "none":
            # One more neighbour as uncertain as the training mean: a few that agree by chance are not certain.
            spread = (counts * (shares - share) ** 2).sum() / total
            variance = (effective * spread + self.mean_ * (1 - self.mean_)) / (effective + 1)
            noise = self.guard_width * math.sqrt(variance / effective) * effective / (effective + self.shrinkage_)
            if self.guard == "strong":
                win_rate += noise
            else:
                evidence = win_rate - self.mean_
                win_rate = self.mean_ + math.copysign(max(abs(evidence) - noise, 0.0), evidence)
        return float(min(max(win_rate, 0.0), 1.0))

    def _cosine_below_first(self, similarities: FloatArray) -> FloatArray:
        """By how much each cosine is below the greatest, at most 0: exp of it cannot overflow."""
        one = stretch(self.vectors_.shape[1]) ** 2
        below: FloatArray = (similarities - similarities.max()) / one
        return below

    def _similarities(self, vectors: VectorArray) -> Iterator[VectorArray]:
        """Each query's similarity to every training query, shape (n_training,), whole numbers; little at a time."""
        if self._table is None:
            self._table = self.vectors_.astype(np.float32)
        step = max(1, _SIMILARITIES_AT_ONCE // len(self._table))
        for start in range(0, len(vectors), step):
            yield from vectors[start : start + step] @ self._table.T

    def _choose_settings(self) -> tuple[int, float, float]:
        n = len(self.shares_)
        k_choices = [self.k] if self.k is not None else [k for k in K_CHOICES if k < n - 1] or [max(n - 1, 1)]
        sharpness_choices = SHARPNESS_CHOICES if self.sharpness is None else (self.sharpness,)
        shrinkage_choices = SHRINKAGE_CHOICES if self.shrinkage is None else (self.shrinkage,)
        usual = (
            max([k for k in k_choices if k <= USUAL_K], default=k_choices[0]),
            USUAL_SHARPNESS if self.sharpness is None else self.sharpness,
        )
        grid = list(itertools.product(k_choices, sharpness_choices))
        if n < 3 or len(grid) == len(shrinkage_choices) == 1:
            return (*usual, shrinkage_choices[-1])
        held_out = np.arange(n)
        if n > _CHOSEN_ON:
            held_out = np.sort(np.random.default_rng(self.seed).permutation(n)[:_CHOSEN_ON])
        share, effective = self._evidence_of_others(held_out, k_choices, sharpness_choices)
        wanted, votes = self.shares_[held_out, None], self.votes_[held_out, None]
        errors = np.empty((len(shrinkage_choices), len(held_out), len(grid)))
        for place, shrinkage in enumerate(shrinkage_choices):
            win_rates = (effective * share + shrinkage * self.mean_) / (effective + shrinkage)
            errors[place] = votes * (win_rates - wanted) ** 2
        best = errors.mean(axis=1).argmin(axis=0)  # (n_grid,): how far to shrink, for each k and sharpness
        chosen = _best_beyond_noise(errors[best, :, np.arange(len(grid))].T, grid.index(usual))
        return (*grid[chosen], shrinkage_choices[best[chosen]])

    def _evidence_of_others(
        self, rows: IntArray, k_choices: Sequence[int], sharpness_choices: Sequence[float]
    ) -> tuple[FloatArray, FloatArray]:
        """(share, effective number) of the neighbours of training queries, themselves left out.

        Shapes (n_rows, len(k_choices) · len(sharpness_choices)), k by k.
        """
        n = len(self.shares_)
        share = np.empty((len(rows), len(k_choices), len(sharpness_choices)))
        effective = np.empty_like(share)
        for number, similarities in enumerate(self._similarities(self.vectors_[rows].astype(np.float32))):
            similarities[rows[number]] = -np.inf
            near = _nearest(similarities, min(max(k_choices), n - 1))
            near = near[np.argsort(-similarities[near], kind="stable")]
            falling = similarities[near].astype(np.float64)
            last = [np.searchsorted(-falling, -falling[min(k, n - 1) - 1], side="right") - 1 for k in k_choices]
            for column, sharpness in enumerate(sharpness_choices):
                counts = self.votes_[near] * np.exp(sharpness * self._cosine_below_first(falling))
                total = np.cumsum(counts)[last]
                share[number, :, column] = np.cumsum(counts * self.shares_[near])[last] / total
                effective[number, :, column] = total * total / np.cumsum(counts * counts)[last]
        return share.reshape(len(rows), -1), effective.reshape(len(rows), -1)

    def _check_settings(self) -> None:
        check_whole("k", self.k, least=1, chosen=True)
        check_at_least_0("sharpness", self.sharpness, chosen=True)
        check_at_least_0("shrinkage", self.shrinkage, chosen=True)
        if self.guard not in ("none", "mean", "strong"):
            raise InvalidValueError(f"guard must be 'none', 'mean' or 'strong', got {self.guard!r}.")
        check_at_least_0("guard_width", self.guard_width)

    def __getstate__(self) -> dict[str, object]:
        return {**vars(self), "_table": None}


def _best_beyond_noise(errors: FloatArray, usual: int) -> int:
    """The column with the least mean error of those that are proven better than the usual one; else the usual one.

    >>> _best_beyond_noise(np.array([[0.3, 0.1], [0.3, 0.2], [0.3, 0.1]]), usual=0)
    1
    >>> _best_beyond_noise(np.array([[0.3, 0.1], [0.3, 0.5], [0.3, 0.1]]), usual=0)
    0
    """
    better = errors[:, [usual]] - errors  # (n_queries, n_choices)
    noise = better.std(axis=0) / math.sqrt(len(errors))
    gain = better.mean(axis=0)
    return int(np.argmax(np.where(gain > _PROOF * noise, gain, 0.0))) if (gain > _PROOF * noise).any() else usual


def _nearest(similarities: VectorArray, k: int) -> IntArray:
    """The positions of the k greatest similarities and of all that equal the k-th, ascending.

    >>> _nearest(np.array([0.1, 0.9, 0.5, 0.5], dtype=np.float32), k=2).tolist()
    [1, 2, 3]
    """
    n = len(similarities)
    if k >= n:
        return np.arange(n)
    if k * _GROUP > n // 2:
        return np.flatnonzero(similarities >= np.partition(similarities, n - k)[n - k])
    # Sixteen times fewer numbers to sort: the k-th greatest of the groups' maxima is at most the k-th of all.
    n_groups = n // _GROUP
    maxima = similarities[: n_groups * _GROUP].reshape(_GROUP, n_groups).max(axis=0)
    candidates = np.flatnonzero(similarities >= np.partition(maxima, n_groups - k)[n_groups - k])
    values = similarities[candidates]
    nearest: IntArray = candidates[values >= np.partition(values, len(values) - k)[len(values) - k]]
    return nearest
