"""That the contract catches what it is there to catch: it runs on sound routers, and on faulty ones."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from turnout import registry
from turnout.encoders.hashing import HashingEncoder
from turnout.evaluation.metrics import apgr
from turnout.routers import base
from turnout.testing import TINY_PAIR, FakeEncoder, check_fitted_router, check_router, tiny_battles, tiny_outcomes

ROOT = Path(__file__).parents[1]


def install(site: Path, patch: pytest.MonkeyPatch, entries: dict[str, str]) -> None:
    """Register routers by a package of their own, as any plugin is."""
    metadata = site / "plugin-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: plugin\nVersion: 1.0\n")
    lines = [f"{name} = {place}" for name, place in entries.items()]
    (metadata / "entry_points.txt").write_text("\n".join(["[turnout.routers]", *lines, ""]))
    patch.syspath_prepend(str(site))
    registry._entries.cache_clear()


@pytest.fixture(scope="module")
def routers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "tests" / "faulty"))
        module = importlib.import_module("faulty_routers")
        install(tmp_path_factory.mktemp("site"), patch, {name: f"faulty_routers:{name}" for name in module.CLASSES})
        yield module
    registry._entries.cache_clear()


SETTINGS = "__init__ stores its arguments untouched"
UNFITTED = "an unfitted router raises NotFittedError: "
REFUSES = "fit refuses data that it cannot learn from: "
FIT = "fit learns from battles, returns self and changes nothing that was given to it: "
SAVED = "save and load keep the scores to the bit: "
SEED = "the same seed gives the same result: "
FAULTS = {
    "ChangesASetting": f"{SETTINGS} .*self.prior is not what was given as prior",
    "LearnsInInit": f"{SETTINGS} .*it sets pair_, but attributes that end in _ are what fit learns",
    "TakesAnything": rf"{SETTINGS} .*'\*\*settings: .*' cannot be saved: name every setting",
    "AnswersUnfitted": f"{UNFITTED}expected NotFittedError, but nothing was raised",
    "LearnsFromNothing": f"{REFUSES}expected EmptyDataError, but nothing was raised",
    "GuessesThePair": f"{REFUSES}expected InvalidValueError, but nothing was raised",
    "ReturnsNothing": f"{FIT}fit did not return the router itself",
    "KeepsAnotherPair": f"{FIT}pair_ is other,small, but the battles' pair is big,small",
    "FitsItsSettings": f"{FIT}the setting prior was 0.5 and is 0.[0-9]+ after fit",
    "SortsTheBattles": f"{FIT}fit changed the battles' queries",
    "ClipsTheWeights": f"{FIT}fit changed the battles' weight",
    "TakesOneText": "one text is refused.*expected InvalidValueError, but nothing was raised",
    "GivesPerCent": "odd queries do not crash it: .*a win rate is 50.0",
    "GivesNaN": "odd queries do not crash it: an empty text .*a win rate is nan",
    "GivesAColumn": r"odd queries do not crash it: .*1 queries got an array of shape \(1, 1\)",
    "GivesHalfPrecision": r"win rates are numbers in \[0, 1\].*they are float32",
    "GivesAList": "odd queries do not crash it: .*expected a numpy array, got list",
    "SortsTheQueries": "win rates are numbers .*predict_win_rate changed the list of queries",
    "LooksAtTheBatch": "a batch equals singles: asked one by one, win rates differ by up to 0.",
    "RemembersTheOrder": "a batch equals singles: asked one by one, win rates differ by up to 0.",
    "ForgetsWhenSaved": f"{SAVED}after loading, win rates differ by up to 0.1",
    "SavesRounded": f"{SAVED}after loading, win rates differ by up to",
    "DependsOnTheProcess": f"{SAVED}in another process, win rates differ by up to",
    "IgnoresTheSeed": f"{SEED}a second router, fitted alike, differs by up to",
    "AddsToWhatItKnew": f"{SEED}the router, fitted once more, differs by up to",
    "NeedsAWord": "odd queries do not crash it: an empty text raised IndexError",
    "NeedsUnicode": "odd queries do not crash it: a lone surrogate raised UnicodeEncodeError",
    "NeedsWinners": "odd training data does not crash it: ZeroDivisionError: no variance",
    "FavoursTheFirst": "scores any pair of them: the win rates of big,middle and of its reverse do not add up to 1",
    "KnowsEverybody": "scores any pair of them: expected UnknownNameError, but nothing was raised",
    "ForgetsAModel": r"scores any pair of them: models_ is \['big', 'small'\]",
}


@pytest.mark.parametrize("name", ["Sound", "Judges"])
def test_a_sound_router_passes(routers: ModuleType, name: str) -> None:
    check_router(routers.CLASSES[name])
    check_router(routers.CLASSES[name]())


def test_a_sound_router_with_an_encoder_passes(routers: ModuleType) -> None:
    check_router(lambda: routers.HasAnEncoder(HashingEncoder(dim=8)), other_process=False)


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_named(routers: ModuleType, name: str) -> None:
    with pytest.raises(AssertionError, match=f"^{name} breaks the law that .*{FAULTS[name]}"):
        check_router(routers.CLASSES[name], other_process=name == "DependsOnTheProcess")


def test_every_faulty_router_is_caught(routers: ModuleType) -> None:
    assert {*FAULTS, "Sound", "Judges", "HasAnEncoder"} == set(routers.CLASSES)


def test_another_encoder_must_be_refused(routers: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "_matching_encoder", lambda described, given: given or HashingEncoder(dim=8))
    with pytest.raises(AssertionError, match="loading with another encoder raises EncoderMismatchError: .*nothing was"):
        check_router(lambda: routers.HasAnEncoder(HashingEncoder(dim=8)), other_process=False)


def test_a_router_that_is_not_registered_is_told_so(routers: ModuleType) -> None:
    class Unregistered(routers.Sound):  # type: ignore[misc, name-defined]
        name = "unregistered"

    with pytest.raises(AssertionError, match=f"{SAVED}UnknownNameError: No router named 'unregistered'"):
        check_router(Unregistered)
    Unregistered.name = "Judges"
    with pytest.raises(AssertionError, match=f"{SAVED}'Judges' is the name of another router"):
        check_router(Unregistered)


def test_a_tolerance_is_for_the_batch_only(routers: ModuleType) -> None:
    fitted = routers.RemembersTheOrder().fit(tiny_battles())
    check_fitted_router(fitted, tolerance=1.0, other_process=False)
    with pytest.raises(AssertionError, match="a batch equals singles"):
        check_fitted_router(fitted, tolerance=0.01, other_process=False)


def test_the_router_of_the_how_to_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (ROOT / "docs/how-to/add-a-router.md").read_text(encoding="utf-8")
    code, *_ = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    (tmp_path / "my_package").mkdir()
    (tmp_path / "my_package" / "question_marks.py").write_text(code)
    install(tmp_path, monkeypatch, {"question-marks": "my_package.question_marks:QuestionMarks"})
    try:
        check_router(registry.load("router", "question-marks")())
    finally:
        registry._entries.cache_clear()


def test_tiny_battles_can_be_learned(routers: ModuleType) -> None:
    battles, outcomes = tiny_battles(200), tiny_outcomes(seed=1)
    assert battles.pair == TINY_PAIR
    assert sorted(set(battles.share_a.round(6).tolist())) == [0.0, 0.1, 0.5, 0.9, 1.0]
    win_rates = routers.Sound().fit(battles).predict_win_rate(outcomes.queries)
    assert apgr(win_rates, outcomes.scores[:, 0], outcomes.scores[:, 1]) > 0.75


def test_tiny_battles_of_many_models_are_connected_and_seeded() -> None:
    battles = tiny_battles(90, models=("big", "middle", "small"))
    assert {*zip(battles.model_a, battles.model_b, strict=True)} == {
        ("big", "middle"),
        ("big", "small"),
        ("middle", "small"),
    }
    assert list(battles.rows()) == list(tiny_battles(90, models=("big", "middle", "small")).rows())
    assert list(battles.queries) != list(tiny_battles(90, seed=1).queries)


def test_a_fake_encoder_gives_what_it_is_told() -> None:
    encoder = FakeEncoder({"a": [3.0, 4.0]})
    np.testing.assert_allclose(encoder.encode(["a", "b"]), [[0.6, 0.8], [0.0, 0.0]], atol=1e-7)
    assert encoder.encode([]).shape == (0, 2)
    assert encoder.identity != FakeEncoder({"a": [4.0, 3.0]}).identity
