"""How well a judge agrees with people who voted on the same pairs of answers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from turnout.data.battles import Battles
from turnout.data.split import same_text
from turnout.types import JSON, FloatArray, ModelPair

Interval = tuple[float, float]

_DRAWS_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class Agreement:
    """Judge against votes, each taken as strong, tie or weak. Intervals are 95 %, by a bootstrap over queries."""

    n_votes: int
    n_queries: int
    share: float
    """Of the votes with the judge's result."""
    share_interval: Interval
    kappa: float | None
    """Cohen's kappa: agreement beyond chance, 1 at most. None where all results of both sides are the same."""
    kappa_interval: Interval | None
    n_decided: int
    """Votes for one side where the judge too has a winner."""
    share_decided: float | None
    """Of those, the votes with the judge's winner; None where there are none."""

    def to_json(self) -> dict[str, JSON]:
        """As a JSON object."""
        return {name: getattr(self, name) for name in self.__slots__}

    def text(self) -> str:
        """One line for people."""
        low, high = self.share_interval
        line = f"agrees with {self.share:.1%} [{low:.1%}, {high:.1%}] of {self.n_votes:,} votes"
        if self.kappa is not None and self.kappa_interval is not None:
            line += f", kappa {self.kappa:.3f} [{self.kappa_interval[0]:.3f}, {self.kappa_interval[1]:.3f}]"
        if self.share_decided is not None:
            line += f"; with {self.share_decided:.1%} of the {self.n_decided:,} where both have a winner"
        return line


def agreement(
    judged: Mapping[str, float], votes: Battles, pair: ModelPair, *, n_draws: int = 1000, seed: int = 0
) -> Agreement | None:
    """The agreement of a judge with the votes on the queries that it has judged; None if there are no such votes.

    Args:
        judged: query → strong's share by the judge.
        votes: battles; those between other models are passed over. A query may have several votes.
        pair: strong and weak.
        n_draws: how many times the bootstrap draws queries, with replacement.
        seed: equal seeds give equal intervals.
    """
    share_of = {same_text(query): share for query, share in judged.items()}
    counts: dict[str, FloatArray] = defaultdict(lambda: np.zeros((3, 3)))
    between = votes.between({pair.strong}, {pair.weak}, pair=pair)
    for query, vote in zip(between.queries, between.share_a, strict=True):
        text = same_text(query)
        if text in share_of:
            counts[text][_category(share_of[text]), _category(vote)] += 1
    if not counts:
        return None
    by_query = np.stack(list(counts.values()))  # (n_queries, judge's category, vote's category)
    total = by_query.sum(axis=0)
    shares, kappas = _bootstrapped(by_query, n_draws, seed)
    decided = total[np.ix_([0, 2], [0, 2])]
    kappa = float(_kappa(total[None])[0])
    kappas = kappas[~np.isnan(kappas)]
    return Agreement(
        n_votes=int(total.sum()),
        n_queries=len(by_query),
        share=float(np.trace(total) / total.sum()),
        share_interval=_interval(shares),
        kappa=None if np.isnan(kappa) else kappa,
        kappa_interval=None if np.isnan(kappa) or not len(kappas) else _interval(kappas),
        n_decided=int(decided.sum()),
        share_decided=float(np.trace(decided) / decided.sum()) if decided.sum() else None,
    )


def _category(share: float) -> int:
    """0 for strong, 1 for a tie, 2 for weak."""
    return 0 if share > 0.5 else 1 if share == 0.5 else 2


def _bootstrapped(by_query: FloatArray, n_draws: int, seed: int) -> tuple[FloatArray, FloatArray]:
    """Agreement share and kappa of each draw, shapes (n_draws,)."""
    random = np.random.default_rng(seed)
    n = len(by_query)
    tables = [
        np.tensordot(random.multinomial(n, np.full(n, 1 / n), size=size).astype(float), by_query, axes=1)
        for size in _parts(n_draws)
    ]
    drawn = np.concatenate(tables)
    return np.trace(drawn, axis1=1, axis2=2) / drawn.sum(axis=(1, 2)), _kappa(drawn)


def _parts(n_draws: int) -> Sequence[int]:
    whole, rest = divmod(n_draws, _DRAWS_AT_ONCE)
    return [_DRAWS_AT_ONCE] * whole + ([rest] if rest else [])


def _kappa(tables: FloatArray) -> FloatArray:
    """Cohen's kappa of each table, shape (n,); NaN where chance alone would agree in everything."""
    shares = tables / tables.sum(axis=(1, 2), keepdims=True)
    agreed = np.trace(shares, axis1=1, axis2=2)
    by_chance = (shares.sum(axis=1) * shares.sum(axis=2)).sum(axis=1)
    possible = 1 - by_chance
    # Rounding leaves a trace of a chance that is exactly one.
    kappas = np.full(len(tables), np.nan)
    np.divide(agreed - by_chance, possible, out=kappas, where=possible > 1e-12)
    return kappas


def _interval(values: FloatArray) -> Interval:
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)
