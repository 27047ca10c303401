"""`turnout data golden` and `turnout data judge`: labels from a known answer, and from a judge."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np

from turnout.errors import InvalidValueError
from turnout.types import JSON, ModelPair

if TYPE_CHECKING:
    from turnout.data.battles import Battles
    from turnout.data.outcomes import Outcomes

FILE = click.Path(path_type=Path)


@click.command(epilog="Example: turnout data golden answers.jsonl --grader number --pair big,small --out battles.jsonl")
@click.argument("questions", type=FILE, required=False)
@click.option("--grader", metavar="NAME", help="multiple-choice, number, exact, or your own MODULE:FUNCTION.")
@click.option("--benchmark", help="Take the outcomes of a registered benchmark, such as mmlu, instead of QUESTIONS.")
@click.option("--data", "data_dir", type=FILE, help="The folder with the benchmark's outcomes.")
@click.option("--pair", "pair_text", metavar="STRONG,WEAK", help="The two models; by default the benchmark's own.")
@click.option("--out", type=FILE, help="Write the pair's battles.")
@click.option("--outcomes", "outcomes_path", type=FILE, help="Write the outcomes of all models.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def golden(
    questions: Path | None,
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
    if benchmark is not None:
        if questions is not None or grader is not None:
            raise InvalidValueError(
                "A benchmark is graded already: give either --benchmark, or QUESTIONS and --grader."
            )
        unreadable: dict[str, int] = {}
        outcomes, pair, scale = _benchmark(benchmark, data_dir, pair)
    else:
        outcomes, unreadable = _graded(questions, grader)
        scale = 1.0
    battles = None
    if out is not None:
        if pair is None:
            raise InvalidValueError(f"--out needs --pair STRONG,WEAK: two of {', '.join(outcomes.models)}.")
        battles = outcomes.battles(pair, scale=scale)
        battles.write_jsonl(out)
    if outcomes_path is not None:
        outcomes.write_jsonl(outcomes_path)
    summary = _golden_summary(outcomes, unreadable, battles)
    if as_json:
        click.echo(json.dumps(summary, indent=2, ensure_ascii=False))
        return
    for model, found in summary["models"].items():
        unread = f", {found['unreadable']:,} unreadable" if found["unreadable"] else ""
        click.echo(f"{model}: mean score {found['mean_score']:.3f} on {found['answers']:,} questions{unread}")
    if battles is not None:
        wins = summary["battles"]
        click.echo(
            f"{len(battles):,} battles written to {out}: {wins['strong']:,} for {pair.strong if pair else ''}, "
            f"{wins['tie']:,} ties, {wins['weak']:,} for {pair.weak if pair else ''}"
        )
    if outcomes_path is not None:
        click.echo(f"{len(outcomes):,} outcomes written to {outcomes_path}")


def _benchmark(name: str, data_dir: Path | None, pair: ModelPair | None) -> tuple[Outcomes, ModelPair, float]:
    from turnout.evaluation.benchmarks.base import load_benchmark

    benchmark = load_benchmark(name)
    if data_dir is None:
        raise InvalidValueError("--benchmark needs --data DIR: the folder with the benchmark's outcomes.")
    low, high = benchmark.scale
    return benchmark.load(data_dir), pair or benchmark.pair, high - low


def _graded(questions: Path | None, grader: str | None) -> tuple[Outcomes, dict[str, int]]:
    from turnout.data.golden import grade_answers
    from turnout.data.grading import GRADERS, load_grader
    from turnout.data.questions import read_questions

    if questions is None or grader is None:
        raise InvalidValueError(
            f"Give QUESTIONS and --grader ({', '.join(GRADERS)} or MODULE:FUNCTION), or --benchmark NAME --data DIR."
        )
    graded = grade_answers(read_questions(questions), load_grader(grader))
    return graded.outcomes, dict(graded.unreadable)


def _golden_summary(outcomes: Outcomes, unreadable: dict[str, int], battles: Battles | None) -> dict[str, JSON]:
    known = np.isfinite(outcomes.scores)
    summary: dict[str, JSON] = {
        "models": {
            model: {
                "answers": int(known[:, column].sum()),
                "mean_score": float(outcomes.scores[known[:, column], column].mean()),
                "unreadable": unreadable.get(model, 0),
            }
            for column, model in enumerate(outcomes.models)
        }
    }
    if battles is not None:
        share = battles.strong_share()
        summary["battles"] = {
            "strong": int((share > 0.5).sum()),
            "tie": int((share == 0.5).sum()),
            "weak": int((share < 0.5).sum()),
        }
    return summary
