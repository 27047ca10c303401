"""`turnout calibrate`: which threshold sends at most a wished share of queries to the strong model."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from turnout.data.jsonl import damage_named, open_bytes, read_jsonl
from turnout.errors import DataError, EmptyDataError, InvalidValueError
from turnout.query import query_of
from turnout.types import JSON

if TYPE_CHECKING:
    from turnout.routers.base import Router

FILE = click.Path(path_type=Path)


@click.command(epilog="Example: turnout calibrate my-router --queries queries.jsonl --strong-fraction 0.5 --write")
@click.argument("router")
@click.option(
    "--queries", "queries_path", type=FILE, help="JSON Lines with query, prompt or turns; or one text a line."
)
@click.option("--battles", "battles_path", type=FILE, help="The queries of battles (JSON Lines).")
@click.option("--ledger", "ledger_place", help="The queries in the gateway's ledger: what your users really ask.")
@click.option(
    "--strong-fraction",
    type=float,
    default=0.5,
    show_default=True,
    help="The largest share of queries to send to the strong model, from 0 to 1.",
)
@click.option("--write", is_flag=True, help="Keep the calibration in the router's folder, for any fraction later.")
@click.option(
    "--out", type=FILE, help="Keep it in a copy of the router, in this folder; one that is there is replaced."
)
@click.option(
    "--template", is_flag=True, help="Have the copy cut off what these queries come wrapped in (a prompt, examples)."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def calibrate(
    router: str,
    queries_path: Path | None,
    battles_path: Path | None,
    ledger_place: str | None,
    strong_fraction: float,
    write: bool,
    out: Path | None,
    template: bool,
    as_json: bool,
) -> None:
    """Print the threshold at which ROUTER sends at most a share of the queries to strong.

    ROUTER is a folder or a shipped router's name. A threshold holds for this router only, and for queries like those
    it was read off.
    """
    from turnout.artifacts import check_replaceable, read_artifact, write_calibration
    from turnout.calibration import Calibration, check_strong_fraction
    from turnout.routers.base import restore, router_folder, shipped_routers

    check_strong_fraction(strong_fraction)
    if write and router in shipped_routers():
        raise InvalidValueError(
            f"'{router}' is shipped with Turnout, so that its folder is not yours to write to. Give --out FOLDER "
            "instead of --write: that keeps the calibration in a copy."
        )
    if write and out is not None:
        raise InvalidValueError("Give --write, for ROUTER's own folder, or --out, for a copy, and not both.")
    if template and out is None:
        raise InvalidValueError(
            "--template makes another router, which needs a folder: give --out FOLDER. A threshold of its own would "
            "not fit ROUTER."
        )
    if out is not None:
        check_replaceable(out)
    artifact = read_artifact(router_folder(router))
    queries, source = read_queries(queries_path, battles_path, ledger_place)
    _check_any(queries, source)
    loaded = restore(artifact)
    cut_off = ""
    if template:
        loaded, cut_off = _for_route(loaded, queries)
    calibration = Calibration.from_win_rates(loaded.predict_win_rate(queries), data=source.name)
    point = calibration.operating_point(strong_fraction)
    if write:
        write_calibration(router_folder(router), calibration.to_json())
    if out is not None:
        loaded.save(out, card=artifact.card, calibration=calibration.to_json(), extra=artifact.extra)
    if as_json:
        shown = {**asdict(point), "lowest_win_rate": calibration.lowest, "highest_win_rate": calibration.highest}
        click.echo(json.dumps({**shown, **({"template": cut_off} if template else {})}))
        return
    click.echo(f"threshold        {point.threshold!r}")
    click.echo(f"strong fraction  {point.strong_fraction:.4f}, at most {strong_fraction:g} was wished for")
    click.echo(f"queries          {point.n_queries:,} from {source}")
    click.echo(f"win rates        {calibration.lowest:.4f} to {calibration.highest:.4f}")
    if calibration.is_constant:
        click.echo("All win rates are the same: only a strong fraction of 0 or 1 can be reached.")
    if template:
        click.echo(f"template         {cut_off or 'none: these queries share too little'}")
    if write or out is not None:
        click.echo(f"Written to {out or router_folder(router)}.")


def _for_route(router: Router, queries: list[str]) -> tuple[Router, str]:
    """The router that reads these queries without their template, and what that is, in words."""
    from turnout.routers.base import LearnsTemplates
    from turnout.routers.features.templates import Template

    if not isinstance(router, LearnsTemplates):
        raise InvalidValueError(
            f"A router of the kind '{router.name}' cannot cut a template off; those of the kind 'blend' can."
        )
    before = len(router.templates_)
    wrapped = router.for_route(queries)
    assert isinstance(wrapped, LearnsTemplates)
    learned = [Template.from_json(described) for described in wrapped.templates_[before:]]
    return wrapped, "; ".join(map(str, learned))


def read_queries(queries: Path | None, battles: Path | None, ledger: str | None) -> tuple[list[str], Path]:
    """The queries of the one file that is named, and that file."""
    given = [place for place in (queries, battles, ledger) if place is not None]
    if len(given) != 1:
        raise InvalidValueError(f"Give one of --queries, --battles and --ledger, got {len(given) or 'none'}.")
    if battles is not None:
        from turnout.data.battles import Battles

        return list(Battles.read_jsonl(battles).queries), battles
    if ledger is not None:
        from turnout.gateway.ledger.place import open_database
        from turnout.gateway.ledger.reading import read_queries as read_ledger

        database = open_database(ledger)
        return read_ledger(database), Path(database.name)
    assert queries is not None
    return list(queries_in(queries)), queries


def calibration_queries(path: Path) -> list[str]:
    """The queries of a file (`queries_in`), at least one.

    Raises:
        DataError: there is none, or a line cannot be used.
    """
    queries = list(queries_in(path))
    _check_any(queries, path)
    return queries


def _check_any(queries: list[str], source: Path) -> None:
    if not queries:
        raise EmptyDataError("holds no query to calibrate on.", path=source)


def queries_in(path: Path) -> Iterator[str]:
    """The queries of a file: JSON Lines if its name says so (.jsonl, .jsonl.gz), else one text a line.

    A JSON line holds `query` or `prompt`, or the `turns` of a conversation's user. Each turn is a request to the
    gateway, so each gives a query: what the gateway makes of the conversation up to it.

    Raises:
        DataError: a line cannot be used; names the file and the line.
    """
    if ".jsonl" not in path.suffixes:
        with damage_named(path), open_bytes(path) as file:
            for number, raw in enumerate(file, start=1):
                try:
                    line = raw.decode("utf-8-sig" if number == 1 else "utf-8").strip()
                except UnicodeDecodeError as error:
                    raise DataError(f"not UTF-8 ({error.reason}).", path=path, line=number) from error
                if line:
                    yield line
        return
    for number, row in read_jsonl(path):
        yield from _queries_of_row(row, path, number)


def _queries_of_row(row: dict[str, JSON], path: Path, line: int) -> list[str]:
    text = row.get("query", row.get("prompt"))
    if isinstance(text, str):
        return [text]
    turns = row.get("turns")
    if text is None and isinstance(turns, list) and turns and all(isinstance(turn, str) for turn in turns):
        messages = [{"role": "user", "content": turn} for turn in turns]
        return [query_of(messages[: end + 1]) for end in range(len(messages))]
    raise DataError(
        f"expected a text under 'query' or 'prompt', or a list of texts under 'turns'; got the keys {sorted(row)}.",
        path=path,
        line=line,
    )
