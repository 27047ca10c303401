"""`turnout data pull`: data sets of others, into the user's folder."""

from __future__ import annotations

import json
import sys

import click

from turnout.data.remote_catalogue import CATALOGUE, remote_set
from turnout.data.remote_sets import RemoteSet, describe


@click.command(epilog="Example: turnout data pull arena-55k")
@click.argument("name", required=False)
@click.option("--list", "listing", is_flag=True, help="List the data sets, with licence, size and rows.")
@click.option("--accept-licence", is_flag=True, help="Accept the terms that the data set comes with.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def pull(name: str | None, listing: bool, accept_licence: bool, as_json: bool) -> None:
    """Fetch the data set NAME, check it, and keep it in your cache folder.

    A pull that was cut off goes on where it was. A data set that its publisher gives only to known accounts wants a
    token of the hub in the environment variable HF_TOKEN. TURNOUT_HOME names another folder to keep things in.
    """
    if listing:
        _list(as_json)
        return
    if name is None:
        raise click.UsageError("Name a data set, or ask for them with --list.")
    remote = remote_set(name)
    click.echo(f"{remote.name}: {remote.what}\nlicence: {remote.licence}", err=True)
    accepted = accept_licence or remote.is_pulled or _accepts(remote)
    with click.progressbar(length=remote.n_bytes, label=remote.name, file=sys.stderr) as bar:
        folder = remote.pull(accepted=accepted, progress=bar.update)
    if as_json:
        click.echo(json.dumps(describe(remote), indent=2))
        return
    click.echo(f"{remote.name}: {folder}")
    if remote.next_step:
        click.echo(f"next: {remote.next_step.format(folder=folder)}", err=True)


def _accepts(remote: RemoteSet) -> bool:
    """Show terms and ask, where there is somebody to ask."""
    if not remote.terms or not sys.stdin.isatty():
        return False
    click.echo(remote.terms, err=True)
    return click.confirm("Do you accept this?", err=True)


def _list(as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps([describe(remote) for remote in CATALOGUE.values()], indent=2))
        return
    for remote in CATALOGUE.values():
        rows = "" if remote.rows is None else f", {remote.rows:,} rows"
        here = " [here]" if remote.is_pulled else ""
        click.echo(f"{remote.name}{here}\n  {remote.what}")
        asks = " (to accept first)" if remote.terms else ""
        click.echo(f"  {_megabytes(remote.n_bytes)}{rows}; licence: {remote.licence}{asks}; {remote.revision}")


def _megabytes(n_bytes: int) -> str:
    return f"{n_bytes / 1e6:,.0f} MB" if n_bytes >= 1e6 else f"{n_bytes / 1e3:,.0f} kB"
