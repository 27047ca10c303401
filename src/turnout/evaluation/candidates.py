"""From names to replays: fitted routers by folder or name, baselines, and routers yet to be trained."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from turnout import registry
from turnout.artifacts import ROUTER_FILE
from turnout.data.battles import Battles
from turnout.data.split import seen_rows
from turnout.errors import DataError, EmptyDataError, InvalidValueError, UnknownNameError
from turnout.evaluation.footprint import Footprint, measure_footprint
from turnout.evaluation.golden import GoldenSplit, golden_replays, golden_splits, named_for, without_test_queries
from turnout.evaluation.pair_table import PairTable
from turnout.evaluation.replay import Replay
from turnout.routers.base import Router, learns_many_models, predict_for_pair, router_folder, shipped_routers
from turnout.types import JSON, Encoder, ModelPair

BASELINES = ("random", "always-strong", "always-weak", "length")
"""Routers that learn nothing from battles."""

_KNOWN_BY_HEART = 0.99
_SHOWN = 6  # models in an error


@dataclass(frozen=True)
class Unfitted:
    """A router that is yet to be trained, at these settings."""

    name: str
    """The registered one."""
    encoder: Encoder
    """For routers that need one. Every router and seed asks it for the same texts: wrap it in a cache."""
    settings: Mapping[str, JSON] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Training:
    """How routers that are not fitted yet are trained before they are tested on a table."""

    routers: Mapping[str, Unfitted]
    """What it is called in the results → the router."""
    n_labels: int | None = None
    """How many distinct questions of the table each seed trains on; None: none, the battles alone, once."""
    n_seeds: int = 1
    battles: Battles | None = None
    """What routers are trained on besides, or alone; those about the table's own queries are left out."""
    development_seed: int | None = None
    """See `golden_splits`."""

    def splits(self, table: PairTable) -> list[GoldenSplit]:
        """Who trains and is tested on what; see `golden_splits`."""
        if self.n_labels is None:
            return [GoldenSplit.without_labels(table)]
        return golden_splits(table, self.n_labels, self.n_seeds, development_seed=self.development_seed)


@dataclass(frozen=True, eq=False)
class Candidates:
    """Routers replayed over one table, ready to be measured."""

    table: PairTable
    """What they were replayed over: the table that was asked for, less the queries that a fitted router learned from.
    """
    replays: dict[str, list[Replay]]
    described: dict[str, dict[str, JSON]]
    """Router → what it is, for the record."""
    n_seen_left_out: int = 0
    """The table's queries that a fitted router learned from: no router is tested on them."""
    footprints: dict[str, Footprint] = field(default_factory=dict)
    """Router → what it costs, if that was asked for."""
    n_battles_left_out: int = 0
    """Battles that were about the table's own queries."""
    n_of_other_pairs: int = 0
    """Battles between other models, from which routers that learn one pair did not learn."""
    sat_out: tuple[str, ...] = ()
    """Fitted routers that learned from all of the table's queries, or from all but one in a hundred."""


