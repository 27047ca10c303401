from pathlib import Path

import pytest

from turnout.data.battles import Battles
from turnout.data.ratings import Ratings
from turnout.errors import InvalidValueError
from turnout.evaluation.ratings_plot import plot_ratings


@pytest.fixture(scope="module")
def rated() -> Ratings:
    rows = [("gpt", "llama", 1.0), ("llama", "vicuna", 0.5), ("vicuna", "gpt", 0.0), ("llama", "gpt", 1.0)] * 5
    queries = [f"q{number}" for number in range(len(rows))]
    return Ratings.of(Battles.from_columns(queries, *zip(*rows, strict=True)), n_tiers=2, n_replicates=20)


def test_the_picture_names_models_and_tiers(rated: Ratings, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    plot_ratings(rated, tmp_path / "r.svg")
    drawn = (tmp_path / "r.svg").read_text()
    # matplotlib keeps each text as a comment beside its outlines.
    for text in ("gpt", "llama", "vicuna", "tier 0", "tier 1", "20 battles, 3 models"):
        assert f"<!-- {text} -->" in drawn


def test_another_ending_is_refused(rated: Ratings, tmp_path: Path) -> None:
    with pytest.raises(InvalidValueError, match=r"\.gif"):
        plot_ratings(rated, tmp_path / "r.gif")
