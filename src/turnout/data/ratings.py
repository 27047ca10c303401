"""Ratings as people know them: on the Elo scale, each with a 95 % interval, and in tiers."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from turnout.data.battles import Battles
from turnout.data.split import same_text
from turnout.data.tiers import Criterion, cut_into_tiers
from turnout.errors import DataError, EmptyDataError, InvalidValueError, UnknownNameError
from turnout.ranking import are_connected, fit_ratings, rate, win_matrix
from turnout.types import JSON, FloatArray, IntArray

ELO_POINTS = 400 / math.log(10)
"""Elo points to a unit of the natural-log scale: 400 points more are odds of 10 to 1."""

MEAN = 1000.0
"""The mean rating, unless a model is held at a rating."""

DEFAULT_REPLICATES = 1_000
_REPLICATES_AT_ONCE = 64  # bounds memory: 64 matrices of wins


@dataclass(frozen=True)
class RatedModel:
    """A model's place among others."""

    name: str
    rating: float
    """On the Elo scale."""
    low: float
    """The 95 % interval's lower end."""
    high: float
    n_battles: int
    tier: int
    """The best is 0."""


@dataclass(frozen=True)
class Ratings:
    """All models of some battles, best first."""

    models: tuple[RatedModel, ...]
    n_battles: int
    n_queries: int
    """Distinct queries: what the bootstrap draws."""
    n_replicates: int
    n_unconnected: int
    """Bootstrap draws left out because their battles do not connect all models."""
    anchor: tuple[str, float] | None
    """The model that is held at a rating; None where the mean is 1000."""
    seed: int

    @classmethod
    def of(
        cls,
        battles: Battles,
        *,
        n_tiers: int = 10,
        criterion: Criterion = "variance",
        anchor: tuple[str, float] | None = None,
        n_replicates: int = DEFAULT_REPLICATES,
        seed: int = 0,
    ) -> Ratings:
        """Bradley–Terry ratings of all models, with bootstrap intervals.

        The bootstrap draws distinct queries, each with all its battles: votes on one query are not independent.
        With a model held at a rating, intervals are those of the distance to it, and its own has no width.

        Args:
            battles: between any models; weights and graded shares count.
            n_tiers: into how many tiers the models are cut; with fewer models each is a tier.
            criterion: what the cut into tiers minimises.
            anchor: a model and its rating, such as ("mixtral-8x7b", 1114); by default the mean is 1000.
            n_replicates: how many bootstrap draws, at least 2.
            seed: equal seeds give equal intervals.

        Raises:
            EmptyDataError: there is no battle.
            DataError: no battle connects some of the models, or too few draws do.
            UnknownNameError: the anchored model is in no battle, or there is no such criterion.
            InvalidValueError: a setting is out of its range.
        """
        if n_replicates < 2:
            raise InvalidValueError(f"n_replicates must be at least 2, got {n_replicates}.")
        if not len(battles):
            raise EmptyDataError("There is no battle to rate models by.")
        models, a, b = battles.model_indices()
        held = None if anchor is None else _place(models, anchor)
        fitted = rate(models, a, b, battles.share_a, battles.weight)
        ratings = _on_elo_scale(fitted, anchor, held)
        query = _numbered(battles)
        draws, n_unconnected = _draws(battles, models, a, b, query, n_replicates, seed)
        low, high = np.percentile(_on_elo_scale(draws, anchor, held), [2.5, 97.5], axis=0)
        tiers = cut_into_tiers(ratings, min(n_tiers, len(models)), criterion=criterion)
        tier_of = {model: number for number, tier in enumerate(tiers) for model in tier}
        met = np.bincount(a, minlength=len(models)) + np.bincount(b, minlength=len(models))
        return cls(
            models=tuple(
                RatedModel(models[m], float(ratings[m]), float(low[m]), float(high[m]), int(met[m]), tier_of[m])
                for tier in tiers
                for m in tier
            ),
            n_battles=len(battles),
            n_queries=int(query.max()) + 1,
            n_replicates=n_replicates,
            n_unconnected=n_unconnected,
            anchor=anchor,
            seed=seed,
        )

    def to_json(self) -> dict[str, JSON]:
        """As an object for a file."""
        return {
            "scale": "elo",
            "anchor": None if self.anchor is None else {"model": self.anchor[0], "rating": self.anchor[1]},
            "n_battles": self.n_battles,
            "n_queries": self.n_queries,
            "bootstrap": {
                "replicates": self.n_replicates,
                "left_out_unconnected": self.n_unconnected,
                "seed": self.seed,
            },
            "models": [
                {
                    "model": model.name,
                    "rating": model.rating,
                    "interval": [model.low, model.high],
                    "battles": model.n_battles,
                    "tier": model.tier,
                }
                for model in self.models
            ],
        }

    def text(self) -> str:
        """A table for people, best first."""
        width = max(len("model"), *(len(model.name) for model in self.models))
        lines = [f"{'tier':>4}  {'model':{width}}  {'rating':>6}  {'95 %':>14}  {'battles':>7}"]
        for model in self.models:
            interval = f"{model.low:.0f} to {model.high:.0f}"
            lines.append(
                f"{model.tier:>4}  {model.name:{width}}  {model.rating:>6.0f}  {interval:>14}  {model.n_battles:>7,}"
            )
        return "\n".join([*lines, "", *self.notes()])

    def notes(self) -> Iterator[str]:
        """What the table does not say."""
        held = "mean 1000" if self.anchor is None else f"{self.anchor[0]} held at {self.anchor[1]:g}"
        yield (
            f"Elo scale, {held}; {self.n_battles:,} battles on {self.n_queries:,} distinct queries; intervals from "
            f"{self.n_replicates:,} bootstrap draws of queries."
        )
        if self.n_unconnected:
            yield (
                f"Draws that do not connect all models were left out: {self.n_unconnected:,}. The intervals of models "
                "with few battles are a little too short for it."
            )


