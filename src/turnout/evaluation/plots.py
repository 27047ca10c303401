"""Routing curves as a picture: what each strong fraction buys."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from turnout.atomic_write import check_writable_file, write_atomically
from turnout.errors import InvalidValueError, MissingExtraError
from turnout.evaluation.runner import Evaluation

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")
"""Okabe and Ito's palette, which colour-blind readers can tell apart."""
DASHES = ("-", (0, (5, 2)), (0, (1.5, 1.5)))
"""For routers beyond the number of colours."""
FORMATS = ("png", "pdf", "svg")
_COLUMNS = 3


def plot_curves(evaluations: Sequence[Evaluation], path: str | Path) -> None:
    """Write a picture of each evaluation's curves: PGR, and quality on the right, by strong fraction.

    Three stand in a row. Bands are 95 % intervals. Random routing is the diagonal, the oracle the dotted line.

    Raises:
        MissingExtraError: matplotlib is not installed.
        InvalidValueError: the file's name does not end in .png, .pdf or .svg.
        NotWritableError: the file cannot be written.
    """
    path = Path(path)
    check_can_plot(path)
    from matplotlib.figure import Figure

    # A figure of its own, without pyplot: no global state and no screen.
    n_columns = min(_COLUMNS, len(evaluations))
    n_rows = math.ceil(len(evaluations) / n_columns)
    figure = Figure(figsize=(6.4 * n_columns, 4.8 * n_rows), dpi=150, layout="constrained")
    places = figure.subplots(n_rows, n_columns, squeeze=False).ravel()
    for axes, evaluation in zip(places, evaluations, strict=False):
        _draw(axes, evaluation)
    for axes in places[len(evaluations) :]:
        axes.remove()
    save_figure(figure, path)


def check_can_plot(path: str | Path) -> None:
    """Raise what `plot_curves` would raise, before the long work that a plot stands at the end of."""
    path = Path(path)
    if path.suffix[1:].lower() not in FORMATS:
        raise InvalidValueError(f"A plot's name must end in {', '.join(FORMATS)}, got '{path.name}'.")
    if importlib.util.find_spec("matplotlib") is None:
        raise MissingExtraError("matplotlib", extra="plots", purpose="Plotting")
    check_writable_file(path)


def dress(axes: Any, title: str, *, grid: Literal["both", "x"] = "both") -> None:
    """The look of every picture: title, grid, no box."""
    axes.set_title(title, loc="left", fontsize=11, fontweight="bold")
    axes.grid(axis=grid, color="#e6e6e6", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def dress_rows(axes: Any, title: str, n_rows: int) -> None:
    """The look of a picture with a line of its own for each row, the first on top."""
    dress(axes, title, grid="x")
    axes.set_ylim(n_rows - 0.4, -0.6)
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)


def save_figure(figure: Any, path: Path) -> None:
    """Write the figure, whole or not at all, in the format that the file's name ends in."""
    with write_atomically(path) as file:
        figure.savefig(file, format=path.suffix[1:].lower())


def _draw(axes: Any, evaluation: Evaluation) -> None:
    table, oracle = evaluation.table, evaluation.oracle
    axes.axhline(100, color="#999999", linewidth=0.6)
    lowest = 0.0
    for place, result in enumerate(evaluation.results):
        colour, curve = COLOURS[place % len(COLOURS)], result.curve
        interval = result.apgr.interval
        axes.fill_between(
            100 * curve.strong_fraction, 100 * curve.low, 100 * curve.high, color=colour, alpha=0.16, linewidth=0
        )
        axes.plot(
            100 * curve.strong_fraction,
            100 * curve.pgr,
            color=colour,
            linewidth=1.8,
            linestyle=DASHES[place // len(COLOURS) % len(DASHES)],
            label=f"{result.router} ({result.apgr.value:.3f} [{interval.low:.3f}, {interval.high:.3f}])",
        )
        lowest = min(lowest, 100 * float(curve.low.min()))
    axes.plot([0, 100], [0, 100], color="#777777", linewidth=1, linestyle="--", label="random (0.500)", zorder=1)
    axes.plot(
        100 * oracle.curve.strong_fraction,
        100 * oracle.curve.pgr,
        color="#222222",
        linewidth=1,
        linestyle=":",
        label=f"oracle ({oracle.apgr.value:.3f})",
    )
    weak, strong = float(table.weak_scores.mean()), float(table.strong_scores.mean())
    unit = 100.0 if table.in_per_cent else 1.0
    quality = axes.secondary_yaxis(
        "right",
        functions=(
            lambda pgr: unit * (weak + pgr / 100 * (strong - weak)),
            lambda score: 100 * (score / unit - weak) / (strong - weak),
        ),
    )
    quality.set_ylabel("Mean score, %" if table.in_per_cent else "Mean score")
    axes.set(
        xlim=(0, 100),
        ylim=(min(-4.0, lowest), 104 * max(1.0, float(oracle.curve.pgr.max()))),
        xlabel="Queries sent to the strong model, %",
        ylabel="Performance gap recovered, %",
    )
    dress(axes, f"{table.title}, {len(table):,} {table.units}")
    axes.legend(loc="lower right", frameon=True, framealpha=0.9, edgecolor="none", fontsize=9, title="APGR [95 %]")
