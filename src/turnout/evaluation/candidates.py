"""From names to replays: fitted routers by folder or name, baselines, and routers yet to be trained."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from turnout import registry
from turnout.artifacts import ROUTER_FILE
from turnout.data.battles import Battles
from turnout.errors import InvalidValueError, UnknownNameError
from turnout.evaluation.golden import GoldenSplit
from turnout.evaluation.pair_table import PairTable
from turnout.evaluation.replay import Replay
from turnout.routers.base import Router, predict_for_pair, router_folder, shipped_routers
from turnout.types import JSON, Encoder, ModelPair

BASELINES = ("random", "always-strong", "always-weak")
"""Routers that learn nothing from battles."""


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
    parameters = inspect.signature(router_class).parameters

    def make(seed: int) -> Router:
        arguments = dict(settings)
        if "encoder" in parameters:
            arguments.setdefault("encoder", encoder)
        if "seed" in parameters:
            arguments.setdefault("seed", seed)
        router: Router = router_class(**arguments)
        return router

    return make


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
