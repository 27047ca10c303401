from pathlib import Path

import numpy as np
import pytest

from turnout.errors import InvalidValueError, MissingExtraError
from turnout.evaluation.pair_table import PairTable
from turnout.evaluation.plots import check_can_plot, plot_curves
from turnout.evaluation.replay import Replay
from turnout.evaluation.runner import evaluate


@pytest.mark.parametrize(("name", "magic"), [("curves.png", b"\x89PNG"), ("curves.svg", b"<?xml")])
def test_a_picture_is_written(table: PairTable, tmp_path: Path, name: str, magic: bytes) -> None:
    pytest.importorskip("matplotlib")
    evaluation = evaluate(table, {"mine": [Replay.of_all(np.linspace(0, 1, len(table)))]}, n_replicates=20)
    plot_curves([evaluation, evaluation], tmp_path / name)
    content = (tmp_path / name).read_bytes()
    assert content.startswith(magic)
    assert len(content) > 10_000


def test_another_format_is_refused_before_anything_is_measured() -> None:
    with pytest.raises(InvalidValueError, match=r"must end in png, pdf, svg, got 'curves.gif'"):
        check_can_plot("curves.gif")


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"turnout\[plots\]"):
        check_can_plot("curves.png")
