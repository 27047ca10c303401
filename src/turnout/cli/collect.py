"""`turnout collect`: ask models a benchmark's questions once, and grade what they say."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from turnout.cli.asking import AskingOptions, asking_options

if TYPE_CHECKING:
    from turnout.data.asking import Asking

_FILE = click.Path(path_type=Path)


@click.command(
    epilog="Example: turnout collect questions.jsonl --config turnout.toml --model big --model small "
    "--grader multiple-choice --budget-usd 5 --out outcomes.jsonl"
)
@click.argument("questions", type=_FILE)
@click.option("--model", "models", multiple=True, required=True, help="A model of the configuration; give each.")
@click.option("--grader", metavar="NAME", required=True, help="multiple-choice, number, exact, or MODULE:FUNCTION.")
@click.option("--out", type=_FILE, required=True, help="The outcomes to write, when all answers are there.")
@click.option("--instruction", help="What is said below each question; by default what the grader needs.")
@asking_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def collect(
    questions: Path,
    models: tuple[str, ...],
    grader: str,
    out: Path,
    instruction: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Ask models the QUESTIONS of a benchmark, grade the answers, and write outcomes with cost and tokens.

    Every answer is kept in the replies file as it comes. A run that was killed, or ended at its budget, goes on with
    the same command and asks only what is missing.
    """
    from turnout.atomic_write import check_writable_file
    from turnout.cli.asking import ask_with_bar, described, dry_run_text, failures, load_models
    from turnout.data.golden import check_key, grade_answers
    from turnout.data.grading import load_grader
    from turnout.data.questions import read_questions
    from turnout.data.replies import Replies
    from turnout.evaluation import collect as collecting

    check_writable_file(out)  # now, not when the answers are paid for
    told = AskingOptions(**options)
    chosen, settings = load_models(told, models)
    names = [model.name for model in chosen]
    judge = load_grader(grader)
    asked = list(read_questions(questions))
    # A key that cannot be used is found now, not when the answers are paid for.
    for question in asked:
        check_key(question, judge)
    words = judge.instruction if instruction is None else instruction

    async def work(asking: Asking, done: Callable[[], None]) -> None:
        await collecting.collect(asked, names, asking, instruction=words, done=done)

    with Replies(told.replies_path(out)) as replies:
        tally, spent_usd, stopped = ask_with_bar(chosen, replies, settings, len(asked) * len(names), work)
        if told.dry_run:
            click.echo(dry_run_text(tally, chosen))
            return
        stopped = stopped or failures(tally)
        answered = collecting.answered(asked, names, replies)
    if stopped is not None and not any(question.answers for question in answered):
        raise stopped
    graded = grade_answers(answered, judge)
    graded.outcomes.write_jsonl(out)
    n_missing = len(asked) * len(names) - sum(len(question.answers) for question in answered)
    if as_json:
        summary = {"models": graded.by_model(), "missing_answers": n_missing, **described(tally, spent_usd)}
        click.echo(json.dumps(summary, indent=2, ensure_ascii=False))
    else:
        click.echo(graded.text())
        missing = f", {n_missing:,} answers are missing" if n_missing else ""
        click.echo(f"{len(graded.outcomes):,} outcomes written to {out}{missing}")
    if stopped is not None:
        raise stopped
