"""From names to replays: fitted routers by folder or name, baselines, and routers yet to be trained."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from turnout import registry
from turnout.artifacts import ROUTER_FILE
from turnout.data.battles import Battles
from turnout.data.split import seen_rows
from turnout.encoders.cache import CachedEncoder
from turnout.errors import EmptyDataError, InvalidValueError, UnknownNameError
from turnout.evaluation.footprint import Footprint, measure_footprint
from turnout.evaluation.golden import GoldenSplit, golden_replays, golden_splits, named_for, without_test_queries
from turnout.evaluation.pair_table import PairTable
from turnout.evaluation.replay import Replay
from turnout.routers.base import Router, predict_for_pair, router_folder, shipped_routers
from turnout.types import JSON, Encoder, ModelPair

BASELINES = ("random", "always-strong", "always-weak")
"""Routers that learn nothing from battles."""


@dataclass(frozen=True, eq=False)
class GoldenTraining:
    """How routers that are not fitted yet are trained on a part of the table they are tested on."""

    n_labels: int
    """How many distinct questions each seed trains on."""
    n_seeds: int
    encoder: Encoder
    """For all routers that need one."""
    settings: Mapping[str, Mapping[str, JSON]] = field(default_factory=dict)
    """Router → its settings."""
    battles: Battles | None = None
    """What routers are trained on besides; battles about the table's own queries are left out."""
    development_seed: int | None = None
    """See `golden_splits`."""


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


def replay_candidates(
    names: Sequence[str],
    table: PairTable,
    training: GoldenTraining | None = None,
    *,
    footprints: bool = False,
    track: Callable[[Sequence[GoldenSplit], str], Iterable[GoldenSplit]] = lambda splits, label: splits,
) -> Candidates:
    """Every router's win rates on a table; those that are not fitted are trained first.

    Args:
        names: folders, shipped routers' names, baselines and, with `training`, registered routers' names.
        table: what they are replayed over.
        training: how to train; with it, fitted routers are tested on each seed's test rows too.
        footprints: measure also what each router costs to train, to ask and to store.
        track: wraps the splits on which a router is trained, to show progress.

    Raises:
        UnknownNameError: a name is none of these.
        InvalidValueError: a router has to be trained, but there is no `training`; or see `golden_splits`.
        EmptyDataError: the routers learned from every query of the table.
    """
    fitted = {name: fitted_router(name, table.pair) for name in names if training is None or needs_no_training(name)}
    whole, table = table, without_seen_queries(table, list(fitted.values()))
    n_seen = len(whole) - len(table)
    described = {name: describe_fitted(name, router, table) for name, router in fitted.items()}
    texts = table.outcomes.queries
    costs = {name: measure_footprint(router, texts) for name, router in fitted.items()} if footprints else {}
    if training is None:
        replayed = {name: replay_fitted(router, table) for name, router in fitted.items()}
        return Candidates(table, replayed, described, n_seen, costs)
    splits = golden_splits(table, training.n_labels, training.n_seeds, development_seed=training.development_seed)
    extra = None if training.battles is None else named_for(table.pair, training.battles)
    kept = None if extra is None else without_test_queries(extra, table)
    # All seeds ask for the same texts: with room for all of them, each is encoded once.
    n_texts = len(table) + (0 if kept is None else len(kept))
    encoder = CachedEncoder(training.encoder, capacity=n_texts)
    replays: dict[str, list[Replay]] = {}
    for name in names:
        if name in fitted:
            replays[name] = replay_fitted(fitted[name], table, splits)
        else:
            settings = training.settings.get(name, {})
            make = router_maker(name, settings, encoder)
            tracked = track(splits, f"{name} on {table.title}")
            made: list[tuple[Router, float]] = []
            replays[name] = golden_replays(
                make, table, tracked, extra=kept, watch=lambda *fit, made=made: made.append(fit)
            )
            if footprints:
                train_s = float(np.mean([seconds for _, seconds in made]))
                costs[name] = measure_footprint(made[-1][0], texts, train_s=train_s)
            described[name] = {"router": name, "encoder": encoder.identity, "settings": dict(settings)}
    left_out = 0 if extra is None or kept is None else len(extra) - len(kept)
    return Candidates(table, replays, described, n_seen, costs, left_out)


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
    if name_or_folder in registry.names("router"):
        raise InvalidValueError(
            f"'{name_or_folder}' has to be trained first. Give the folder of a trained router, or train it on a part "
            "of the benchmark with --golden-labels N."
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


def needs_no_training(name_or_folder: str) -> bool:
    """Whether this is a fitted router or a baseline."""
    return is_fitted(name_or_folder) or name_or_folder in BASELINES


def is_fitted(name_or_folder: str) -> bool:
    """Whether this is a router folder or a shipped router's name."""
    return name_or_folder in shipped_routers() or (Path(name_or_folder) / ROUTER_FILE).exists()


def replay_fitted(router: Router, table: PairTable, splits: Sequence[GoldenSplit] = ()) -> list[Replay]:
    """The win rates of a fitted router on a table; with splits, on each split's test rows."""
    everywhere = Replay.of_all(predict_for_pair(router, table.outcomes.queries, table.pair).win_rates)
    if not splits:
        return [everywhere]
    return [Replay(everywhere.win_rates[split.test], split.test, split.seed) for split in splits]


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
