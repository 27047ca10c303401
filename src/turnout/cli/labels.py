"""`turnout data golden` and `turnout data judge`: labels from a known answer, and from a judge."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from turnout.cli.asking import AskingOptions, asking_options, beside
from turnout.cli.benchmark_data import benchmark_folder
from turnout.data.jsonl import write_jsonl
from turnout.errors import EmptyDataError, InvalidValueError
from turnout.types import JSON, ModelPair

if TYPE_CHECKING:
    from turnout.data.asking import Asking
    from turnout.data.battles import Battles
    from turnout.data.golden import Graded
    from turnout.data.judge import Judgements
    from turnout.data.questions import Question

FILE = click.Path(path_type=Path)


@click.command(epilog="Example: turnout data golden answers.jsonl --grader number --pair big,small --out battles.jsonl")
@click.argument("questions", type=FILE, required=False)
@click.option("--answers", type=FILE, help="More answers: the replies file of turnout collect.")
@click.option("--grader", metavar="NAME", help="multiple-choice, number, exact, or your own MODULE:FUNCTION.")
@click.option("--benchmark", help="Take the outcomes of a registered benchmark, such as mmlu, instead of QUESTIONS.")
@click.option("--data", "data_dir", type=FILE, help="The folder with the benchmark's outcomes.")
@click.option("--pair", "pair_text", metavar="STRONG,WEAK", help="The two models; by default the benchmark's own.")
@click.option("--out", type=FILE, help="Write the pair's battles.")
@click.option("--outcomes", "outcomes_path", type=FILE, help="Write the outcomes of all models.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def golden(
    questions: Path | None,
    answers: Path | None,
    grader: str | None,
    benchmark: str | None,
    data_dir: Path | None,
    pair_text: str | None,
    out: Path | None,
    outcomes_path: Path | None,
    as_json: bool,
) -> None:
    """Make golden labels: compare each model's stored answer to QUESTIONS with the known one.

    QUESTIONS is JSON Lines: query, key, answers {model: text}, and choices for multiple choice. Answers that the
    grader cannot read count as wrong and are counted.
    """
    if out is None and outcomes_path is None:
        raise InvalidValueError("Name what to write: --out FILE for battles, --outcomes FILE for outcomes, or both.")
    pair = None if pair_text is None else ModelPair.parse(pair_text)
    if benchmark is None:
        graded, scale = _graded(questions, answers, grader), 1.0
    elif questions is not None or answers is not None or grader is not None:
        raise InvalidValueError("A benchmark is graded already: give either --benchmark, or QUESTIONS and --grader.")
    else:
        graded, pair, scale = _benchmark(benchmark, data_dir, pair)
    summary: dict[str, JSON] = {"models": graded.by_model()}
    text = [graded.text()]
    if out is not None:
        if pair is None:
            raise InvalidValueError(f"--out needs --pair STRONG,WEAK: two of {', '.join(graded.outcomes.models)}.")
        battles = graded.outcomes.battles(pair, scale=scale)
        battles.write_jsonl(out)
        summary["battles"] = wins = _wins(battles)
        text.append(
            f"{len(battles):,} battles written to {out}: {wins['strong']:,} for {pair.strong}, "
            f"{wins['tie']:,} ties, {wins['weak']:,} for {pair.weak}"
        )
    if outcomes_path is not None:
        graded.outcomes.write_jsonl(outcomes_path)
        text.append(f"{len(graded.outcomes):,} outcomes written to {outcomes_path}")
    click.echo(json.dumps(summary, indent=2, ensure_ascii=False) if as_json else "\n".join(text))


@click.command(
    epilog="Example: turnout data judge questions.jsonl --answers outcomes.replies.jsonl --config turnout.toml "
    "--judge gpt-4o --pair big,small --budget-usd 20 --out battles.jsonl"
)
@click.argument("questions", type=FILE)
@click.option("--answers", type=FILE, help="More answers: the replies file of turnout collect.")
@click.option("--judge", "judge_name", required=True, help="The model of the configuration that judges.")
@click.option("--pair", "pair_text", required=True, metavar="STRONG,WEAK", help="The two whose answers are compared.")
@click.option("--generate", multiple=True, metavar="MODEL", help="One of the pair: ask it where its answer is missing.")
@click.option("--graded", is_flag=True, help="Ask how much better: shares of 0.25 and 0.75 too.")
@click.option("--votes", type=FILE, help="Battles that people decided: report how far the judge agrees.")
@click.option("--out", type=FILE, required=True, help="The battles to write.")
@click.option("--source", help="The battles' source; by default judge/NAME.")
@asking_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def judge(
    questions: Path,
    answers: Path | None,
    judge_name: str,
    pair_text: str,
    generate: tuple[str, ...],
    graded: bool,
    votes: Path | None,
    out: Path,
    source: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Make judge labels: a model compares two answers to each of the QUESTIONS, in both orders.

    Verdicts that contradict each other are a tie. What cannot be read, even when asked again, is unjudged: it is
    counted and kept in a file beside OUT. Every reply is kept as it comes, and the same command goes on after a kill.
    """
    from turnout.atomic_write import check_writable_file
    from turnout.cli.asking import ask_with_bar, described, dry_run_text, failures, load_models
    from turnout.data.agreement import agreement
    from turnout.data.battles import Battles
    from turnout.data.judge import Judge, Judgements
    from turnout.data.replies import Replies

    check_writable_file(out)  # now, not when the replies are paid for
    told = AskingOptions(**options)
    pair = ModelPair.parse(pair_text)
    if strangers := set(generate) - {pair.strong, pair.weak}:
        raise InvalidValueError(f"--generate takes a model of the pair {pair}, got '{min(strangers)}'.")
    models, settings = load_models(told, [judge_name, *generate])
    human = None if votes is None else Battles.read_jsonl(votes)
    asked = list(_questions(questions, answers))
    comparable = [one for one in asked if one.has_answers({pair.strong, pair.weak} - set(generate))]
    if not comparable:
        raise EmptyDataError(
            f"has no question with answers of both '{pair.strong}' and '{pair.weak}'. Give them as 'answers', with "
            "--answers, or ask for them with --generate.",
            path=questions,
        )
    found = Judgements(pair, [])

    async def work(asking: Asking, done: Callable[[], None]) -> None:
        nonlocal found
        at_work = Judge(asking, judge_name, pair, graded=graded)
        try:
            await at_work.judge(comparable, done=done)
        finally:
            found = at_work.result(comparable)

    with Replies(told.replies_path(out)) as replies:
        tally, spent_usd, stopped = ask_with_bar(models, replies, settings, len(comparable), work)
    if told.dry_run:
        click.echo(dry_run_text(tally, models))
        return
    stopped = stopped or failures(tally)
    _write_unjudged(found, out)
    if stopped is not None and not found.judged:
        raise stopped
    battles = found.battles(source or f"judge/{judge_name}")
    battles.write_jsonl(out)
    agreed = None if human is None else agreement(found.shares(), human, pair)
    if as_json:
        summary = {
            "battles": _wins(battles),
            **found.to_json(),
            "left_out": len(asked) - len(comparable),
            "missing": len(comparable) - len(found.judgements),
            "agreement": None if agreed is None else agreed.to_json(),
            **described(tally, spent_usd),
        }
        click.echo(json.dumps(summary, indent=2, ensure_ascii=False))
    else:
        if len(comparable) < len(asked):
            click.echo(f"left out: {len(asked) - len(comparable):,} questions without both answers", err=True)
        click.echo(found.text())
        if len(found.judgements) < len(comparable):
            click.echo(f"{len(comparable) - len(found.judgements):,} pairs are missing")
        if human is not None:
            click.echo("no votes on these queries" if agreed is None else agreed.text())
        click.echo(f"{len(battles):,} battles written to {out}, ${spent_usd:.3g} spent")
    if stopped is not None:
        raise stopped


