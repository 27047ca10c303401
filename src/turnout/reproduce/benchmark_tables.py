"""Tables 1 to 3: each router on MT Bench, MMLU and GSM8K, by what it was trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from turnout.evaluation.runner import Evaluation, compare
from turnout.reproduce.differences import NOT_RUN, against_random, compared
from turnout.reproduce.paper import ARENA, NOTHING, RANDOM, PaperRow, paper_row, rows_of
from turnout.reproduce.recipes import Recipe
from turnout.reproduce.table import APGR, METRICS, Figure, Row, Table, metric_figures
from turnout.reproduce.work import Tested, Work

TITLES = {1: "MT Bench", 2: "MMLU", 3: "GSM8K"}
BENCHMARK = {1: "mt-bench", 2: "mmlu", 3: "gsm8k"}
"""Table → benchmark."""

_NOTES = {
    1: "A decision is taken once a question, on its first turn, and scored by the mean of both turns; the paper does "
    "not say its unit. With this few questions every interval is wide.",
    2: f"Figures are means over the seeds of golden labels; routers of `{ARENA}` are tested on the same questions.",
}


def benchmark_table(number: int, tested: Sequence[Tested], work: Work) -> Table:
    """One of tables 1 to 3.

    Args:
        number: of the table.
        tested: the recipes' results on the same rows, trained on the Arena alone and then with what augments it.
        work: for the recipes.
    """
    rows = [random_row(number, NOTHING, tested[0].evaluation)]
    for one in tested:
        paper_rows = [row for row in rows_of(number) if row.setting == one.trained_on]
        rows += router_rows(paper_rows, (one.trained_on,), one.evaluation, work.recipes)
    notes = [_NOTES[number]] if number in _NOTES else []
    return Table(
        number,
        TITLES[number],
        _data(tested[0].evaluation),
        ("trained on", "router", "beside the paper's"),
        METRICS,
        tuple(rows),
        (*notes, _augmentation(number, tested[0], tested[-1], work.recipes)),
        tuple(work.went_in(one.trained_on) for one in tested),
    )


def _augmentation(number: int, before: Tested, after: Tested, recipes: Sequence[Recipe]) -> str:
    """What the added data changed, with the paired interval: the paper's claim is that it helps."""
    changes = []
    for recipe in recipes:
        old, new = before.result(recipe.label), after.result(recipe.label)
        change = compare(new, old)
        said = f"{recipe.label} {change.difference:+.3f} [{change.interval.low:+.3f}, {change.interval.high:+.3f}]"
        papers = [paper_row(number, one.trained_on, recipe.paper) for one in (before, after)]
        if papers[0] is not None and papers[1] is not None:
            said += f" (the paper's {recipe.paper} {papers[1].apgr - papers[0].apgr:+.3f})"
        changes.append(said)
    return f"APGR of {after.trained_on} minus that of {before.trained_on}, over the same draws: {'; '.join(changes)}."


def _data(evaluation: Evaluation) -> str:
    table, n_tested = evaluation.table, evaluation.random.n_queries
    strong, weak = float(table.strong_scores.mean()), float(table.weak_scores.mean())
    of_all = "" if n_tested == len(table) else f"{n_tested:,} of "
    return (
        f"{of_all}{len(table):,} {table.units} with the outcomes that were released with the paper, without those it "
        f"found contaminated. Strong: {table.pair.strong} ({table.quality_text(strong)}); weak: {table.pair.weak} "
        f"({table.quality_text(weak)})."
    )


def random_row(number: int, setting: str, evaluation: Evaluation, *, labels: tuple[str, ...] = (NOTHING,)) -> Row:
    """Random routing: exactly 0.5, and where 95 in 100 single random routers lie."""
    paper = paper_row(number, setting, RANDOM)
    figures = metric_figures(None if paper is None else paper.figures(), evaluation.random)
    low, high = evaluation.single_random_apgr
    figures["apgr"] = Figure(figures["apgr"].paper, 0.5, low, high)
    figures["improvement"] = Figure(figures["improvement"].paper, 0.0)
    said = (
        "its APGR is 0.5 exactly, which is the mean of all random routers; the interval is where the APGR of 95 in 100 "
        "single random routers lies."
    )
    return Row((*labels, RANDOM, NOTHING), figures, said)


def router_rows(
    paper_rows: Sequence[PaperRow],
    labels: tuple[str, ...],
    evaluation: Evaluation,
    recipes: Sequence[Recipe],
) -> list[Row]:
    """The paper's routers in its order, each with our recipes of it or a line that says it was not run; then ours
    that the paper has not.
    """
    results = {result.router: result for result in evaluation.results}
    rows: list[Row] = []
    for paper in paper_rows:
        if paper.router == RANDOM:
            continue
        mine = [recipe for recipe in recipes if recipe.paper == paper.router and recipe.label in results]
        if not mine:
            figures = metric_figures(paper.figures(), None)
            rows.append(Row((*labels, NOTHING, paper.router), figures, NOT_RUN))
        for recipe in mine:
            figures = metric_figures(paper.figures(), results[recipe.label])
            said = compared(figures["apgr"], APGR, against_random(figures["apgr"]))
            rows.append(_row(labels, recipe, paper.router, figures, said, evaluation))
    beside = {paper.router for paper in paper_rows}
    for recipe in recipes:
        if recipe.label in results and recipe.paper not in beside:
            figures = metric_figures(None, results[recipe.label])
            said = compared(figures["apgr"], APGR, against_random(figures["apgr"]))
            rows.append(_row(labels, recipe, NOTHING, figures, said, evaluation))
    return rows


def _row(
    labels: tuple[str, ...],
    recipe: Recipe,
    beside: str,
    figures: Mapping[str, Figure],
    said: str,
    evaluation: Evaluation,
) -> Row:
    result = next(one for one in evaluation.results if one.router == recipe.label)
    facts = {
        "n_queries": result.n_queries,
        "quality_at_half_strong": result.quality.value,
        "apgr_ten_point_grid": result.apgr_ten_point_grid,
        "apgr_by_seed": list(result.apgr.by_seed),
        "settings": recipe.shown_settings,
    }
    return Row((*labels, recipe.label, beside), figures, said, facts)
