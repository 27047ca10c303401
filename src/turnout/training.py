"""From battles to a router that can be trusted: fit it, measure it on queries it has not seen, calibrate it there.

What is written down is about the very router that is saved: it is not fitted again after it was measured.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from turnout._version import __version__
from turnout.calibration import Calibration
from turnout.data.battles import Battles
from turnout.data.distinct_queries import DistinctQueries
from turnout.data.split import fingerprints, same_text, seen_rows, split_rows
from turnout.errors import EmptyDataError, InvalidValueError
from turnout.evaluation.bootstrap import Interval, bootstrap
from turnout.evaluation.metrics import apgr
from turnout.routers.base import Router, check_trainable, describe_encoder, settings_of
from turnout.types import JSON, FloatArray, IntArray, ModelPair

_LEAST_PROBABILITY = 1e-6  # a win rate of exactly 0 or 1 that is wrong costs much, not infinitely much


@dataclass(frozen=True)
class HeldOut:
    """What a router is worth on queries that it was not trained on."""

    n_queries: int
    log_loss: float
    """Mean cross-entropy of strong's share under the win rate, in nats; lower is better."""
    log_loss_constant: float
    """The same for the training battles' mean share, whatever the query."""
    apgr: float | None
    """Area under PGR, where each model's share of the battle is its score; None where strong is not better there."""
    apgr_interval: Interval | None
    """95 %, over queries."""

    def to_json(self) -> dict[str, JSON]:
        """As a JSON object."""
        interval = self.apgr_interval
        return {
            "n_queries": self.n_queries,
            "log_loss": self.log_loss,
            "log_loss_constant": self.log_loss_constant,
            "apgr": self.apgr,
            "apgr_interval": None if interval is None else [interval.low, interval.high],
        }


@dataclass(frozen=True, eq=False)
class TrainedRouter:
    """A fitted router, and what is known about it."""

    router: Router
    n_battles: int
    """How many battles it learned from."""
    n_queries: int
    """How many distinct queries these are about."""
    sources: Mapping[str, int]
    """Source → battles learned from."""
    held_out: HeldOut | None
    calibration: Calibration | None
    facts: Mapping[str, JSON] = field(default_factory=dict)
    """Where the battles come from, the command, and whatever else the record should hold."""

    def to_json(self) -> dict[str, JSON]:
        """As an object for the router's folder."""
        return {
            "trained_on": {"battles": self.n_battles, "queries": self.n_queries, "sources": dict(self.sources)},
            "held_out": None if self.held_out is None else self.held_out.to_json(),
            **self.facts,
        }

    def save(self, folder: str | Path) -> None:
        """Write the router folder, with its calibration and its card, whole or not at all."""
        calibration = None if self.calibration is None else self.calibration.to_json()
        self.router.save(folder, card=self.card(), calibration=calibration, extra=self.to_json())

    def card(self) -> str:
        """What the router was trained on and what it is worth, in Markdown."""
        return "\n".join(_card(self)) + "\n"


def train(
    router: Router,
    battles: Battles,
    *,
    holdout: float = 0.1,
    calibration_queries: Sequence[str] | None = None,
    calibration_data: str = "the queries given",
    seed: int = 0,
    seen_before: IntArray | None = None,
    fit_arguments: Mapping[str, Any] | None = None,
    facts: Mapping[str, JSON] | None = None,
) -> TrainedRouter:
    """Fit a router on most of the battles, measure and calibrate it on the others.

    Args:
        router: not fitted yet.
        battles: their pair is settled (`turnout.routers.base.for_training`).
        holdout: the share of distinct queries that the router does not learn from, in [0, 1), every source in
            proportion. With 0 nothing is measured.
        calibration_queries: queries to calibrate on, like those that will come; by default the held-out ones.
        calibration_data: which queries these are, for the record.
        seed: of the split.
        seen_before: fingerprints of queries that the router knows from elsewhere, such as those of the router that it
            starts from. None of them is held out, and no evaluation will test the new router on them either.
        fit_arguments: passed on to the router's `fit`, such as `progress`.
        facts: for the record.

    Raises:
        EmptyDataError: there is no battle to learn from.
        InvalidValueError: holdout is outside [0, 1), or the pair is not settled.
    """
    pair = check_trainable(battles)
    if not 0 <= holdout < 1:
        hint = f" For {holdout:g} % write {holdout / 100:g}." if 1 < holdout <= 100 else ""
        raise InvalidValueError(f"holdout must be in [0, 1), got {holdout:g}.{hint}")
    learned, kept_back = battles, battles.take([])
    if holdout:
        rows = split_rows(battles.queries, [1 - holdout, holdout], source=battles.source, seed=seed)
        kept = np.zeros(len(battles), dtype=bool)
        kept[rows[1]] = True
        if seen_before is not None:
            kept &= ~seen_rows(battles.queries, seen_before)
        learned, kept_back = battles.take(~kept), battles.take(kept)
        unseen = "" if seen_before is None else " that the router has not seen before"
        if not len(learned) or not len(kept_back):
            raise EmptyDataError(
                f"{len({same_text(query) for query in battles.queries})} distinct queries are too few to hold out "
                f"{holdout:.0%} of them{unseen}. Give more battles, or --holdout 0."
            )
    router.fit(learned, **(fit_arguments or {}))
    own = fingerprints(learned.queries)
    router.seen_queries_ = own if seen_before is None else np.union1d(own, seen_before)
    held_out = _measure(router, kept_back, learned, pair, seed)
    if calibration_queries is None and len(kept_back):
        calibration_queries, calibration_data = kept_back.queries, "held-out queries of the training data"
    calibration = None
    if calibration_queries is not None:
        rates = router.predict_win_rate(calibration_queries)
        calibration = Calibration.from_win_rates(rates, data=calibration_data)
    counted = {name: learned.source.count(name) for name in sorted(set(learned.source))}
    return TrainedRouter(router, len(learned), len(own), counted, held_out, calibration, facts or {})


