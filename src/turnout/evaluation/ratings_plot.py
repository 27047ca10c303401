"""Ratings as a picture: each model's rating and its interval, best first, a colour for each tier."""

from __future__ import annotations

from pathlib import Path

from turnout.data.ratings import Ratings
from turnout.evaluation.plots import COLOURS, check_can_plot, dress_rows, save_figure


def plot_ratings(ratings: Ratings, path: str | Path) -> None:
    """Write the picture.

    Raises:
        MissingExtraError: matplotlib is not installed.
        InvalidValueError: the file's name does not end in .png, .pdf or .svg.
    """
    path = Path(path)
    check_can_plot(path)
    from matplotlib.figure import Figure

    models = ratings.models
    figure = Figure(figsize=(7.2, 1.2 + 0.24 * len(models)), dpi=150, layout="constrained")
    axes = figure.subplots()
    for place, model in enumerate(models):
        colour = COLOURS[model.tier % len(COLOURS)]
        axes.plot([model.low, model.high], [place, place], color=colour, linewidth=1.6, alpha=0.6)
        axes.plot(model.rating, place, marker="o", markersize=4.5, color=colour)
        if place and model.tier != models[place - 1].tier:
            axes.axhline(place - 0.5, color="#cccccc", linewidth=0.6)
    axes.set_yticks(range(len(models)), [model.name for model in models], fontsize=8)
    axes.set_xlabel("Rating (Elo scale), with its 95 % interval")
    dress_rows(axes, f"{ratings.n_battles:,} battles, {len(models)} models", len(models))
    right = axes.secondary_yaxis("right")
    right.set_yticks(*_tier_labels(ratings), fontsize=8, color="#555555")
    right.tick_params(length=0)
    right.spines["right"].set_visible(False)
    save_figure(figure, path)


def _tier_labels(ratings: Ratings) -> tuple[list[float], list[str]]:
    """Where each tier's middle is, and its name."""
    tiers = [model.tier for model in ratings.models]
    present = sorted(set(tiers))
    return [tiers.index(tier) + (tiers.count(tier) - 1) / 2 for tier in present], [f"tier {tier}" for tier in present]
