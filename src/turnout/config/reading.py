"""Reads a configuration file, whole."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from turnout.config.read_models import read_model
from turnout.config.read_routes import check_fallbacks, read_route
from turnout.config.read_settings import read_ledger, read_observe, read_server, read_upstream
from turnout.config.table import Table
from turnout.config.whole import Config
from turnout.errors import ConfigError


def load_config(path: str | Path) -> Config:
    """The configuration in a TOML file, checked as far as one can without loading routers or reading secrets.

    Raises:
        ConfigError: names the file, the table and the key, and for an unknown key the nearest known one.
    """
    path = Path(path)
    try:
        text = path.read_bytes().decode("utf-8-sig")  # editors on Windows like to write a byte order mark
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror}).") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text.") from error
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not TOML: {error}.") from error
    try:
        return parse_config(content, folder=path.parent)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def parse_config(content: Mapping[str, Any], *, folder: Path = Path()) -> Config:
    """The configuration in a parsed TOML document; relative paths start at `folder`."""
    table = Table(content, "the top level")
    server = read_server(table.table("server"))
    upstream = read_upstream(table.table("upstream"))
    if "log" in content:
        raise ConfigError("The table [log] is called [ledger].")
    ledger = read_ledger(table.table("ledger"), folder)
    observe = read_observe(table.table("observe"))
    models = {name: read_model(name, part) for name, part in table.tables("models").items()}
    for model in models.values():
        check_fallbacks(model.fallbacks, models, f"[models.{model.name}]")
    routes = {name: read_route(name, part, models, folder) for name, part in table.tables("routes").items()}
    table.finish()
    if server.require_keys and ledger.path is None and ledger.url_env is None:
        raise ConfigError("[server]: require_keys needs a ledger to keep the keys in. Give [ledger] a path.")
    if not models:
        raise ConfigError("There is no model. Add one: [models.NAME] with base_url.")
    if both := sorted(models.keys() & routes.keys()):
        raise ConfigError(f"'{both[0]}' is both a model and a route. Clients ask for either by name: rename one.")
    return Config(models=models, routes=routes, server=server, upstream=upstream, ledger=ledger, observe=observe)
