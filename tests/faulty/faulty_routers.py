"""A sound router, and as many with one fault each: what a contract must tell apart."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from turnout.data.battles import Battles
from turnout.errors import UnknownNameError
from turnout.routers.base import Router, check_fitted, check_trainable
from turnout.types import Encoder, FloatArray, ModelPair, check_queries


class Sound(Router):
    """Win rate as the mean share among the battles whose first word falls into the same of 64 buckets."""

    name = "sound"

    def __init__(self, *, prior: float = 0.5, seed: int = 0) -> None:
        self.prior = prior
        self.seed = seed

    def fit(self, battles: Battles) -> Self:
        pair = check_trainable(battles)
        shares = battles.strong_share()
        buckets = self.buckets(battles.queries)
        n = np.bincount(buckets, minlength=64)
        self.share_ = np.where(n > 0, np.bincount(buckets, weights=shares, minlength=64) / np.maximum(n, 1), self.prior)
        self.pair_ = pair
        return self

    def predict_win_rate(self, queries: Sequence[str]) -> FloatArray:
        check_fitted(self, "share_")
        check_queries(queries)
        return self.share_[self.buckets(queries)].astype(np.float64)

    def buckets(self, queries: Sequence[str]) -> np.ndarray[Any, Any]:
        return np.array([self.bucket("".join(query.split()[:1])) for query in queries], dtype=np.int64)

    def bucket(self, word: str) -> int:
        return zlib.crc32(word.encode(errors="surrogatepass")) % 64


class ChangesASetting(Sound):
    def __init__(self, *, prior: float = 0.5) -> None:
        self.prior = str(prior)


class LearnsInInit(Sound):
    def __init__(self) -> None:
        self.prior = 0.5
        self.pair_ = ModelPair("big", "small")


class TakesAnything(Sound):
    def __init__(self, **settings: Any) -> None:
        self.settings = settings


class AnswersUnfitted(Sound):
    def predict_win_rate(self, queries: Sequence[str]) -> FloatArray:
        return super().predict_win_rate(queries) if hasattr(self, "share_") else np.full(len(queries), 0.5)


class LearnsFromNothing(Sound):
    def fit(self, battles: Battles) -> Self:
        if not len(battles):
            self.pair_, self.share_ = battles.pair, np.full(64, self.prior)
            return self
        return super().fit(battles)


class GuessesThePair(Sound):
    def fit(self, battles: Battles) -> Self:
        return super().fit(battles.with_pair(battles.pair or ModelPair("big", "small")))


class ReturnsNothing(Sound):
    def fit(self, battles: Battles) -> None:
        super().fit(battles)


class KeepsAnotherPair(Sound):
    def fit(self, battles: Battles) -> Self:
        super().fit(battles)
        self.pair_ = ModelPair("other", "small")
        return self


class FitsItsSettings(Sound):
    def fit(self, battles: Battles) -> Self:
        super().fit(battles)
        self.prior = float(self.share_.mean())
        return self


class SortsTheBattles(Sound):
    def fit(self, battles: Battles) -> Self:
        super().fit(battles)
        battles.queries.sort()
        return self


class ClipsTheWeights(Sound):
    def fit(self, battles: Battles) -> Self:
        np.minimum(battles.weight, 1.0, out=battles.weight)
        return super().fit(battles)


class TakesOneText(Sound):
    def predict_win_rate(self, queries: Sequence[str]) -> FloatArray:
        return super().predict_win_rate(list(queries))


class GivesPerCent(Sound):
    def predict_win_rate(self, queries: Sequence[str]) -> FloatArray:
        return 100 * super().predict_win_rate(queries)


class GivesNaN(Sound):
    def predict_win_rate(self, queries: Sequence[str]) -> FloatArray:
        win_rates = super().predict_win_rate(queries)
        win_rates[[query == "" for query in queries]] = np.nan
        return win_rates


class GivesAColumn(Sound):
    def predict_win_rate(self, queries: Sequence[str]) -> FloatArray:
        return super().predict_win_rate(queries)[:, np.newaxis]


class GivesHalfPrecision(Sound):
    def predict_win_rate(self, queries: Sequence[str]) -> Any:
        return super().predict_win_rate(queries).astype(np.float32)


class GivesAList(Sound):
    def predict_win_rate(self, queries: Sequence[str]) -> Any:
        return super().predict_win_rate(queries).tolist()


class SortsTheQueries(Sound):
    def predict_win_rate(self, queries: Sequence[str]) -> FloatArray:
        win_rates = super().predict_win_rate(queries)
        if isinstance(queries, list):
            queries.sort()
        return win_rates


class LooksAtTheBatch(Sound):
    def predict_win_rate(self, queries: Sequence[str]) -> FloatArray:
        win_rates = super().predict_win_rate(queries)
        return np.clip(win_rates - win_rates.mean() + 0.5, 0, 1) if len(queries) > 1 else win_rates


class RemembersTheOrder(Sound):
    def predict_win_rate(self, queries: Sequence[str]) -> FloatArray:
        return super().predict_win_rate(queries) * 0.99 ** np.arange(len(queries))


class IgnoresTheSeed(Sound):
    def fit(self, battles: Battles) -> Self:
        super().fit(battles)
        self.share_ = np.clip(self.share_ + np.random.default_rng().normal(0, 0.01, 64), 0, 1)
        return self


class AddsToWhatItKnew(Sound):
    def fit(self, battles: Battles) -> Self:
        before = getattr(self, "share_", None)
        super().fit(battles)
        if before is not None:
            self.share_ = (self.share_ + before**2) / 2
        return self


class ForgetsWhenSaved(Sound):
    def fit(self, battles: Battles) -> Self:
        super().fit(battles)
        self._offset = 0.1
        return self

    def predict_win_rate(self, queries: Sequence[str]) -> FloatArray:
        return 0.8 * super().predict_win_rate(queries) + getattr(self, "_offset", 0.0)


class SavesRounded(Sound):
    def fit(self, battles: Battles) -> Self:
        super().fit(battles)
        self.share_ = self.share_ * 0.9
        return self

    def _learned(self) -> Any:
        arrays, learned = super()._learned()
        return {name: array.astype(np.float16) for name, array in arrays.items()}, learned


class DependsOnTheProcess(Sound):
    def bucket(self, word: str) -> int:
        return hash(word) % 64


class NeedsAWord(Sound):
    def buckets(self, queries: Sequence[str]) -> np.ndarray[Any, Any]:
        return np.array([self.bucket(query.split()[0]) for query in queries], dtype=np.int64)


class NeedsUnicode(Sound):
    def bucket(self, word: str) -> int:
        return zlib.crc32(word.encode()) % 64


class NeedsWinners(Sound):
    def fit(self, battles: Battles) -> Self:
        if len(set(battles.strong_share())) == 1:
            raise ZeroDivisionError("no variance")
        return super().fit(battles)


class HasAnEncoder(Sound):
    """Sound, too."""

    name = "has-an-encoder"

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder
        self.prior = 0.5


class Judges(Sound):
    """Sound, too: any pair's win rate is 0.5 plus the difference of the models' places in the alphabet."""

    name = "judges"

    def fit(self, battles: Battles) -> Self:
        self.pair_ = check_trainable(battles)
        self.models_ = list(battles.models)
        return self

    def predict_win_rate(self, queries: Sequence[str], *, pair: ModelPair | None = None) -> FloatArray:
        check_fitted(self, "models_")
        check_queries(queries)
        return np.full(len(queries), self.of_pair(pair or self.pair_))

    def of_pair(self, pair: ModelPair) -> float:
        for name in (pair.strong, pair.weak):
            if name not in self.models_:
                raise UnknownNameError("model", name, self.models_)
        return 0.5 + (self.models_.index(pair.weak) - self.models_.index(pair.strong)) / 10


class FavoursTheFirst(Judges):
    def of_pair(self, pair: ModelPair) -> float:
        return min(super().of_pair(pair) + 0.1, 1.0)


class KnowsEverybody(Judges):
    def of_pair(self, pair: ModelPair) -> float:
        return super().of_pair(pair) if {pair.strong, pair.weak} <= set(self.models_) else 0.5


class ForgetsAModel(Judges):
    def fit(self, battles: Battles) -> Self:
        super().fit(battles)
        self.models_ = [self.pair_.strong, self.pair_.weak]
        return self


CLASSES = {
    router_class.__name__: router_class
    for router_class in list(globals().values())
    if isinstance(router_class, type) and issubclass(router_class, Router) and router_class is not Router
}
for name, router_class in CLASSES.items():
    router_class.name = name
