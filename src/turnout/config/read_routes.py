"""Reads [routes.NAME], and the names of models that routes and models fall back on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import cast, get_args

from turnout.config.checks import one_of
from turnout.config.models import ModelConfig
from turnout.config.routes import RouteConfig
from turnout.config.table import Table
from turnout.errors import ConfigError, InvalidValueError
from turnout.query import QueryPolicy
from turnout.types import ModelPair


def read_route(name: str, table: Table, models: Mapping[str, ModelConfig], folder: Path) -> RouteConfig:
    """The route in `[routes.NAME]`; its router's folder is looked for below `folder`."""
    router = table.required_text("router")
    strong = table.required_text("strong")
    weak = table.required_text("weak")
    threshold = table.take("threshold", float)
    strong_fraction = table.take("strong_fraction", float)
    query = table.text("query") or "conversation"
    strip_boilerplate = table.truth("strip_boilerplate", True)
    fallbacks = table.texts("fallbacks", ())
    sticky = table.truth("sticky", True)
    table.finish()
    check_fallbacks(fallbacks, models, table.where)
    one_of(query, get_args(QueryPolicy), f"{table.where}: query")
    for key, model in (("strong", strong), ("weak", weak)):
        one_of(model, models, f"{table.where}: {key}")
    if (threshold is None) == (strong_fraction is None):
        raise ConfigError(
            f"{table.where}: give either threshold or strong_fraction (the share of queries for the strong "
            f"model, in [0, 1]), {'not both' if threshold is not None else 'for example strong_fraction = 0.3'}."
        )
    if strong_fraction is not None and not 0 <= strong_fraction <= 1:
        hint = f" For {strong_fraction:g} % write {strong_fraction / 100:g}." if strong_fraction <= 100 else ""
        raise ConfigError(f"{table.where}: strong_fraction must be in [0, 1], got {strong_fraction:g}.{hint}")
    try:
        pair = ModelPair(strong=strong, weak=weak)
    except InvalidValueError as error:
        raise ConfigError(f"{table.where}: {error}") from error
    in_folder = folder / Path(router).expanduser()
    return RouteConfig(
        name=name,
        router=str(in_folder) if in_folder.exists() else router,
        pair=pair,
        threshold=threshold,
        strong_fraction=strong_fraction,
        query=cast("QueryPolicy", query),
        strip_boilerplate=strip_boilerplate,
        fallbacks=fallbacks,
        sticky=sticky,
    )


def check_fallbacks(names: tuple[str, ...], models: Mapping[str, ModelConfig], where: str) -> None:
    """Every name is that of a model."""
    for name in names:
        one_of(name, models, f"{where}: fallbacks")