def _measure(router: Router, kept_back: Battles, learned: Battles, pair: ModelPair, seed: int) -> HeldOut | None:
    between = kept_back.between({pair.strong}, {pair.weak}, pair=pair)
    if not len(between):
        return None
    tested = DistinctQueries.of(between)
    share, rates = tested.shares, router.predict_win_rate(tested.texts)
    learned_share = learned.between({pair.strong}, {pair.weak}, pair=pair).strong_share()
    value, interval = None, None
    if share.mean() > 0.5:
        value = apgr(rates, share, 1 - share)
        interval = Interval.of(bootstrap(rates, share, 1 - share, seed=seed).apgr)
    return HeldOut(
        n_queries=len(tested),
        log_loss=_log_loss(rates, share),
        log_loss_constant=_log_loss(np.full(len(share), learned_share.mean() if len(learned_share) else 0.5), share),
        apgr=value,
        apgr_interval=interval,
    )


def _log_loss(rates: FloatArray, share: FloatArray) -> float:
    known = np.clip(np.where(np.isnan(rates), 1.0, rates), _LEAST_PROBABILITY, 1 - _LEAST_PROBABILITY)
    return float(-(share * np.log(known) + (1 - share) * np.log1p(-known)).mean())


def _card(trained: TrainedRouter) -> list[str]:
    router, held_out = trained.router, trained.held_out
    encoder = getattr(router, "encoder", None)
    lines = [
        f"# A router: `{router.name}` for {router.pair_.strong} (strong) and {router.pair_.weak} (weak)",
        "",
        f"Made by Turnout {__version__}.",
        "",
        f"**Trained on** {trained.n_battles:,} battles about {trained.n_queries:,} distinct queries: "
        + ", ".join(f"{name or 'without a source'} {count:,}" for name, count in trained.sources.items())
        + ".",
        "",
        "**Settings.** " + ", ".join(f"{k}={v!r}" for k, v in settings_of(router).items() if k != "encoder"),
    ]
    if encoder is not None:
        lines += ["", f"**Encoder.** `{describe_encoder(encoder)['identity']}`"]
    lines += ["", "**Measured** " + _measured(held_out)]
    if trained.calibration is not None:
        lines += ["", f"**Calibrated** on {trained.calibration.n_queries:,} queries: {trained.calibration.data}."]
    if command := trained.facts.get("command"):
        lines += ["", "**Command**", "", "```", " ".join(command), "```"]
    return lines


def _measured(held_out: HeldOut | None) -> str:
    if held_out is None:
        return "on nothing: no battle of the pair was held out."
    found = (
        f"on {held_out.n_queries:,} queries that it did not learn from: log loss {held_out.log_loss:.4f} "
        f"(a constant win rate has {held_out.log_loss_constant:.4f}); "
    )
    if held_out.apgr is None or held_out.apgr_interval is None:
        return found + "the strong model is not better than the weak one there, so there is no APGR."
    low, high = held_out.apgr_interval.low, held_out.apgr_interval.high
    return found + f"APGR {held_out.apgr:.3f} (95 % interval {low:.3f} to {high:.3f}; random routing has 0.5)."


def takes_argument(router: Router, name: str) -> bool:
    """Whether the router's `fit` takes this argument besides the battles."""
    return name in inspect.signature(router.fit).parameters
