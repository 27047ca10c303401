"""`turnout train`: from battles, outcomes or a benchmark's golden labels to a router folder."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from turnout import registry
from turnout.cli.calibrate import calibration_queries
from turnout.cli.settings import SEED, parse_settings, set_option
from turnout.errors import InvalidValueError, UnknownNameError
from turnout.types import JSON, Encoder, ModelPair

if TYPE_CHECKING:
    from turnout.data.battles import Battles
    from turnout.routers.base import Router

FILE = click.Path(path_type=Path)


@click.command(epilog="Example: turnout train knn --outcomes outcomes.jsonl --pair gpt-4o,llama-3.1-8b --out my-router")
@click.argument("router_name", metavar="ROUTER")
@click.option("--battles", "battles_paths", type=FILE, multiple=True, help="Battles (JSON Lines); may be given again.")
@click.option("--outcomes", "outcomes_paths", type=FILE, multiple=True, help="Outcomes (JSON Lines), with --pair.")
@click.option("--benchmark", help="Golden labels: random questions of a benchmark, such as mmlu; with --data.")
@click.option("--data", "data_dir", type=FILE, help="The folder with the benchmark's outcomes.")
@click.option("--golden-labels", type=int, default=1_500, show_default=True, help="How many of the questions.")
@click.option("--pair", "pair_text", metavar="STRONG,WEAK", help="The pair to learn; known for tiers and benchmarks.")
@click.option("--out", required=True, type=FILE, help="The router folder to write; one that is there is replaced.")
@click.option("--encoder", "encoder_name", default="static", show_default=True, help="For routers that need one.")
@click.option(
    "--encoder-set",
    "encoder_settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="A setting of the encoder; give as many as needed.",
)
@click.option("--preset", help="Start from named settings, such as paper.")
@set_option
@click.option("--holdout", default=0.1, show_default=True, help="The share of queries to measure and calibrate on.")
@click.option("--queries", "queries_path", type=FILE, help="Calibrate on these queries instead of the held-out ones.")
@click.option(
    "--seed", type=SEED, default=0, show_default=True, help="Of the holdout, the golden labels and the router."
)
@click.option("--checkpoints", type=FILE, help="Keep the state of training here; a run that was killed goes on.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def train(
    router_name: str,
    battles_paths: tuple[Path, ...],
    outcomes_paths: tuple[Path, ...],
    benchmark: str | None,
    data_dir: Path | None,
    golden_labels: int,
    pair_text: str | None,
    out: Path,
    encoder_name: str,
    encoder_settings: tuple[str, ...],
    preset: str | None,
    settings: tuple[str, ...],
    holdout: float,
    queries_path: Path | None,
    seed: int,
    checkpoints: Path | None,
    as_json: bool,
) -> None:
    """Train ROUTER (knn, mf, …) on battles, on outcomes, or on a benchmark's golden labels.

    A part of the queries is held out: the router is measured and calibrated on them, and both are kept in its folder.
    """
    from turnout.artifacts import check_replaceable
    from turnout.atomic_write import check_writable_folder
    from turnout.routers.base import for_training
    from turnout.training import takes_argument
    from turnout.training import train as fit_and_measure

    if not (battles_paths or outcomes_paths or benchmark):
        raise InvalidValueError("There is nothing to learn from: give --battles, --outcomes or --benchmark.")
    check_replaceable(out)
    router = make_router(router_name, encoder_name, encoder_settings, preset, settings, seed)
    queries = None if queries_path is None else calibration_queries(queries_path)
    battles, pair, files = read_training_data(
        battles_paths, outcomes_paths, benchmark, data_dir, golden_labels, pair_text, seed
    )
    taught = for_training(battles, pair, router)
    if len(taught) < len(battles):
        click.echo(f"left out: {len(battles) - len(taught):,} battles that are not between {pair}", err=True)
    with _progress(router_name) as show:
        arguments: dict[str, Any] = {}
        if takes_argument(router, "progress"):
            arguments["progress"] = show
        if checkpoints is not None:
            if not takes_argument(router, "checkpoint_folder"):
                raise InvalidValueError(f"'{router_name}' trains in one go and keeps no checkpoints.")
            check_writable_folder(checkpoints)
            arguments["checkpoint_folder"] = checkpoints
        trained = fit_and_measure(
            router,
            taught,
            holdout=holdout,
            calibration_queries=queries,
            calibration_data="" if queries_path is None else queries_path.name,
            seed=seed,
            fit_arguments=arguments,
            facts={"files": files, "command": ["turnout", *sys.argv[1:]]},
        )
    trained.save(out)
    if as_json:
        click.echo(json.dumps({"router": router_name, "pair": str(pair), "folder": str(out), **trained.to_json()}))
        return
    click.echo(trained.card(), nl=False)
    click.echo(f"\nWritten to {out}.")
    if trained.calibration is None:
        click.echo(f"It is not calibrated yet: turnout calibrate {out} --queries FILE --write")


def make_router(
    name: str,
    encoder_name: str,
    encoder_settings: tuple[str, ...],
    preset: str | None,
    settings: tuple[str, ...],
    seed: int,
) -> Router:
    """An unfitted router: a preset's settings or the defaults, with those that are given set.

    Raises:
        UnknownNameError: no router, encoder, preset or setting has this name.
        InvalidValueError: the name is a shipped router's, or a setting is not what it must be.
    """
    from turnout.evaluation.candidates import arguments_for
    from turnout.routers.base import shipped_routers

    if name in shipped_routers():
        raise InvalidValueError(f"'{name}' is trained already. To teach it your own queries: turnout adapt {name}")
    router_class = registry.load("router", name)
    given = parse_settings(f"router '{name}'", router_class, settings)

    def make_encoder() -> Encoder:
        encoder_class = registry.load("encoder", encoder_name)
        made: Encoder = encoder_class(**parse_settings(f"encoder '{encoder_name}'", encoder_class, encoder_settings))
        return made

    arguments = arguments_for(router_class, given, make_encoder, seed)
    if encoder_settings and "encoder" not in arguments:
        raise InvalidValueError(f"'{name}' takes no encoder: leave --encoder-set away.")
    if preset is None:
        made: Router = router_class(**arguments)
        return made
    if not hasattr(router_class, "from_preset"):
        raise UnknownNameError(f"preset of the router '{name}'", preset, [])
    started: Router = router_class.from_preset(preset, **arguments)
    return started


def read_training_data(
    battles_paths: tuple[Path, ...],
    outcomes_paths: tuple[Path, ...],
    benchmark: str | None,
    data_dir: Path | None,
    golden_labels: int,
    pair_text: str | None,
    seed: int,
) -> tuple[Battles, ModelPair, dict[str, JSON]]:
    """All that the options name as battles, the pair they teach, and what was read, for the record.

    Battles that were lifted to tiers take the pair's names.
    """
    from turnout.cli.evaluate import file_sha256, load_tables
    from turnout.data.battles import Battles
    from turnout.data.outcomes import Outcomes
    from turnout.data.split import sample_rows
    from turnout.data.tiers import LIFTED_PAIR
    from turnout.evaluation.golden import named_for

    pair = None if pair_text is None else ModelPair.parse(pair_text)
    tables = load_tables([benchmark], data_dir, None, pair) if benchmark else []
    if tables:
        pair = tables[0].pair
    votes = [Battles.read_jsonl(path) for path in battles_paths]
    lifted = {LIFTED_PAIR.strong, LIFTED_PAIR.weak}
    if pair is None and votes and not outcomes_paths and all(set(part.models) <= lifted for part in votes):
        pair = LIFTED_PAIR
    if pair is None:
        raise InvalidValueError("Which two models is the router to choose between? Give --pair STRONG,WEAK.")
    parts = [named_for(pair, part) for part in votes]
    parts += [Outcomes.read_jsonl(path).battles(pair) for path in outcomes_paths]
    facts: dict[str, JSON] = {str(path): file_sha256(path) for path in [*battles_paths, *outcomes_paths]}
    for table in tables:
        rows, _ = sample_rows(table.outcomes.queries, golden_labels, seed=seed)
        parts.append(table.outcomes.take(rows).battles(table.pair, scale=table.scale))
        facts[table.name] = {"sha256": table.sha256, "golden_labels": golden_labels, "seed": seed, **table.facts}
    return Battles.concat(parts), pair, facts


@contextmanager
def _progress(label: str) -> Iterator[Callable[[Any], None]]:
    """A bar on stderr for routers that say how far they are."""
    bar = click.progressbar(length=1, label=label, file=sys.stderr, show_pos=True)

    def show(progress: Any) -> None:
        bar.length = progress.n_steps
        bar.update(progress.step - bar.pos)

    try:
        yield show
    finally:
        if bar.pos:
            bar.render_finish()
