"""Turnout as the candidate: its configuration with two priced models, its command, and a client's key with limits."""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path

from turnout.gateway.ledger.schema import open_ledger
from turnout.gateway.ledger.sqlite import SqliteDatabase
from turnout.gateway.limits.keys import Limits, create_key

PRICES = {"strong": (10.0, 30.0), "weak": (0.24, 0.24)}
"""US dollars a million tokens read and written."""
LEDGER = '[ledger]\npath = "ledger.sqlite3"\nquery_text = "full"\n'


def configuration(
    router: str,
    *,
    port: int,
    providers: dict[str, str],
    operating_point: str = "strong_fraction = 0.5",
    server: str = "",
    sections: str = "",
) -> str:
    """The text of turnout.toml.

    Args:
        router: of the route `auto`: a folder, or a shipped router's name.
        port: on loopback.
        providers: `strong` and `weak` → the address of each.
        operating_point: of the route; more of its lines may follow.
        server: more lines of [server].
        sections: more sections, such as LEDGER.
    """
    models = "".join(
        f'[models.{name}]\nbase_url = "{address}"\nusd_per_million_input_tokens = {PRICES[name][0]}\n'
        f"usd_per_million_output_tokens = {PRICES[name][1]}\n"
        for name, address in providers.items()
    )
    route = f'[routes.auto]\nrouter = "{router}"\nstrong = "strong"\nweak = "weak"\n{operating_point}\n'
    return f"[server]\nport = {port}\n{server}\n{sections}\n{models}{route}"


def serve(config: Path, *flags: str) -> list[str]:
    """The command `turnout serve` with this configuration, in this Python."""
    return [sys.executable, "-c", "from turnout.cli import main; main()", "serve", "--config", str(config), *flags]


def limited_key(ledger: Path) -> str:
    """A client's key with a limit of every kind, none of which is reached."""
    limits = Limits(10**9, 10**12, 1e6, 1e6)
    with closing(open_ledger(SqliteDatabase(ledger), create=True)) as connection:
        return create_key(connection, limits=limits)[1]
