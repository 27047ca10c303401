"""`turnout logs`: what the gateway's ledger says."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from turnout.cli.ledger_place import ledger_database, ledger_options
from turnout.errors import InvalidValueError

if TYPE_CHECKING:
    from turnout.gateway.ledger.reading import Grouping, Savings, Selection
    from turnout.gateway.ledger.writing import Entry

Command = Callable[..., Any]

_LOOK_EVERY_S = 0.5
_SECONDS = {"m": 60, "h": 3_600, "d": 86_400}


@click.group(epilog="Example: turnout logs savings --by model --since 7d")
def logs() -> None:
    """Read the gateway's ledger: follow it, search it, export it, and see what routing saved."""


def selection_options(command: Command) -> Command:
    """The options that select entries."""
    for option in reversed(
        [
            click.option("--route", help="Of this route (the model name that clients asked for)."),
            click.option("--model", help="Answered by this model."),
            click.option("--key", "key_id", help="Of the key with this id."),
            click.option(
                "--since", metavar="TIME", help="From then on: 2026-11-25, 2026-11-25T14:30 (UTC), 90m, 24h, 7d."
            ),
            click.option("--until", metavar="TIME", help="Before then."),
            click.option("--failed", is_flag=True, help="Only what did not end well."),
        ]
    ):
        command = option(command)
    return command


@logs.command(epilog="Example: turnout logs tail --follow")
@ledger_options
@selection_options
@click.option("-n", "count", type=click.IntRange(1, 10_000), default=20, show_default=True, help="How many.")
@click.option("-f", "--follow", is_flag=True, help="Go on until interrupted.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object for each entry, one a line.")
def tail(config_path: Path, ledger_place: str | None, count: int, follow: bool, as_json: bool, **selected: Any) -> None:
    """Print the latest entries, oldest first."""
    from turnout.gateway.ledger.reading import last_entries
    from turnout.gateway.ledger.schema import open_ledger

    selection = _selection(**selected)
    with closing(open_ledger(ledger_database(config_path, ledger_place))) as connection:
        after = 0
        while True:
            for number, entry in last_entries(connection, count, selection, after=after):
                after = number
                click.echo(_as_json(entry) if as_json else as_line(entry))
            if not follow:
                return
            count = 10_000
            try:
                time.sleep(_LOOK_EVERY_S)
            except KeyboardInterrupt:
                return


@logs.command(epilog="Example: turnout logs query --failed --since 24h --json")
@ledger_options
@selection_options
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object for each entry, one a line.")
def query(config_path: Path, ledger_place: str | None, as_json: bool, **selected: Any) -> None:
    """Print the entries that the options select, oldest first."""
    from turnout.gateway.ledger.reading import read_entries

    for entry in read_entries(ledger_database(config_path, ledger_place), _selection(**selected)):
        click.echo(_as_json(entry) if as_json else as_line(entry))


@logs.command(epilog="Example: turnout logs export battles.jsonl --as battles --since 30d")
@click.argument("file", type=click.Path(path_type=Path))
@ledger_options
@selection_options
@click.option("--as", "kind", type=click.Choice(["battles", "queries"]), required=True, help="What to write.")
@click.option(
    "--single-weight",
    type=float,
    help="Battles: what a score of one model counts whose rival was not scored on the same query, from 0 to 1. "
    "[default: left out]",
)
@click.option("--json", "as_json", is_flag=True, help="Print the counts as JSON.")
def export(
    file: Path,
    config_path: Path,
    ledger_place: str | None,
    kind: str,
    single_weight: float | None,
    as_json: bool,
    **selected: Any,
) -> None:
    """Write JSON Lines to FILE: clients' feedback as battles to train on, or queries to calibrate on.

    Both need the queries' text (query_text = "full" under [ledger]).
    """
    from turnout.data.jsonl import write_jsonl
    from turnout.gateway.ledger.feedback_battles import battles_from_feedback
    from turnout.gateway.ledger.reading import read_queries

    database, selection = ledger_database(config_path, ledger_place), _selection(**selected)
    if kind == "queries":
        queries = read_queries(database, selection)
        write_jsonl(file, ({"query": text} for text in queries))
        if as_json:
            click.echo(json.dumps({"queries": len(queries), "out": str(file)}))
        click.echo(f"{len(queries):,} queries are in {file}.", err=True)
        return
    found = battles_from_feedback(database, selection, single_weight=single_weight)
    found.battles.write_jsonl(file)
    if as_json:
        counts = {
            name: getattr(found, name) for name in ("preferred", "compared", "single", "left_out", "without_text")
        }
        click.echo(json.dumps({"battles": len(found.battles), **counts, "out": str(file)}))
    click.echo(
        f"{len(found.battles):,} battles are in {file}: {found.preferred:,} of a preferred answer, {found.compared:,} "
        f"of two models' scores on the same query, {found.single:,} of single scores.",
        err=True,
    )
    if found.left_out:
        click.echo(f"{found.left_out:,} single scores were left out (--single-weight).", err=True)
    if found.without_text:
        click.echo(f"{found.without_text:,} were left out since the query's text was not kept.", err=True)