def replay_candidates(
    names: Sequence[str],
    table: PairTable,
    training: Training | None = None,
    *,
    footprints: Collection[str] = (),
    track: Callable[[Sequence[GoldenSplit], str], Iterable[GoldenSplit]] = lambda splits, label: splits,
) -> Candidates:
    """Every router's win rates on a table; those that are not fitted are trained first.

    A fitted router that knows the table's queries by heart sits out, if there are others; what else a fitted router
    has learned from, no router is tested on.

    Args:
        names: folders, shipped routers' names, baselines and, with `training`, what `training.routers` holds.
        table: what they are replayed over.
        training: how to train; with it, fitted routers are tested on each seed's test rows too.
        footprints: the routers of which is measured, too, what they cost to train, to ask and to store.
        track: wraps the splits on which a router is trained, to show progress.

    Raises:
        UnknownNameError: a name is none of these.
        InvalidValueError: a router has to be trained, but there is no `training`; or see `golden_splits`.
        EmptyDataError: the routers learned from every query of the table, or there is nothing to learn from.
        DataError: the battles are about other models, so that a router can learn nothing of the pair from them.
    """
    to_train = {} if training is None else training.routers
    fitted = {name: fitted_router(name, table.pair) for name in names if name not in to_train}
    sat_out = tuple(name for name, router in fitted.items() if _knows_by_heart(router, table))
    if len(sat_out) == len(names):
        sat_out = ()  # then the table without what they have seen is all there is
    fitted = {name: router for name, router in fitted.items() if name not in sat_out}
    whole, table = table, without_seen_queries(table, list(fitted.values()))
    n_seen = len(whole) - len(table)
    described = {name: describe_fitted(name, router, table) for name, router in fitted.items()}
    texts = table.outcomes.queries
    costs = {name: measure_footprint(router, texts) for name, router in fitted.items() if name in footprints}
    if training is None:
        replayed = {name: replay_fitted(router, table) for name, router in fitted.items()}
        return Candidates(table, replayed, described, n_seen, costs, sat_out=sat_out)
    splits = training.splits(table)
    extra = None if training.battles is None else named_for(table.pair, training.battles)
    kept = None if extra is None else without_test_queries(extra, table)
    if to_train and extra is not None and not len(extra):
        raise EmptyDataError("There is no battle to learn from: the data set is empty.")
    if to_train and training.n_labels is None and not kept:
        raise EmptyDataError(f"No battle is left to learn from: all are about the queries of {table.title}.")
    taught = {} if kept is None else {name: _taught(kept, name, to_train[name], table.pair) for name in to_train}
    replays: dict[str, list[Replay]] = {}
    for name in names:
        if name in fitted:
            replays[name] = replay_fitted(fitted[name], table, splits)
        elif name in to_train:
            unfitted = to_train[name]
            make = router_maker(unfitted.name, unfitted.settings, unfitted.encoder)
            tracked = track(splits, f"{name} on {table.title}")
            made: list[tuple[Router, float]] = []
            replays[name] = golden_replays(
                make, table, tracked, extra=taught.get(name), watch=lambda *fit, made=made: made.append(fit)
            )
            if name in footprints:
                train_s = float(np.mean([seconds for _, seconds in made]))
                costs[name] = measure_footprint(made[-1][0], texts, train_s=train_s)
            described[name] = {
                "router": unfitted.name,
                "encoder": unfitted.encoder.identity,
                "settings": dict(unfitted.settings),
            }
    left_out = 0 if extra is None or kept is None else len(extra) - len(kept)
    others = 0 if kept is None else max((len(kept) - len(part) for part in taught.values()), default=0)
    return Candidates(table, replays, described, n_seen, costs, left_out, others, sat_out)


def _taught(battles: Battles, name: str, unfitted: Unfitted, pair: ModelPair) -> Battles:
    """The battles that this router can learn the pair from, told before any router is trained."""
    if len(battles) and not {pair.strong, pair.weak} <= set(battles.models):
        shown = ", ".join(battles.models[:_SHOWN]) + (" …" if len(battles.models) > _SHOWN else "")
        raise DataError(
            f"'{name}' can learn nothing about {pair.strong} and {pair.weak} from these battles, which are between "
            f"{shown}. Measure the pair that they are about, with --pair STRONG,WEAK, or have them teach any pair by "
            "lifting them to strong and weak tiers: turnout data tiers"
        )
    if not len(battles) or learns_many_models(registry.load("router", unfitted.name)):
        return battles
    return battles.for_pair(pair)


