"""A small table of outcomes with something to learn, and a router that learns it."""

from collections.abc import Sequence
from typing import Self

import numpy as np

from turnout.data.battles import Battles
from turnout.data.outcomes import Outcomes
from turnout.routers.base import Router, check_fitted, check_trainable
from turnout.types import FloatArray, ModelPair

PAIR = ModelPair("gpt-4-1106-preview", "mixtral-8x7b")


class FirstWord(Router):
    """Win rate as strong's mean share among the battles whose query begins with the same word."""

    name = "first-word"

    def __init__(self, *, prior: float = 0.5, seed: int = 0) -> None:
        self.prior = prior
        self.seed = seed

    def fit(self, battles: Battles) -> Self:
        self.pair_ = check_trainable(battles)
        self.trained_on_ = list(battles.queries)
        shares: dict[str, list[float]] = {}
        for query, share in zip(battles.queries, battles.strong_share(), strict=True):
            shares.setdefault(query.split()[0], []).append(float(share))
        self.share_ = {word: sum(values) / len(values) for word, values in shares.items()}
        return self

    def predict_win_rate(self, queries: Sequence[str]) -> FloatArray:
        check_fitted(self, "share_")
        return np.array([self.share_.get(query.split()[0], self.prior) for query in queries], dtype=np.float64)


def make_outcomes(n: int = 240) -> Outcomes:
    """Strong wins 'hard' queries, both are right on 'easy' ones; every eleventh is the other way round."""
    kind = ["hard" if row % 3 == 0 else "easy" for row in range(n)]
    odd = [row % 11 == 0 for row in range(n)]
    return Outcomes.from_columns(
        [f"{word} question {row // 2}" for row, word in enumerate(kind)],
        {
            PAIR.strong: [0.0 if o and k == "easy" else 1.0 for k, o in zip(kind, odd, strict=True)],
            PAIR.weak: [float(k == "easy" or o) for k, o in zip(kind, odd, strict=True)],
        },
        source="made-up",
    )
