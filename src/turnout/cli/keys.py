"""`turnout keys`: who may use the gateway, and how much."""

from __future__ import annotations

import json
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from turnout.cli.ledger_place import ledger_database, ledger_options
from turnout.errors import UnknownNameError
from turnout.types import JSON

if TYPE_CHECKING:
    from turnout.gateway.ledger.database import Connection
    from turnout.gateway.limits.keys import ClientKey


@click.group(epilog="Example: turnout keys create --name ann --usd-per-day 5")
def keys() -> None:
    """Make, list and revoke the keys that clients of the gateway send."""


@keys.command(epilog="Example: turnout keys create --name ann --route auto --usd-per-month 50 --at-limit weak")
@ledger_options
@click.option("--name", help="Whose it is, for your own lists.")
@click.option("--route", "routes", multiple=True, help="A model name it may ask for; give as many as needed.")
@click.option("--requests-per-minute", type=int, help="At most so many requests in a minute of the clock.")
@click.option("--tokens-per-minute", type=int, help="At most so many tokens, read and written together.")
@click.option("--usd-per-day", type=float, help="At most so many US dollars a day (UTC).")
@click.option("--usd-per-month", type=float, help="At most so many US dollars a month (UTC).")
@click.option(
    "--at-limit",
    type=click.Choice(["reject", "weak"]),
    default="reject",
    show_default=True,
    help="When the dollars are used up: refuse (429), or go on with the route's weak model.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def create(
    config_path: Path,
    ledger_place: str | None,
    name: str | None,
    routes: tuple[str, ...],
    requests_per_minute: int | None,
    tokens_per_minute: int | None,
    usd_per_day: float | None,
    usd_per_month: float | None,
    at_limit: str,
    as_json: bool,
) -> None:
    """Make a key and print it. It cannot be shown again: the ledger keeps a hash of it.

    A running gateway knows it within a second. With its first key a gateway asks everyone for one.
    """
    from typing import cast

    from turnout.gateway.ledger.schema import open_ledger
    from turnout.gateway.limits.keys import AtLimit, Limits, create_key

    for route in routes:
        if ledger_place is None:
            _check_route(route, config_path)
    limits = Limits(requests_per_minute, tokens_per_minute, usd_per_day, usd_per_month, cast("AtLimit", at_limit))
    with closing(open_ledger(ledger_database(config_path, ledger_place), create=True)) as connection:
        key, text = create_key(connection, name=name, routes=routes, limits=limits)
    if as_json:
        click.echo(json.dumps({"key": text, **_as_object(key)}))
        return
    click.echo(text)
    click.echo(f"Key {key.id} is made. This is the only time it is shown.", err=True)


@keys.command("list", epilog="Example: turnout keys list")
@ledger_options
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object for each key, one a line.")
def list_(config_path: Path, ledger_place: str | None, as_json: bool) -> None:
    """List all keys with their limits and what they have used, revoked ones included."""
    from turnout.gateway.ledger.schema import open_ledger
    from turnout.gateway.limits.keys import list_keys

    with closing(open_ledger(ledger_database(config_path, ledger_place))) as connection:
        found = [(key, _used(connection, key)) for key in list_keys(connection)]
    if as_json:
        for key, used in found:
            click.echo(json.dumps({**_as_object(key), **{f"used_{kind}": amount for kind, amount in used.items()}}))
        return
    if not found:
        click.echo("There is no key: the gateway lets everyone in. Make one with: turnout keys create", err=True)
    for key, used in found:
        click.echo(_as_text(key, used))


@keys.command(epilog="Example: turnout keys revoke 3f9a1c05b7d2")
@click.argument("id")
@ledger_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def revoke(id: str, config_path: Path, ledger_place: str | None, as_json: bool) -> None:
    """Shut out the key with this ID, for good. Running gateways know within a second."""
    from turnout.gateway.ledger.schema import open_ledger
    from turnout.gateway.limits.keys import revoke_key

    with closing(open_ledger(ledger_database(config_path, ledger_place))) as connection:
        key = revoke_key(connection, id)
    if as_json:
        click.echo(json.dumps({"id": key.id, "revoked": key.revoked}))
    click.echo(f"Key {key.id} is revoked.", err=True)


def _check_route(name: str, config_path: Path) -> None:
    from turnout.config import load_config

    config = load_config(config_path)
    known = [*config.routes, *config.models]
    if name not in known and not name.startswith("router-"):
        raise UnknownNameError("route or model in this configuration", name, known)


def _used(connection: Connection, key: ClientKey) -> dict[str, float]:
    """What is used of each limit in its present window; calls under way count with their worst case."""
    from typing import get_args

    from turnout.gateway.limits.leases import Kind, used_in_window

    return {
        kind: used_in_window(connection, key.id, kind, now=time.time())
        for kind in get_args(Kind)
        if getattr(key.limits, kind) is not None
    }


def _as_object(key: ClientKey) -> dict[str, JSON]:
    limits = key.limits
    return {
        "id": key.id,
        "name": key.name,
        "created": key.created,
        "revoked": key.revoked,
        "routes": None if key.routes is None else sorted(key.routes),
        "requests_per_minute": limits.requests_per_minute,
        "tokens_per_minute": limits.tokens_per_minute,
        "usd_per_day": limits.usd_per_day,
        "usd_per_month": limits.usd_per_month,
        "at_limit": limits.at_limit,
    }


def _as_text(key: ClientKey, used: dict[str, float]) -> str:
    parts = [key.id, key.name or "-", f"made {_day(key.created)}"]
    if key.revoked is not None:
        parts.append(f"REVOKED {_day(key.revoked)}")
    if key.routes is not None:
        parts.append(f"routes {', '.join(sorted(key.routes))}")
    limits = key.limits
    if limits.requests_per_minute is not None:
        parts.append(f"{limits.requests_per_minute:,} requests/minute")
    if limits.tokens_per_minute is not None:
        parts.append(f"{limits.tokens_per_minute:,} tokens/minute")
    if limits.usd_per_day is not None:
        parts.append(f"${used['usd_per_day']:.4f} of ${limits.usd_per_day:.2f} today")
    if limits.usd_per_month is not None:
        parts.append(f"${used['usd_per_month']:.4f} of ${limits.usd_per_month:.2f} this month")
    if limits.usd_per_day is not None or limits.usd_per_month is not None:
        parts.append("then weak only" if limits.at_limit == "weak" else "then refused")
    return "  ".join(parts)


def _day(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d")
