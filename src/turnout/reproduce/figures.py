"""The report's pictures: the paper's APGR and ours with its interval, and the curves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from turnout.evaluation.plots import COLOURS, check_can_plot, dress_rows, plot_curves, save_figure
from turnout.evaluation.runner import Evaluation
from turnout.reproduce.paper import NOTHING, RANDOM
from turnout.reproduce.recipes import Recipe
from turnout.reproduce.run import Reproduction
from turnout.reproduce.table import Row, Table


def draw(reproduction: Reproduction) -> list[str]:
    """Write the pictures to the plan's folder; returns their names.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    folder = reproduction.plan.out
    names = []
    for table in reproduction.tables:
        if any("apgr" in row.figures for row in table.rows):
            name = f"table-{table.number}-apgr.png"
            plot_apgr(table, folder / name)
            names.append(name)
    for benchmark, evaluation in reproduction.pictures.items():
        name = f"curves-{benchmark}.png"
        plot_curves([_one_of_each_router(evaluation, reproduction.recipes)], folder / name)
        names.append(name)
    return names


def _one_of_each_router(evaluation: Evaluation, recipes: Sequence[Recipe]) -> Evaluation:
    """Without the recipes that the defaults come after: more curves than routers cannot be told apart."""
    last = {recipe.router: recipe.label for recipe in recipes}
    kept = tuple(result for result in evaluation.results if result.router in last.values())
    return replace(evaluation, results=kept)


def plot_apgr(table: Table, path: Path) -> None:
    """A line for each row: our APGR with its interval, and the paper's as a cross."""
    check_can_plot(path)
    from matplotlib.figure import Figure

    lines = _lines(table)
    figure = Figure(figsize=(8.4, 1.4 + 0.19 * len(lines)), dpi=100, layout="constrained")
    axes = figure.subplots()
    axes.axvline(0.5, color="#777777", linewidth=1, linestyle="--")
    for place, (_, row) in enumerate(lines):
        if row is None:
            axes.axhline(place - 0.5, color="#cccccc", linewidth=0.6)
            continue
        one, colour = row.figures["apgr"], "#777777" if RANDOM in row.labels else COLOURS[0]
        if one.low is not None and one.high is not None:
            axes.plot([one.low, one.high], [place, place], color=colour, linewidth=1.8, alpha=0.6)
        if one.ours is not None:
            axes.plot(one.ours, place, "o", color=colour, markersize=4.5)
        if one.paper is not None:
            axes.plot(one.paper, place, "x", color=COLOURS[1], markersize=5.5)
    axes.plot([], [], "o-", color=COLOURS[0], markersize=4.5, label="ours, 95 %")
    axes.plot([], [], "x", color=COLOURS[1], markersize=5.5, label="the paper's")
    axes.set_yticks(range(len(lines)), ["" if row is None else label for label, row in lines], fontsize=7.5)
    points = [
        value
        for _, row in lines
        if row is not None
        for value in (row.figures["apgr"].ours, row.figures["apgr"].paper)
        if value is not None
    ]
    # A pair that hardly differs has intervals beyond all measure: they end at the margin.
    left, right = min(points) - 0.1, max(points) + 0.1
    axes.set_xlim(left, right)
    for place, (label, row) in enumerate(lines):
        if row is None:
            axes.text(left + 0.01 * (right - left), place, label, fontsize=7.5, fontweight="bold", va="center")
    axes.set_xlabel("APGR (random routing 0.5)")
    dress_rows(axes, f"Table {table.number}: {table.title}", len(lines))
    figure.legend(loc="outside lower right", frameon=False, fontsize=9, ncols=2)
    save_figure(figure, path)


def _lines(table: Table) -> list[tuple[str, Row | None]]:
    """(label, row) of each line; a line without a row is the heading of those below it."""
    lines: list[tuple[str, Row | None]] = []
    previous: str | None = None
    for row in table.rows:
        heading = " – ".join(label for label in row.labels[:-2] if label != NOTHING)
        if heading != previous and heading:
            lines.append((heading, None))
        previous = heading
        router, beside = row.labels[-2:]
        lines.append((f"{beside} (paper only)" if row.figures["apgr"].ours is None else router, row))
    return lines