@logs.command(epilog="Example: turnout logs savings --by day --since 30d")
@ledger_options
@selection_options
@click.option(
    "--by", type=click.Choice(["route", "model", "key", "day"]), default="route", show_default=True, help="A line each."
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object for each line.")
def savings(config_path: Path, ledger_place: str | None, by: str, as_json: bool, **selected: Any) -> None:
    """Print the dollars that were spent, and those that strong alone would have cost for the same tokens."""
    from turnout.gateway.ledger.reading import savings as read_savings
    from turnout.gateway.ledger.reading import total

    parts = read_savings(ledger_database(config_path, ledger_place), cast("Grouping", by), _selection(**selected))
    if as_json:
        for part in parts:
            click.echo(
                json.dumps({**asdict(part), "saved_usd": part.saved_usd, "strong_fraction": part.strong_fraction})
            )
        return
    if not parts:
        click.echo("There is no such entry.", err=True)
        return
    width = max(len(by), *(len(part.group) for part in parts), len("(none)"))
    heads = ("requests", "strong", "spent", "all strong", "saved")
    click.echo(f"{by:<{width}}" + "".join(f"{head:>14}" for head in heads))
    for part in [*parts, total(parts)] if len(parts) > 1 else parts:
        click.echo(_savings_line(part, width))
    if unpriced := sum(part.unpriced for part in parts):
        click.echo(f"{unpriced:,} answers are in no sum: no price, or no token counts.", err=True)


def as_line(entry: Entry) -> str:
    """An entry for people."""
    at = datetime.fromtimestamp(entry.time, UTC).strftime("%Y-%m-%d %H:%M:%S")
    rate = "" if entry.win_rate is None else f" (win rate {entry.win_rate:.3f}, threshold {entry.threshold:.3f})"
    tokens = "" if entry.input_tokens is None else f"  {entry.input_tokens}+{entry.output_tokens} tokens"
    cost = "" if entry.cost_usd is None else f"  ${entry.cost_usd:.6f}"
    failed = "" if entry.error is None else f"  {entry.error}"
    return (
        f"{at}  {entry.id}  {entry.status}  {entry.route} → {entry.model}: {entry.reason}{rate}{tokens}{cost}"
        f"  {entry.latency_s * 1e3:.0f} ms{failed}"
    )


def _savings_line(part: Savings, width: int) -> str:
    fraction = "-" if part.strong_fraction is None else f"{100 * part.strong_fraction:.1f} %"
    share = f" ({100 * part.saved_usd / part.all_strong_usd:.0f} %)" if part.all_strong_usd > 0 else ""
    cells = (
        f"{part.requests:,}",
        fraction,
        f"${part.spent_usd:,.4f}",
        f"${part.all_strong_usd:,.4f}",
        f"${part.saved_usd:,.4f}",
    )
    return f"{part.group or '(none)':<{width}}" + "".join(f"{cell:>14}" for cell in cells) + share


def _as_json(entry: Entry) -> str:
    return json.dumps(asdict(entry), ensure_ascii=False)


def _selection(
    route: str | None, model: str | None, key_id: str | None, since: str | None, until: str | None, failed: bool
) -> Selection:
    from turnout.gateway.ledger.reading import Selection

    now = time.time()
    return Selection(
        route,
        model,
        key_id,
        None if since is None else parse_time(since, now=now),
        None if until is None else parse_time(until, now=now),
        failed,
    )


def parse_time(text: str, *, now: float) -> float:
    """A moment in seconds since 1970: a day or time in UTC, or so many minutes, hours or days ago.

    >>> parse_time("1970-01-02T00:30", now=0.0), parse_time("90m", now=10_000.0)
    (88200.0, 4600.0)
    """
    if ago := re.fullmatch(r"(\d{1,6})([mhd])", text):
        return now - int(ago[1]) * _SECONDS[ago[2]]
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidValueError(
            f"A time is written 2026-11-25, 2026-11-25T14:30 (UTC), or 90m, 24h, 7d for so long ago, got '{text}'."
        ) from None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
