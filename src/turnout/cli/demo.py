"""`turnout demo`: routing at work, with no key and no model at hand."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from pathlib import Path

import click

from turnout.demo.local_models import GEMMA, LOCAL_MODELS, what_to_pull
from turnout.demo.models import DemoModel, priced_pair
from turnout.demo.queries import QUERIES
from turnout.demo.run import ROUTE, ask_all, demo_gateway
from turnout.demo.stand_in import stand_in_models
from turnout.demo.table import as_object, as_text, notes_of
from turnout.errors import MissingModelError
from turnout.route import Route
from turnout.routers.base import DEFAULT_ROUTER

Models = AbstractAsyncContextManager[tuple[DemoModel, DemoModel]]


@click.command(epilog="Example: turnout demo")
@click.option("--local-models", "local", is_flag=True, help="Let two small models on this machine answer.")
@click.option("--pull", is_flag=True, help="Fetch their weights first, if they are not here.")
@click.option("--router", default=DEFAULT_ROUTER, show_default=True, help="A shipped router's name, or a folder.")
@click.option("--strong-fraction", type=float, help="Send at most this share to strong, in [0, 1].  [default: 0.5]")
@click.option("--serve", is_flag=True, help="Leave the gateway up afterwards, and print a request to try.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def demo(local: bool, pull: bool, router: str, strong_fraction: float | None, serve: bool, as_json: bool) -> None:
    """Send 20 queries through a real gateway, and say where each went and what that saved.

    The gateway listens on a free port of this machine, the router decides, and stand-ins answer in place of the two
    models. Nothing leaves the machine, and nothing stays on it.

    With --local-models the answers are real: SmolLM2-135M is the strong model, Gemma-3-270M the weak one.
    """
    if pull and not local:
        raise click.UsageError("--pull fetches the weights of the local models: give --local-models too.")
    route = Route.load(router, strong_fraction=strong_fraction)
    priced_as = priced_pair(route.policy.pair)
    if local:
        from turnout.demo.llama_server import local_models  # before a pull: the extra may not be installed

        _bring_weights(pull=pull)
        click.echo(f"{GEMMA.licence} A copy: {GEMMA.files.folder}", err=True)
        models: Models = local_models(priced_as)
    else:
        models = stand_in_models(route.policy.pair, priced_as)

    async def run() -> None:
        _stop_cleanly()
        with tempfile.TemporaryDirectory(prefix="turnout-demo-") as folder:
            ledger = Path(folder) / "ledger.sqlite3"
            async with models as (strong, weak), demo_gateway(route, strong, weak, ledger) as (app, address):
                with _progress(shown=local) as arrived:
                    report = await ask_all(app, address, arrived=arrived)
                notes = notes_of(report, priced_as, local=local)
                if as_json:
                    click.echo(json.dumps(as_object(report, notes), ensure_ascii=False, indent=2))
                else:
                    click.echo(as_text(report, notes, with_answers=local))
                if serve:
                    await _serve_on(address)

    try:
        asyncio.run(run())
    except asyncio.CancelledError:
        raise click.Abort from None


def _bring_weights(*, pull: bool) -> None:
    """Fetch what is missing if the user wants it; else say what that would be."""
    missing = what_to_pull()
    if not missing:
        return
    click.echo(f"The weights of the local models are not all here. To fetch once, and keep:\n{missing}", err=True)
    if not pull and not (sys.stdin.isatty() and click.confirm("Fetch them now?", err=True)):
        absent = next(model for model in LOCAL_MODELS if not model.files.is_pulled)
        raise MissingModelError(absent.name, absent.files.folder, absent.files.pull_command)
    for model in LOCAL_MODELS:
        if not model.files.is_pulled:
            with click.progressbar(length=model.files.size, label=model.name, file=sys.stderr) as bar:
                model.files.pull(bar.update)


@contextmanager
def _progress(*, shown: bool) -> Iterator[Callable[[], None]]:
    if not shown:
        yield lambda: None
        return
    with click.progressbar(length=len(QUERIES), label="Asking", file=sys.stderr) as bar:
        yield lambda: bar.update(1)


async def _serve_on(address: str) -> None:
    body = json.dumps({"model": ROUTE, "messages": [{"role": "user", "content": "Name a river."}]})
    click.echo(
        f"\nThe gateway stays up until you press Ctrl-C. Try it:\n"
        f"curl -i {address}/chat/completions -H 'Content-Type: application/json' -d '{body}'",
        err=True,
    )
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        # Being stopped is how this ends; the gateway and the models are closed on the way out.
        return


def _stop_cleanly() -> None:
    """Let SIGTERM unwind everything, as Ctrl-C does: the temporary ledger would stay behind otherwise."""
    task = asyncio.current_task()
    if task is not None and sys.platform != "win32":
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