def win_probability(first: float, second: float) -> float:
    """P(first beats second) + P(tie)/2, for two ratings on the Elo scale.

    >>> round(win_probability(1100, 1000), 3)
    0.64
    """
    return 1 / (1 + 10 ** ((second - first) / 400))


def _on_elo_scale(ratings: FloatArray, anchor: tuple[str, float] | None, held: int | None) -> FloatArray:
    """Natural-log ratings, shape (…, m), as Elo: with mean 1000, or with one model held."""
    points = ELO_POINTS * ratings
    if anchor is None or held is None:
        centred: FloatArray = points - points.mean(axis=-1, keepdims=True) + MEAN
        return centred
    return points - points[..., held, None] + anchor[1]


def _place(models: tuple[str, ...], anchor: tuple[str, float]) -> int:
    name, rating = anchor
    if name not in models:
        raise UnknownNameError("model in these battles", name, models)
    if not math.isfinite(rating):
        raise InvalidValueError(f"The anchor's rating must be a number, got {rating}.")
    return models.index(name)


def _numbered(battles: Battles) -> IntArray:
    """Each battle's distinct query, from 0, shape (n,)."""
    texts = [same_text(query) for query in battles.queries]
    number = {text: place for place, text in enumerate(dict.fromkeys(texts))}
    return np.fromiter((number[text] for text in texts), dtype=np.int64, count=len(texts))


def _draws(
    battles: Battles, models: tuple[str, ...], a: IntArray, b: IntArray, query: IntArray, n_replicates: int, seed: int
) -> tuple[FloatArray, int]:
    """Ratings under each bootstrap draw that connects all models, shape (r, m), and how many do not."""
    random = np.random.default_rng(seed)
    n_queries, m = int(query.max()) + 1, len(models)
    parts: list[FloatArray] = []
    drawn = 0
    while drawn < n_replicates:
        size = min(_REPLICATES_AT_ONCE, n_replicates - drawn)
        wins = np.empty((size, m, m))
        for replicate in wins:
            times = np.bincount(random.integers(0, n_queries, n_queries), minlength=n_queries)[query]
            replicate[:] = win_matrix(a, b, battles.share_a, battles.weight * times, m)
        parts.append(fit_ratings(wins[are_connected(wins)]))
        drawn += size
    ratings = np.concatenate(parts)
    if 2 * len(ratings) < n_replicates:
        raise DataError(
            f"Only {len(ratings)} of {n_replicates} bootstrap draws connect all models: there are too few battles for "
            "intervals. Leave out the models with the fewest battles."
        )
    return ratings, n_replicates - len(ratings)
