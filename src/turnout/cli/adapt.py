"""`turnout adapt`: from a router to one for your own traffic, with a few labelled queries."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from turnout.cli.settings import SEED
from turnout.errors import InvalidValueError

FILE = click.Path(path_type=Path)


@click.command(epilog="Example: turnout adapt default --outcomes my.jsonl --pair gpt-4o,llama-3.1-8b --out my-router")
@click.argument("router_name", metavar="ROUTER")
@click.option("--outcomes", "outcomes_paths", type=FILE, multiple=True, help="Outcomes (JSON Lines).")
@click.option("--battles", "battles_paths", type=FILE, multiple=True, help="Battles (JSON Lines).")
@click.option("--pair", "pair_text", metavar="STRONG,WEAK", help="The pair to learn; may differ from ROUTER's.")
@click.option("--out", required=True, type=FILE, help="The router folder to write; one that is there is replaced.")
@click.option("--holdout", default=0.1, show_default=True, help="The share of queries to measure and calibrate on.")
@click.option("--queries", "queries_path", type=FILE, help="Calibrate on these queries instead of the held-out ones.")
@click.option("--seed", type=SEED, default=0, show_default=True, help="Of the holdout.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def adapt(
    router_name: str,
    outcomes_paths: tuple[Path, ...],
    battles_paths: tuple[Path, ...],
    pair_text: str | None,
    out: Path,
    holdout: float,
    queries_path: Path | None,
    seed: int,
    as_json: bool,
) -> None:
    """Start from ROUTER (a shipped router's name or a folder) and learn your own queries; 50 are enough to start.

    What ROUTER knows is kept only if your queries show that it helps, so this is as good as training from nothing.
    """
    from turnout.artifacts import check_replaceable
    from turnout.cli.calibrate import calibration_queries
    from turnout.cli.train import read_training_data
    from turnout.routers.base import Router, for_training
    from turnout.routers.blend import Blend
    from turnout.training import train

    if not (outcomes_paths or battles_paths):
        raise InvalidValueError("There is nothing to learn from: give --outcomes or --battles.")
    check_replaceable(out)
    start = Router.load(router_name)
    if not isinstance(start, Blend):
        raise InvalidValueError(
            f"'{router_name}' is a router of the kind '{start.name}', which cannot be adapted; those of the kind "
            f"'blend' can. Train one on your queries alone: turnout train {start.name}"
        )
    queries = None if queries_path is None else calibration_queries(queries_path)
    battles, known_pair, files = read_training_data(battles_paths, outcomes_paths, None, None, 0, pair_text, seed)
    router = Blend(start.encoder, seed=start.seed)
    trained = train(
        router,
        for_training(battles, known_pair, router),
        holdout=holdout,
        calibration_queries=queries,
        calibration_data="" if queries_path is None else queries_path.name,
        seed=seed,
        seen_before=getattr(start, "seen_queries_", None),
        fit_arguments={"start": start},
        facts={"files": files, "command": ["turnout", *sys.argv[1:]], "adapted_from": router_name},
    )
    trained.save(out)
    kept = router.block_shares_["prior"]
    if as_json:
        shown = {"router": router.name, "pair": str(known_pair), "folder": str(out), "kept_of_start": kept}
        click.echo(json.dumps({**shown, **trained.to_json()}))
        return
    click.echo(trained.card(), nl=False)
    said = (
        f"'{router_name}' was kept with a weight of {kept:.2f} (0: not at all, 1: as it was)"
        if kept
        else f"nothing of '{router_name}' was kept: it did not help"
    )
    click.echo(f"\nWritten to {out}; {said}.")
    if trained.calibration is None:
        click.echo(f"It is not calibrated yet: turnout calibrate {out} --queries FILE --write")
