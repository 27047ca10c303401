"""`turnout data`: bring data in, look at it, split it, rate its models, make battles of outcomes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from turnout import registry
from turnout.atomic_write import write_atomically
from turnout.cli.contamination import decontaminate, similarity
from turnout.cli.labels import golden, judge
from turnout.cli.pull import pull
from turnout.cli.ratings import CRITERION, ratings
from turnout.cli.settings import SEED, parse_settings, set_option
from turnout.data.battles import Battles
from turnout.data.importers.source import Reading, Source
from turnout.data.inspection import inspect_file, read_data
from turnout.data.outcomes import Outcomes
from turnout.data.split import split_rows
from turnout.data.tiers import LIFTED_PAIR, Criterion, Tiers, lift
from turnout.errors import InvalidValueError
from turnout.types import ModelPair

AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
FILE = click.argument("file", type=click.Path(path_type=Path))


@click.group(epilog="Example: turnout data import arena battles.json --out battles.jsonl")
def data() -> None:
    """Bring data in, look at it, split it, rate its models."""


data.add_command(golden)
data.add_command(judge)
data.add_command(pull)


@data.command("import", epilog="Example: turnout data import mmlu-pro answers.jsonl.gz --out outcomes.jsonl")
@click.argument("source", required=False)
@click.argument("path", type=click.Path(path_type=Path), required=False)
@click.option("--out", type=click.Path(path_type=Path), help="The JSON Lines file to write (.gz packs it).")
@click.option("--min-characters", default=0, show_default=True, help="Leave out shorter queries; the paper says 16.")
@click.option("--skip-bad", is_flag=True, help="Keep rows that cannot be used in OUT.rejected.jsonl and go on.")
@click.option("--list", "listing", is_flag=True, help="List the sources and what each expects.")
@set_option
@AS_JSON
def import_(
    source: str | None,
    path: Path | None,
    out: Path | None,
    min_characters: int,
    skip_bad: bool,
    listing: bool,
    settings: tuple[str, ...],
    as_json: bool,
) -> None:
    """Turn a SOURCE's file or folder at PATH into battles or outcomes."""
    if listing:
        sources = {name: registry.load("importer", name).expects for name in registry.names("importer")}
        if as_json:
            click.echo(json.dumps(sources, ensure_ascii=False, indent=2))
            return
        for name, expects in sources.items():
            click.echo(f"{name:26}{expects}")
        return
    if source is None or path is None or out is None:
        raise click.UsageError("Name a SOURCE, a PATH and --out FILE, or ask for the sources with --list.")
    source_class: type[Source] = registry.load("importer", source)
    reader = source_class(**parse_settings(f"importer '{source}'", source_class, settings))
    reading = Reading(reader, path, min_characters=min_characters, skip_bad=skip_bad)
    written = reading.to_file(out)
    if as_json:
        rejected = {"rejected": f"{out}.rejected.jsonl"} if reading.rejected else {}
        made = {"written": written, "kind": reader.kind, "out": str(out), "left_out": dict(reading.dropped)}
        click.echo(json.dumps(made | rejected, ensure_ascii=False))
        return
    click.echo(f"{written:,} {reader.kind} written to {out}")
    for reason, count in reading.dropped.items():
        click.echo(f"left out: {count:,} {reason}", err=True)
    if reading.rejected:
        click.echo(f"rows that cannot be used were kept in {out}.rejected.jsonl", err=True)


@data.command(epilog="Example: turnout data inspect battles.jsonl")
@FILE
@click.option(
    "--rows", "n_rows", type=click.IntRange(min=0), default=3, show_default=True, help="How many rows to show."
)
@AS_JSON
def inspect(file: Path, n_rows: int, as_json: bool) -> None:
    """Count what a FILE of battles or outcomes holds, and show a few rows."""
    found = inspect_file(file, n_rows=n_rows)
    click.echo(json.dumps(found.to_json(), ensure_ascii=False, indent=2) if as_json else found.text())


@data.command(epilog="Example: turnout data split battles.jsonl --fractions train=0.8,test=0.2 --out splits")
@FILE
@click.option(
    "--fractions",
    default="train=0.8,validation=0.1,test=0.1",
    show_default=True,
    metavar="NAME=F,…",
    help="The parts and their shares, which add up to 1.",
)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The folder for NAME.jsonl.")
@click.option("--seed", type=SEED, default=0, show_default=True, help="Of the draw.")
@AS_JSON
def split(file: Path, fractions: str, out: Path, seed: int, as_json: bool) -> None:
    """Split a FILE by distinct query, each source in proportion: no query is on two sides."""
    sizes = _fractions(fractions)
    table = read_data(file)
    parts = split_rows(table.queries, list(sizes.values()), source=table.source, seed=seed)
    targets = [out / f"{name}.jsonl" for name in sizes]
    for target, rows in zip(targets, parts, strict=True):
        table.take(rows).write_jsonl(target)
        if not as_json:
            click.echo(f"{len(rows):,} rows written to {target}")
    if as_json:
        click.echo(json.dumps({str(target): len(rows) for target, rows in zip(targets, parts, strict=True)}))


