"""`turnout data ratings`: the models of a file of battles on the Elo scale."""

from __future__ import annotations

import json
from pathlib import Path
from typing import get_args

import click

from turnout.cli.settings import SEED
from turnout.data.battles import Battles
from turnout.data.ratings import DEFAULT_REPLICATES, Ratings
from turnout.data.tiers import Criterion
from turnout.errors import InvalidValueError
from turnout.evaluation.plots import check_can_plot
from turnout.evaluation.ratings_plot import plot_ratings

CRITERION = click.option(
    "--criterion",
    type=click.Choice(get_args(Criterion)),
    default="variance",
    show_default=True,
    help="What the cut into tiers minimises: the sum of the tiers' variances (the paper's), or of all squares.",
)


@click.command(epilog="Example: turnout data ratings votes.jsonl --anchor mixtral-8x7b=1114 --plot ratings.png")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--tiers", "n_tiers", default=10, show_default=True, help="How many tiers to cut the models into.")
@CRITERION
@click.option("--anchor", metavar="MODEL=RATING", help="Hold a model at a rating.  [default: the mean is 1000]")
@click.option("--replicates", default=DEFAULT_REPLICATES, show_default=True, help="How many bootstrap draws.")
@click.option("--seed", type=SEED, default=0, show_default=True, help="Of the bootstrap.")
@click.option("--plot", type=click.Path(path_type=Path), help="Write a picture: .png, .pdf or .svg (extra 'plots').")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def ratings(
    file: Path,
    n_tiers: int,
    criterion: Criterion,
    anchor: str | None,
    replicates: int,
    seed: int,
    plot: Path | None,
    as_json: bool,
) -> None:
    """Rate the models of a FILE of battles: Elo scale, 95 % intervals, tiers."""
    if plot is not None:
        check_can_plot(plot)
    held = None if anchor is None else _anchor(anchor)
    votes = Battles.read_jsonl(file)
    rated = Ratings.of(votes, n_tiers=n_tiers, criterion=criterion, anchor=held, n_replicates=replicates, seed=seed)
    if plot is not None:
        plot_ratings(rated, plot)
        click.echo(f"plot written to {plot}", err=True)
    click.echo(json.dumps(rated.to_json(), ensure_ascii=False, indent=2) if as_json else rated.text())


def _anchor(text: str) -> tuple[str, float]:
    model, _, rating = text.rpartition("=")
    try:
        return model, float(rating)
    except ValueError:
        raise InvalidValueError(f"An anchor is written MODEL=RATING, such as gpt-4=1200, got '{text}'.") from None