def fitted_router(name_or_folder: str, pair: ModelPair) -> Router:
    """A baseline, a shipped router or the router of a folder.

    Raises:
        InvalidValueError: the name is that of a router that has to be trained first.
        UnknownNameError: it is no router's name and no folder.
    """
    if is_fitted(name_or_folder):
        return Router.load(name_or_folder)
    if name_or_folder in BASELINES:
        nothing_to_learn = Battles.from_columns([""], pair.strong, pair.weak, [0.5], pair=pair)
        router: Router = registry.load("router", name_or_folder)().fit(nothing_to_learn)
        return router
    if name_or_folder.partition("@")[0] in registry.names("router"):
        raise InvalidValueError(
            f"'{name_or_folder}' has to be trained first. Give the folder of a trained router, or train it on a part "
            "of the benchmark with --golden-labels N, or on battles with --battles FILE."
        )
    raise UnknownNameError(
        "router folder, shipped router or baseline", name_or_folder, [*shipped_routers(), *BASELINES]
    )


def without_seen_queries(table: PairTable, routers: Sequence[Router]) -> PairTable:
    """The table less the queries that one of these routers is known to have learned from.

    Raises:
        EmptyDataError: none would be left.
    """
    seen = [router.seen_queries_ for router in routers if hasattr(router, "seen_queries_")]
    if not seen:
        return table
    learned = seen_rows(table.outcomes.queries, np.concatenate(seen))
    if learned.all():
        raise EmptyDataError(f"{table.title} holds no query that these routers did not learn from.")
    return table.take(~learned) if learned.any() else table


def _knows_by_heart(router: Router, table: PairTable) -> bool:
    """Whether so much of the table is among what the router learned from that the rest says nothing."""
    if not hasattr(router, "seen_queries_"):
        return False
    return bool(seen_rows(table.outcomes.queries, router.seen_queries_).mean() >= _KNOWN_BY_HEART)


def needs_no_training(name_or_folder: str) -> bool:
    """Whether this is a fitted router or a baseline."""
    return is_fitted(name_or_folder) or name_or_folder in BASELINES


def is_fitted(name_or_folder: str) -> bool:
    """Whether this is a router folder or a shipped router's name."""
    return name_or_folder in shipped_routers() or (Path(name_or_folder) / ROUTER_FILE).exists()


def replay_fitted(router: Router, table: PairTable, splits: Sequence[GoldenSplit] = ()) -> list[Replay]:
    """The win rates of a fitted router on a table; with splits, on each split's test rows."""
    everywhere = Replay.of(router, table)
    return [everywhere.take(split.test, split.seed) for split in splits] if splits else [everywhere]


def router_maker(name: str, settings: Mapping[str, JSON], encoder: Encoder) -> Callable[[int], Router]:
    """Seed → an unfitted router of a registered name, with these settings.

    Routers that need an encoder get this one; those that take a seed get it, unless the settings name one.

    Raises:
        UnknownNameError: no router has this name.
    """
    router_class = registry.load("router", name)

    def make(seed: int) -> Router:
        router: Router = router_class(**arguments_for(router_class, settings, lambda: encoder, seed))
        return router

    return make


def arguments_for(
    router_class: Callable[..., Router], settings: Mapping[str, JSON], encoder: Callable[[], Encoder], seed: int
) -> dict[str, Any]:
    """The settings, with the encoder and the seed for routers that take them, unless the settings name them."""
    parameters = inspect.signature(router_class).parameters
    arguments = dict(settings)
    if "encoder" in parameters and "encoder" not in arguments:
        arguments["encoder"] = encoder()
    if "seed" in parameters:
        arguments.setdefault("seed", seed)
    return arguments


def describe_fitted(name_or_folder: str, router: Router, table: PairTable) -> dict[str, JSON]:
    """What a fitted router is, for the record, and which pair its win rates are about."""
    scored = predict_for_pair(router, [], table.pair)
    described: dict[str, JSON] = {
        "router": router.name,
        "trained_for": str(router.pair_),
        "scored_pair": str(scored.pair),
    }
    if is_fitted(name_or_folder):
        described["sha256"] = folder_sha256(router_folder(name_or_folder))
    return described


def folder_sha256(folder: Path) -> str:
    """Of router.json, which itself holds the hash of the weights."""
    return hashlib.sha256((folder / ROUTER_FILE).read_bytes()).hexdigest()