@data.command(epilog="Example: turnout data battles outcomes.jsonl --pair gpt-4o,mixtral-8x7b --out battles.jsonl")
@FILE
@click.option("--pair", required=True, metavar="STRONG,WEAK", help="The two models.")
@click.option("--scale", type=float, help="The largest possible gain; by default the range of the pair's scores.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The battles to write.")
@AS_JSON
def battles(file: Path, pair: str, scale: float | None, out: Path, as_json: bool) -> None:
    """Make battles of one pair from a FILE of outcomes."""
    made = Outcomes.read_jsonl(file).battles(ModelPair.parse(pair), scale=scale)
    made.write_jsonl(out)
    click.echo(
        json.dumps({"written": len(made), "out": str(out)}) if as_json else f"{len(made):,} battles written to {out}"
    )


@data.command(epilog="Example: turnout data tiers votes.jsonl --tiers 5 --lift battles.jsonl")
@FILE
@click.option("--tiers", "n_tiers", default=10, show_default=True, help="How many tiers to cut the models into.")
@CRITERION
@click.option("--strong", default="0,1", show_default=True, metavar="TIERS", help="The strong tiers, best is 0.")
@click.option("--weak", default="2", show_default=True, metavar="TIERS", help="The weak tiers.")
@click.option("--strong-models", metavar="MODELS", help="The strong models by name, instead of tiers.")
@click.option("--weak-models", metavar="MODELS", help="The weak models by name, instead of tiers.")
@click.option("--out", type=click.Path(path_type=Path), help="Write the tiers and ratings as JSON.")
@click.option("--lift", "lifted", type=click.Path(path_type=Path), help="Write the strong-weak battles as one pair's.")
@click.option(
    "--pair", default=str(LIFTED_PAIR), show_default=True, metavar="STRONG,WEAK", help="The lifted pair's names."
)
@AS_JSON
def tiers(
    file: Path,
    n_tiers: int,
    criterion: Criterion,
    strong: str,
    weak: str,
    strong_models: str | None,
    weak_models: str | None,
    out: Path | None,
    lifted: Path | None,
    pair: str,
    as_json: bool,
) -> None:
    """Rate the models of a FILE of battles, cut them into tiers, and lift votes to one pair."""
    votes = Battles.read_jsonl(file)
    cut = Tiers.of(votes, n_tiers, criterion=criterion)
    described: dict[str, Any] = cut.to_json()
    if out is not None:
        with write_atomically(out) as sink:
            sink.write(json.dumps(described, indent=2, ensure_ascii=False).encode() + b"\n")
    if lifted is not None:
        strong_side = _named(strong_models) or cut.members(_numbers(strong))
        weak_side = _named(weak_models) or cut.members(_numbers(weak))
        made = lift(votes, strong_side, weak_side, pair=ModelPair.parse(pair))
        made.write_jsonl(lifted)
        described["lifted"] = {"battles": len(made), "strong": list(strong_side), "weak": list(weak_side)}
    if as_json:
        click.echo(json.dumps(described, indent=2, ensure_ascii=False))
        return
    for number, members in enumerate(cut.models):
        click.echo(f"tier {number}: " + ", ".join(f"{model} ({cut.ratings[model]:+.2f})" for model in members))
    if lifted is not None:
        click.echo(f"{described['lifted']['battles']:,} strong-weak battles written to {lifted}")


data.add_command(decontaminate)
data.add_command(similarity)
data.add_command(ratings)


def _fractions(text: str) -> dict[str, float]:
    sizes: dict[str, float] = {}
    for part in text.split(","):
        name, equals, value = part.strip().partition("=")
        try:
            sizes[name] = float(value)
        except ValueError:
            equals = ""
        if not equals or not name.isidentifier():
            raise InvalidValueError(f"Fractions are written NAME=0.8,NAME=0.2, got '{text}'.")
    return sizes


def _numbers(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",") if part.strip()]
    except ValueError:
        raise InvalidValueError(f"Tiers are written 0,1, got '{text}'.") from None


def _named(text: str | None) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip()) if text else ()
