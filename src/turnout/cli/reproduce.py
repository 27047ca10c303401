"""`turnout reproduce`: the paper's tables beside ours, as a report."""

from __future__ import annotations

import importlib.util
import shlex
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import click

from turnout import registry
from turnout.cli.settings import parse_settings
from turnout.errors import InvalidValueError, UnknownNameError
from turnout.types import JSON

FOLDER = click.Path(path_type=Path)


@click.command(epilog="Example: turnout reproduce --data DIR --out report/")
@click.option("--data", "data_dir", required=True, type=FOLDER, help="The folder with outcomes, votes and judgements.")
@click.option("--out", required=True, type=FOLDER, help="The folder for report.md, report.json and the pictures.")
@click.option(
    "--pulled",
    "pulled_dir",
    type=FOLDER,
    help="Where the paper's own data is, which is used before --data.  [default: where `turnout data pull` puts it]",
)
@click.option(
    "--routers", default="knn,mf,sw", show_default=True, help="Such as knn,mf,sw,bert; random is always there."
)
@click.option(
    "--set", "settings", multiple=True, metavar="ROUTER.KEY=VALUE", help="A setting, such as bert.n_steps=500."
)
@click.option("--encoder", "encoder_name", default="static", show_default=True, help="For routers that need one.")
@click.option("--golden-labels", default=1_500, show_default=True, help="How many MMLU questions stand in for D_gold.")
@click.option("--seeds", default=5, show_default=True, help="How many times, with other questions.")
@click.option(
    "--sample",
    type=click.IntRange(min=1),
    help="Measure on a seeded sample of each benchmark's queries.  [default: all]",
)
@click.option("--replicates", default=1_000, show_default=True, help="Bootstrap draws for the intervals.")
@click.option(
    "--machine-usd-per-hour",
    type=float,
    help="This machine's price for table 7.  [default: 0.39, the paper's n2-standard-8]",
)
def reproduce(
    data_dir: Path,
    out: Path,
    pulled_dir: Path | None,
    routers: str,
    settings: tuple[str, ...],
    encoder_name: str,
    golden_labels: int,
    seeds: int,
    sample: int | None,
    replicates: int,
    machine_usd_per_hour: float | None,
) -> None:
    """Rebuild the paper's tables 1 to 7 from your data, beside the paper's figures.

    Takes minutes, and goes on where it was if it is killed: win rates are kept in OUT/parts. The pictures need the
    extra 'plots'.
    """
    from turnout.downloads import user_folder
    from turnout.reproduce.figures import draw
    from turnout.reproduce.paper import MACHINE_USD_PER_HOUR
    from turnout.reproduce.plan import PRICE_SOURCE, Plan
    from turnout.reproduce.report import JSON_FILE, MARKDOWN_FILE, write_report
    from turnout.reproduce.run import reproduce as run

    for folder in [data_dir, *([pulled_dir] if pulled_dir is not None else [])]:
        if not folder.is_dir():
            raise InvalidValueError(f"There is no folder {folder}.")
    names = [name.strip() for name in routers.split(",") if name.strip() and name.strip() != "random"]
    if not names:
        raise InvalidValueError("--routers names no router that learns. Random routing is always part of the report.")
    plan = Plan(
        data_dir=data_dir,
        out=out,
        routers=names,
        settings=_settings(names, settings),
        pulled_dir=pulled_dir or user_folder() / "data",
        n_golden_labels=golden_labels,
        n_seeds=seeds,
        n_sampled=sample,
        n_replicates=replicates,
        machine_usd_per_hour=MACHINE_USD_PER_HOUR if machine_usd_per_hour is None else machine_usd_per_hour,
        price_source=PRICE_SOURCE if machine_usd_per_hour is None else "as given",
    )
    reproduction = run(plan, registry.load("encoder", encoder_name)(), tell=_teller())
    pictures: list[str] = []
    if importlib.util.find_spec("matplotlib") is None:
        click.echo("No pictures: they need matplotlib, pip install 'turnout[plots]'.", err=True)
    else:
        pictures = draw(reproduction)
    write_report(reproduction, pictures, _command())
    click.echo(f"Written to {out}: {', '.join([MARKDOWN_FILE, JSON_FILE, *pictures])}.")


def _settings(names: Sequence[str], pairs: Sequence[str]) -> dict[str, dict[str, JSON]]:
    """Router → its settings.

    Raises:
        UnknownNameError: a setting is of a router that is not run.
        InvalidValueError: a setting has no router.
    """
    found: dict[str, dict[str, JSON]] = {}
    for pair in pairs:
        router, dot, setting = pair.partition(".")
        if not dot or "=" in router:
            raise InvalidValueError(f"A setting is written ROUTER.KEY=VALUE, got '{pair}'.")
        if router not in names:
            raise UnknownNameError("router in --routers", router, names)
        parsed = parse_settings(f"router '{router}'", registry.load("router", router), [setting])
        found.setdefault(router, {}).update(parsed)
    return found


def _teller() -> Callable[[str], None]:
    """Lines on stderr with the time that has passed."""
    start = time.perf_counter()

    def tell(said: str) -> None:
        minutes, seconds = divmod(int(time.perf_counter() - start), 60)
        click.echo(f"{minutes:02d}:{seconds:02d}  {said} …", err=True)

    return tell


def _command() -> str:
    """The command line with names in place of paths: the report may be shown to others."""
    context = click.get_current_context()
    words = ["turnout", "reproduce", "--data", "DIR", "--out", "FOLDER"]
    for parameter in context.command.params:
        value = context.params.get(parameter.name or "")
        if parameter.name in ("data_dir", "out") or value is None or value == parameter.default:
            continue
        if isinstance(value, Path):
            words += [parameter.opts[0], "PULLED"]
            continue
        for one in value if isinstance(value, tuple) else (value,):
            words += [parameter.opts[0], _shown(str(one))]
    return shlex.join(words)


def _shown(text: str) -> str:
    from turnout.reproduce.recipes import without_folder

    key, equals, value = text.partition("=")
    return f"{key}={without_folder(value)}" if equals else text
