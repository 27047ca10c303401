"""Tiers: models of similar strength, so that votes over many models train one pair (paper, section 4.1, appendix A).

Few votes are between any given two models. Rated and cut into tiers, battles between a strong tier's model and a weak
tier's model all teach the same thing: what a strong model is worth over a weak one.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from turnout.data.battles import Battles
from turnout.errors import DataError, EmptyDataError, InvalidValueError, UnknownNameError
from turnout.ranking import rate
from turnout.types import JSON, FloatArray, ModelPair

LIFTED_PAIR = ModelPair(strong="strong", weak="weak")
"""The pair that lifted battles are between, unless it is named."""


Criterion = Literal["variance", "squares"]
"""What a cut makes as small as it can.

- `variance`: the sum of the tiers' variances, in which a tier of two counts as much as one of twenty. This is how the
  paper's own tiers come about (benchmarks/tiers.py): many models stay together where they are dense.
- `squares`: the sum of all models' squared distances from their tier's mean; the tiers are of more even width.
"""


def cut_into_tiers(ratings: FloatArray, n_tiers: int, *, criterion: Criterion = "variance") -> list[list[int]]:
    """The tiers with the least spread, best first, as indices into the ratings.

    Exact: dynamic programming over the sorted ratings, O(n_tiers · n²).

    Args:
        ratings: shape (n,).
        n_tiers: from 1 to n.
        criterion: how spread is measured.

    Raises:
        InvalidValueError: n_tiers is out of its range.
        UnknownNameError: there is no such criterion.

    >>> import numpy as np
    >>> cut_into_tiers(np.array([0.0, 9.0, 5.1, 5.0]), 3)
    [[1], [2, 3], [0]]
    """
    ratings = np.asarray(ratings, dtype=np.float64)
    n = len(ratings)
    if not 1 <= n_tiers <= n:
        raise InvalidValueError(f"n_tiers must be from 1 to the {n} models, got {n_tiers}.")
    if criterion not in get_args(Criterion):
        raise UnknownNameError("criterion", criterion, get_args(Criterion))
    order = np.argsort(-ratings, kind="stable")
    spread = _spreads(ratings[order], criterion)
    # best[e]: least total for the first e models; cuts[t][e]: where its last tier starts when there are t + 1 tiers.
    best = spread[0]
    cuts = [np.zeros(n + 1, dtype=np.int64)]
    for _ in range(n_tiers - 1):
        total = best[:, None] + spread
        cuts.append(np.argmin(total, axis=0))
        best = np.min(total, axis=0)
    bounds = [n]
    for cut in reversed(cuts):
        bounds.append(int(cut[bounds[-1]]))
    starts = bounds[::-1]
    return [order[start:end].tolist() for start, end in itertools.pairwise(starts)]


def _spreads(ratings: FloatArray, criterion: Criterion) -> FloatArray:
    """[s, e]: the spread of ratings s to e − 1; infinite where s ≥ e, shape (n+1, n+1)."""
    centred = ratings - ratings.mean()  # sums of squares of large numbers would lose digits
    sums = np.concatenate([[0.0], np.cumsum(centred)])
    squares = np.concatenate([[0.0], np.cumsum(centred**2)])
    places = np.arange(len(ratings) + 1)
    sizes = places[None, :] - places[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = (squares[None, :] - squares[:, None]) - (sums[None, :] - sums[:, None]) ** 2 / sizes
        if criterion == "variance":
            spread /= sizes
    return np.where(sizes > 0, np.maximum(spread, 0.0), np.inf)


@dataclass(frozen=True)
class Tiers:
    """Models in tiers, best first, with their ratings."""

    models: tuple[tuple[str, ...], ...]
    """The names in each tier, best first."""
    ratings: Mapping[str, float]
    """Name → rating, natural-log scale, mean 0."""

    @classmethod
    def of(cls, battles: Battles, n_tiers: int = 10, *, criterion: Criterion = "variance") -> Tiers:
        """Tiers of all models in these battles, by their Bradley–Terry ratings.

        Raises:
            EmptyDataError: there is no battle.
            DataError: no battle connects some of the models.
            InvalidValueError: there are fewer models than tiers.
        """
        if not len(battles):
            raise EmptyDataError("There is no battle to rate models by.")
        models, a, b = battles.model_indices()
        ratings = rate(models, a, b, battles.share_a, battles.weight)
        tiers = cut_into_tiers(ratings, n_tiers, criterion=criterion)
        return cls(
            models=tuple(tuple(models[index] for index in tier) for tier in tiers),
            ratings={model: float(rating) for model, rating in zip(models, ratings, strict=True)},
        )

    def members(self, tiers: Sequence[int]) -> tuple[str, ...]:
        """The models of these tiers, counted from 0, best first."""
        for tier in tiers:
            if not 0 <= tier < len(self.models):
                raise InvalidValueError(f"There are tiers 0 to {len(self.models) - 1}, got {tier}.")
        return tuple(model for tier in sorted(tiers) for model in self.models[tier])

    def to_json(self) -> dict[str, JSON]:
        """As an object for a file."""
        return {"tiers": [list(tier) for tier in self.models], "ratings": dict(self.ratings)}

    @classmethod
    def from_json(cls, value: Mapping[str, JSON]) -> Tiers:
        """The tiers that `to_json` described.

        Raises:
            DataError: the object is not one.
        """
        try:
            tiers = tuple(tuple(str(model) for model in tier) for tier in value["tiers"])
            ratings = {str(model): float(rating) for model, rating in value["ratings"].items()}
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DataError(f"not a description of tiers ({error!r}). Make one with: turnout data tiers") from error
        return cls(tiers, ratings)


def lift(
    battles: Battles, strong_models: Sequence[str], weak_models: Sequence[str], *, pair: ModelPair = LIFTED_PAIR
) -> Battles:
    """The battles between a strong and a weak model, as battles of one pair, each with strong as model a.

    Args:
        battles: between any models.
        strong_models: such as `tiers.members((0, 1))`, the paper's choice.
        weak_models: such as `tiers.members((2,))`.
        pair: the names that the two classes are given; a router trained on the result is for this pair.

    Raises:
        UnknownNameError: a model is in no battle.
        InvalidValueError: a model is in both classes.
        EmptyDataError: no strong model ever met a weak one.
    """
    strong, weak = frozenset(strong_models), frozenset(weak_models)
    if both := sorted(strong & weak):
        raise InvalidValueError(f"A model cannot be strong and weak at once: {', '.join(both)}.")
    known = battles.models
    for name in [*strong_models, *weak_models]:
        if name not in known:
            raise UnknownNameError("model in these battles", name, known)
    lifted = battles.between(strong, weak, pair=pair)
    if not len(lifted):
        raise EmptyDataError(
            f"No battle is between a strong model ({', '.join(sorted(strong)) or 'none named'}) and a weak one "
            f"({', '.join(sorted(weak)) or 'none named'}). Choose wider tiers."
        )
    return lifted
