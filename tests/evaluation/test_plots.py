import re
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


def test_three_stand_in_a_row_and_no_two_curves_look_alike(table: PairTable, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    runs = {f"router {n}": [Replay.of_all(np.roll(np.linspace(0, 1, len(table)), 5 * n))] for n in range(8)}
    evaluation = evaluate(table, runs, n_replicates=5)
    one, four = (tmp_path / f"{n}.svg" for n in (1, 4))
    plot_curves([evaluation], one)
    plot_curves([evaluation] * 4, four)
    (width, height), (wide, high) = map(size, (one, four))
    assert (wide / width, high / height) == pytest.approx((3, 2))
    lines = re.findall(r"<path [^>]*style=\"(fill: none; stroke[^\"]*stroke-width: 1\.8[^\"]*)\"", one.read_text())
    assert len(set(lines)) == 8


def size(svg: Path) -> tuple[float, float]:
    found = re.search(r'width="([\d.]+)pt" height="([\d.]+)pt"', svg.read_text())
    assert found is not None
    return float(found[1]), float(found[2])


def test_another_format_is_refused_before_anything_is_measured() -> None:
    with pytest.raises(InvalidValueError, match=r"must end in png, pdf, svg, got 'curves.gif'"):
        check_can_plot("curves.gif")


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"turnout\[plots\]"):
        check_can_plot("curves.png")
