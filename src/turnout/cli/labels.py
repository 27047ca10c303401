"""`turnout data golden` and `turnout data judge`: labels from a known answer, and from a judge."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from turnout.errors import InvalidValueError
from turnout.types import JSON, ModelPair

if TYPE_CHECKING:
    from turnout.data.battles import Battles
    from turnout.data.golden import Graded
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


def _benchmark(name: str, data_dir: Path | None, pair: ModelPair | None) -> tuple[Graded, ModelPair, float]:
    from turnout.data.golden import Graded
    from turnout.evaluation.benchmarks.base import load_benchmark

    benchmark = load_benchmark(name)
    if data_dir is None:
        raise InvalidValueError("--benchmark needs --data DIR: the folder with the benchmark's outcomes.")
    low, high = benchmark.scale
    return Graded(benchmark.load(data_dir), {}), pair or benchmark.pair, high - low


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
