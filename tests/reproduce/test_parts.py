from pathlib import Path

import numpy as np
import pytest

from turnout.reproduce import parts
from turnout.reproduce.parts import Parts
from turnout.types import FloatArray


def make() -> dict[str, FloatArray]:
    return {"win_rates": np.array([0.25, 0.5])}


def never() -> dict[str, FloatArray]:
    raise AssertionError("it was kept")


def test_a_part_is_made_once_and_read_back_to_the_bit(tmp_path: Path) -> None:
    kept = Parts(tmp_path)
    assert kept.get({"router": "knn"}, make)["win_rates"].tolist() == [0.25, 0.5]
    again = Parts(tmp_path)
    assert again.get({"router": "knn"}, never)["win_rates"].tolist() == [0.25, 0.5]
    assert (kept.n_made, again.n_reused) == (1, 1)


def test_other_settings_are_another_part(tmp_path: Path) -> None:
    kept = Parts(tmp_path)
    kept.get({"settings": {"k": 1}}, make)
    kept.get({"settings": {"k": 2}}, make)
    assert kept.n_made == 2


def test_another_version_makes_it_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Parts(tmp_path).get({}, make)
    monkeypatch.setattr(parts, "__version__", "999")
    later = Parts(tmp_path)
    later.get({}, make)
    assert later.n_made == 1


@pytest.mark.parametrize("content", [b"", b"not a zip file", b"PK\x03\x04 cut off"])
def test_a_damaged_part_is_made_anew(tmp_path: Path, content: bytes) -> None:
    kept = Parts(tmp_path)
    kept.get({}, make)
    (file,) = tmp_path.iterdir()
    file.write_bytes(content)
    assert kept.get({}, make)["win_rates"].tolist() == [0.25, 0.5]
    assert kept.n_made == 2
