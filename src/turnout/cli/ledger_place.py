"""`--config` and `--ledger`: where the gateway's ledger is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from turnout.errors import ConfigError

if TYPE_CHECKING:
    from turnout.gateway.ledger.database import Database

Command = Callable[..., Any]

DEFAULT_CONFIG = Path("turnout.toml")


def ledger_options(command: Command) -> Command:
    """The options that say where the ledger is, as `config_path` and `ledger_place`."""
    command = click.option(
        "--ledger", "ledger_place", metavar="PLACE", help="The ledger itself: a SQLite file or a postgresql:// URL."
    )(command)
    return click.option(
        "--config",
        "config_path",
        type=click.Path(path_type=Path),
        default=DEFAULT_CONFIG,
        show_default=True,
        help="The gateway's configuration, which says where its ledger is.",
    )(command)


def ledger_database(config_path: Path, ledger_place: str | None) -> Database:
    """The database that the options name.

    Raises:
        ConfigError: the configuration cannot be read, or keeps no ledger.
    """
    from turnout.config import load_config
    from turnout.gateway.ledger.place import open_database

    if ledger_place is not None:
        return open_database(ledger_place)
    place = load_config(config_path).ledger.place()
    if place is None:
        raise ConfigError(f"{config_path} keeps no ledger. Give [ledger] a path, or name one with --ledger.")
    return open_database(place)
