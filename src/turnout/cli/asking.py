"""What the commands share that ask models: options, the replies file, the progress bar."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from turnout.cli.settings import json_or_text
from turnout.config import Config, ModelConfig, load_config
from turnout.data.asking import Asking, AskingSettings, Tally
from turnout.data.replies import Replies
from turnout.errors import BudgetExceededError, InvalidValueError, TurnoutError, UnknownNameError, UpstreamError
from turnout.types import JSON

Command = Callable[..., Any]
_FILE = click.Path(path_type=Path)
_OURS = frozenset({"model", "messages", "stream"})


@dataclass(frozen=True, slots=True)
class AskingOptions:
    """What the user said about how to ask."""

    config: Path
    replies: Path | None
    max_output_tokens: int
    body: tuple[str, ...]
    concurrency: int
    requests_per_minute: int | None
    tokens_per_minute: int | None
    budget_usd: float | None
    dry_run: bool

    def settings(self, config: Config) -> AskingSettings:
        """As the engine wants it."""
        return AskingSettings(
            concurrency=self.concurrency,
            requests_per_minute=self.requests_per_minute,
            tokens_per_minute=self.tokens_per_minute,
            budget_usd=self.budget_usd,
            body={"max_tokens": self.max_output_tokens, "temperature": 0, **_fields(self.body)},
            limits=config.upstream.limits,
            max_answer_bytes=config.upstream.max_answer_bytes,
            dry_run=self.dry_run,
        )

    def replies_path(self, out: Path) -> Path:
        """The file named, or one beside OUT."""
        return self.replies or beside(out, "replies")


def beside(out: Path, what: str) -> Path:
    """A file that goes with OUT.

    >>> beside(Path("battles.jsonl.gz"), "replies").name
    'battles.replies.jsonl'
    """
    return out.with_name(f"{out.name.removesuffix('.gz').removesuffix('.jsonl')}.{what}.jsonl")


def asking_options(command: Command) -> Command:
    """The options of `AskingOptions`."""
    for option in reversed(
        [
            click.option(
                "--config", required=True, type=_FILE, help="The configuration (TOML) that declares the models."
            ),
            click.option(
                "--replies",
                type=_FILE,
                help="Where replies are kept; by default battles.replies.jsonl beside battles.jsonl.",
            ),
            click.option(
                "--max-output-tokens", default=1024, show_default=True, help="The most that a reply may have."
            ),
            click.option(
                "--body",
                multiple=True,
                metavar="KEY=JSON",
                help="Another field of each request, such as seed=1; null takes one out. [default: temperature=0]",
            ),
            click.option("--concurrency", default=8, show_default=True, help="Calls under way at once."),
            click.option("--requests-per-minute", type=int, help="For each model, in any 60 seconds."),
            click.option("--tokens-per-minute", type=int, help="For each model, in any 60 seconds, read and written."),
            click.option("--budget-usd", type=float, help="The most that all replies in the file may cost together."),
            click.option(
                "--dry-run", is_flag=True, help="Ask nothing: say how many calls there are, and at what price."
            ),
        ]
    ):
        command = option(command)
    return command


def models_of(config: Config, names: Iterable[str]) -> list[ModelConfig]:
    """The models of these names, or an UnknownNameError with the nearest."""
    chosen = []
    for name in dict.fromkeys(names):
        if name not in config.models:
            raise UnknownNameError("model in the configuration", name, config.models)
        chosen.append(config.models[name])
    return chosen


def load_models(options: AskingOptions, names: Sequence[str]) -> tuple[list[ModelConfig], AskingSettings]:
    """The models and settings that the options name."""
    config = load_config(options.config)
    return models_of(config, names), options.settings(config)


def ask_with_bar(
    models: Sequence[ModelConfig],
    replies: Replies,
    settings: AskingSettings,
    n_items: int,
    work: Callable[[Asking, Callable[[], None]], Awaitable[None]],
) -> tuple[Tally, float, TurnoutError | None]:
    """Run the work under a progress bar on stderr.

    Returns:
        What was done, the dollars that the replies file accounts for, and what ended the run before its end: a budget
        that is used up, or a provider that is gone. Other errors are raised.
    """
    if replies.dropped_bytes:
        click.echo(f"{replies.path}: the last line was cut off; {replies.dropped_bytes} bytes dropped.", err=True)

    async def run() -> tuple[Tally, float, TurnoutError | None]:
        stopped: TurnoutError | None = None
        async with Asking(models, replies, settings) as asking:

            def spent(_: object) -> str:
                return f"${asking.budget.spent_usd:.2f}"

            with click.progressbar(
                length=n_items, label="asking", show_pos=True, file=sys.stderr, item_show_func=spent
            ) as bar:
                try:
                    await work(asking, lambda: bar.update(1, "done"))
                except (BudgetExceededError, UpstreamError) as error:
                    stopped = error
            return asking.tally, asking.budget.spent_usd, stopped

    try:
        return asyncio.run(run())
    except KeyboardInterrupt:
        click.echo(f"\nInterrupted. What was answered is kept in {replies.path}; the same command goes on.", err=True)
        raise


def dry_run_text(tally: Tally, models: Sequence[ModelConfig]) -> str:
    """What a run would do, in one line."""
    line = f"{tally.would_ask:,} calls to make, {tally.stored:,} replies stored"
    if priced := [model for model in models if model.price is not None]:
        line += f"; at most ${tally.would_cost_usd:.3g}"
    if unpriced := [model.name for model in models if model not in priced]:
        line += f"; no price for {', '.join(unpriced)}"
    return line


def failures(tally: Tally) -> UpstreamError | None:
    """The error that says that calls have failed, or None if all went well."""
    if not tally.failed:
        return None
    problem, _ = tally.failed.most_common(1)[0]
    return UpstreamError(
        f"{tally.n_failed:,} calls failed, most often: {problem} The same command makes only those again."
    )


def described(tally: Tally, spent_usd: float) -> Mapping[str, JSON]:
    """What was done, as JSON."""
    return {
        "calls": {
            "made": tally.asked,
            "stored_before": tally.stored,
            "retries": tally.retries,
            "failed": dict(tally.failed),
        },
        "spent_usd": spent_usd,
    }


def _fields(pairs: Sequence[str]) -> dict[str, JSON]:
    fields: dict[str, JSON] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals or not key:
            raise InvalidValueError(f"A field of the request is written KEY=JSON, got '{pair}'.")
        if key in _OURS:
            raise InvalidValueError(f"The field '{key}' of the request is set by Turnout.")
        fields[key] = json_or_text(text)
    return fields