def _write_unjudged(found: Judgements, out: Path) -> None:
    path = beside(out, "unjudged")
    # A file of an earlier run must not tell of pairs that are judged by now.
    if found.unjudged or path.exists():
        write_jsonl(path, found.unjudged_rows())


def _benchmark(name: str, data_dir: Path | None, pair: ModelPair | None) -> tuple[Graded, ModelPair, float]:
    from turnout.data.golden import Graded
    from turnout.evaluation.benchmarks.base import load_benchmark

    benchmark = load_benchmark(name)
    folder = benchmark_folder(data_dir)
    low, high = benchmark.scale
    return Graded(benchmark.load(folder), {}), pair or benchmark.pair, high - low


def _graded(questions: Path | None, answers: Path | None, grader: str | None) -> Graded:
    from turnout.data.golden import grade_answers
    from turnout.data.grading import GRADERS, load_grader

    if questions is None or grader is None:
        raise InvalidValueError(
            f"Give QUESTIONS and --grader ({', '.join(GRADERS)} or MODULE:FUNCTION), or --benchmark NAME --data DIR."
        )
    return grade_answers(_questions(questions, answers), load_grader(grader))


def _questions(path: Path, answers: Path | None) -> Iterator[Question]:
    from turnout.data.questions import read_questions
    from turnout.data.replies import with_answers

    questions = read_questions(path)
    return questions if answers is None else with_answers(questions, answers)


def _wins(battles: Battles) -> dict[str, int]:
    share = battles.strong_share()
    return {
        "strong": int((share > 0.5).sum()),
        "tie": int((share == 0.5).sum()),
        "weak": int((share < 0.5).sum()),
    }
