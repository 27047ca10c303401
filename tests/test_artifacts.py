import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from turnout import Battles, ModelPair, Router
from turnout.artifacts import check_replaceable, read_artifact
from turnout.errors import ArtifactError, NotWritableError
from turnout.registry import load
from turnout.route import Route

FILES = ["router.json", "weights.safetensors", "calibration.json", "card.md"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    battles = Battles.from_columns(
        [f"query {row}" for row in range(30)], "big", "small", [1.0, 0.0] * 15, pair=ModelPair("big", "small")
    )
    router = load("router", "knn")(load("encoder", "hashing")(), k=3).fit(battles)
    calibration = {"data": "none", "n_queries": 1, "thresholds": [0.6, 0.5], "n_strong": [0, 1]}
    router.save(tmp_path / "router", card="A card.", calibration=calibration)
    return tmp_path / "router"


def decide(folder: Path) -> None:
    Route.load(folder, strong_fraction=0.5).decide(["query 1"])


def test_a_sound_folder_decides(folder: Path) -> None:
    decide(folder)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(
    "damage", [b"", b"{", b"\xff\xfe\x00", b"[" * 100_000, None], ids=["empty", "cut", "bytes", "deep", "folder"]
)
def test_a_damaged_file_is_named(folder: Path, name: str, damage: bytes | None) -> None:
    if name == "card.md" and damage is not None and damage.isascii():
        pytest.skip("any text is a card")
    (folder / name).unlink()
    if damage is None:
        (folder / name).mkdir()
    else:
        (folder / name).write_bytes(damage)
    with pytest.raises(ArtifactError, match=re.escape(name)):
        decide(folder)


@pytest.mark.parametrize("name", FILES[:2])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(ArtifactError, match=name):
        decide(folder)


@pytest.mark.parametrize("key", ["router", "settings", "learned", "encoder", "weights_sha256", "extra"])
@pytest.mark.parametrize("value", [5, [1], "x", True], ids=repr)
def test_a_description_of_another_form_is_refused(folder: Path, key: str, value: object) -> None:
    _edit(folder, lambda description: {**description, key: value, "sha256": None})
    with pytest.raises(ArtifactError):
        decide(folder)


def test_an_edited_description_is_refused_and_added_facts_are_not(folder: Path) -> None:
    _edit(folder, lambda description: {**description, "extra": {"licence": "MIT"}})
    decide(folder)
    assert read_artifact(folder).extra == {"licence": "MIT"}
    _edit(folder, lambda description: {**description, "learned": {**description["learned"], "mean_": 0.9}})
    with pytest.raises(ArtifactError, match="changed after it was written"):
        decide(folder)


def test_a_folder_of_before_the_seal_is_read(folder: Path) -> None:
    _edit(folder, lambda description: {key: value for key, value in description.items() if key != "sha256"})
    decide(folder)


@pytest.mark.parametrize("pair", [None, 5, {}, {"strong": "a"}, {"strong": "a", "weak": "a"}], ids=repr)
def test_a_damaged_pair_is_refused(folder: Path, pair: object) -> None:
    def change(description: dict[str, Any]) -> dict[str, Any]:
        del description["sha256"]
        return {**description, "learned": {**description["learned"], "pair_": pair}}

    _edit(folder, change)
    with pytest.raises(ArtifactError, match="saved pair"):
        Router.load(folder)


def test_weights_that_are_no_safetensors_are_refused_even_with_their_hash(folder: Path) -> None:
    (folder / "weights.safetensors").write_bytes(b"none")

    def change(description: dict[str, Any]) -> dict[str, Any]:
        del description["sha256"]
        return {**description, "weights_sha256": hashlib.sha256(b"none").hexdigest()}

    _edit(folder, change)
    with pytest.raises(ArtifactError, match="safetensors"):
        decide(folder)


def test_what_is_no_router_is_not_replaced(folder: Path, tmp_path: Path) -> None:
    check_replaceable(folder)
    check_replaceable(tmp_path / "new" / "folder")
    with pytest.raises(NotWritableError, match="holds other things"):
        check_replaceable(tmp_path)
    with pytest.raises(NotWritableError, match="is not a folder"):
        check_replaceable(folder / "card.md")


def _edit(folder: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    path = folder / "router.json"
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
