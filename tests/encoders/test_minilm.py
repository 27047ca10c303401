"""The real weights against a plain numpy forward pass; skipped where they were not pulled."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("tokenizers")

from safetensors.numpy import load_file

from turnout.data.battles import Battles
from turnout.encoders.minilm import MiniLMEncoder
from turnout.encoders.minilm_files import MINILM
from turnout.errors import InvalidValueError, MissingModelError
from turnout.routers.base import Router
from turnout.routers.linear import Linear
from turnout.types import Encoder, ModelPair

pulled = pytest.mark.skipif(not MINILM.is_pulled, reason="turnout encoders pull minilm")

TEXTS = [
    "What is the capital of France?",
    "def f(x):\n    return x ** 2",
    "写一首关于春天的诗",
    "A long text about trains. " * 100,
    "ok",
]


def numpy_forward():
    spec = importlib.util.spec_from_file_location("graph_test", Path(__file__).with_name("test_transformer_graph.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.numpy_forward


@pytest.fixture(scope="module")
def encoder():
    return MiniLMEncoder()


@pulled
def test_equals_the_numpy_forward_pass(encoder):
    forward, weights = numpy_forward(), load_file(MINILM.folder / "model.safetensors")
    weights = {name: values for name, values in weights.items() if "position_ids" not in name}
    texts = [*TEXTS[:3], TEXTS[3][:200], TEXTS[4]]
    for text, vector in zip(texts, encoder.encode(texts), strict=True):
        expected = forward(weights, encoder._tokenizer.encode(text).ids, heads=12)
        assert vector @ expected / np.linalg.norm(expected) > 0.9999


@pulled
def test_reads_256_tokens_and_pads_nothing(encoder):
    assert [len(encoder._tokenizer.encode(text).ids) for text in ("ok", TEXTS[3])] == [3, 256]


@pulled
def test_batch_equals_singles_to_the_bit(encoder):
    singles = np.concatenate([encoder.encode([text]) for text in TEXTS])
    np.testing.assert_array_equal(encoder.encode(TEXTS), singles)


@pulled
def test_three_layers_equal_the_numpy_forward_pass_of_three():
    forward, weights = numpy_forward(), load_file(MINILM.folder / "model.safetensors")
    later = tuple(f"encoder.layer.{number}." for number in (3, 4, 5))
    weights = {name: values for name, values in weights.items() if not name.startswith(("position_ids", *later))}
    weights.pop("embeddings.position_ids", None)
    encoder = MiniLMEncoder(layers=3)
    for text, vector in zip(TEXTS[:3], encoder.encode(TEXTS[:3]), strict=True):
        expected = forward(weights, encoder._tokenizer.encode(text).ids, heads=12)
        assert vector @ expected / np.linalg.norm(expected) > 0.9999


@pulled
def test_a_router_on_three_layers_loads_with_three(tmp_path):
    pair = ModelPair("strong", "weak")
    battles = Battles.from_columns(TEXTS, pair.strong, pair.weak, [1.0, 0.0, 0.5, 1.0, 0.0], pair=pair)
    router = Linear(MiniLMEncoder(layers=3)).fit(battles)
    router.save(tmp_path / "router")
    loaded = Router.load(tmp_path / "router")
    assert loaded.encoder.identity == router.encoder.identity != MiniLMEncoder().identity
    np.testing.assert_array_equal(loaded.predict_win_rate(TEXTS), router.predict_win_rate(TEXTS))


@pulled
def test_meets_the_protocol(encoder):
    assert isinstance(encoder, Encoder)
    vectors = encoder.encode([*TEXTS, " "])
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), [1, 1, 1, 1, 1, 0], atol=1e-5)
    assert MiniLMEncoder(max_tokens=128).identity != encoder.identity


def test_missing_weights_name_the_command(monkeypatch, tmp_path):
    monkeypatch.setenv("TURNOUT_HOME", str(tmp_path))
    with pytest.raises(MissingModelError, match="turnout encoders pull minilm"):
        MiniLMEncoder()


def test_settings_out_of_range_are_refused():
    with pytest.raises(InvalidValueError, match=r"max_tokens must be in \[3, 512\], got 513"):
        MiniLMEncoder(max_tokens=513)
    with pytest.raises(InvalidValueError, match="threads must be at least 1, got 0"):
        MiniLMEncoder(threads=0)
    with pytest.raises(InvalidValueError, match=r"layers must be in \[1, 6\], got 7"):
        MiniLMEncoder(layers=7)
