"""The graph builder against a plain numpy forward pass, with small random weights and no download."""

import math

import numpy as np
import pytest

pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

from turnout.encoders.transformer_graph import sentence_encoder_graph  # noqa: E402


def random_weights(rng, *, dim=24, inner=48, layers=2, words=50, places=16):
    def draw(*shape):
        return rng.normal(scale=0.5, size=shape).astype(np.float32)

    weights = {
        "embeddings.word_embeddings.weight": draw(words, dim),
        "embeddings.position_embeddings.weight": draw(places, dim),
        "embeddings.token_type_embeddings.weight": draw(2, dim),
        "embeddings.LayerNorm.weight": draw(dim),
        "embeddings.LayerNorm.bias": draw(dim),
    }
    for layer in range(layers):
        prefix = f"encoder.layer.{layer}."
        shapes = {
            "attention.self.query": (dim, dim),
            "attention.self.key": (dim, dim),
            "attention.self.value": (dim, dim),
            "attention.output.dense": (dim, dim),
            "intermediate.dense": (inner, dim),
            "output.dense": (dim, inner),
        }
        for name, shape in shapes.items():
            weights[f"{prefix}{name}.weight"] = draw(*shape)
            weights[f"{prefix}{name}.bias"] = draw(shape[0])
        for name in ("attention.output.LayerNorm", "output.LayerNorm"):
            weights[f"{prefix}{name}.weight"] = draw(dim)
            weights[f"{prefix}{name}.bias"] = draw(dim)
    return weights


def numpy_forward(weights, ids, *, heads, epsilon=1e-12):
    """Mean-pooled vector of one text, computed in 64-bit floats, written from the model's definition."""
    weights = {name: values.astype(np.float64) for name, values in weights.items()}

    def dense(x, name):
        return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    def norm(x, name):
        centred = x - x.mean(-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + epsilon)
        return scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"]

    def gelu(x):
        return 0.5 * x * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))

    x = weights["embeddings.word_embeddings.weight"][ids]
    x = x + weights["embeddings.position_embeddings.weight"][: len(ids)]
    x = norm(x + weights["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm")
    layers = 1 + max(int(name.split(".")[2]) for name in weights if name.startswith("encoder."))
    for layer in range(layers):
        prefix = f"encoder.layer.{layer}."
        query, key, value = (
            np.stack(np.split(dense(x, f"{prefix}attention.self.{role}"), heads, axis=-1))
            for role in ("query", "key", "value")
        )
        scores = query @ key.transpose(0, 2, 1) / math.sqrt(query.shape[-1])
        shares = np.exp(scores - scores.max(-1, keepdims=True))
        shares /= shares.sum(-1, keepdims=True)
        mixed = np.concatenate(list(shares @ value), axis=-1)
        x = norm(dense(mixed, f"{prefix}attention.output.dense") + x, f"{prefix}attention.output.LayerNorm")
        wide = gelu(dense(x, f"{prefix}intermediate.dense"))
        x = norm(dense(wide, f"{prefix}output.dense") + x, f"{prefix}output.LayerNorm")
    return x.mean(axis=0)


def run(graph, ids):
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    return session.run(None, {"ids": np.array(ids, dtype=np.int64)})[0]


@pytest.mark.parametrize("n_tokens", [1, 2, 7, 16])
def test_graph_equals_the_numpy_forward_pass(n_tokens):
    rng = np.random.default_rng(n_tokens)
    weights = random_weights(rng)
    ids = rng.integers(0, 50, size=(3, n_tokens))
    expected = [numpy_forward(weights, row, heads=4) for row in ids]
    np.testing.assert_allclose(run(sentence_encoder_graph(weights, heads=4), ids), expected, atol=2e-5)


def test_fewer_layers_are_the_same_as_a_network_that_has_no_more():
    weights = random_weights(np.random.default_rng(0), layers=3)
    fewer = {name: values for name, values in weights.items() if ".layer.2." not in name}
    np.testing.assert_array_equal(
        run(sentence_encoder_graph(weights, heads=4, layers=2), [[1, 2, 3]]),
        run(sentence_encoder_graph(fewer, heads=4), [[1, 2, 3]]),
    )


def test_every_layer_counts():
    weights = random_weights(np.random.default_rng(0), layers=3)
    fewer = {name: values for name, values in weights.items() if ".layer.2." not in name}
    ids = [[1, 2, 3]]
    assert not np.allclose(
        run(sentence_encoder_graph(weights, heads=4), ids), run(sentence_encoder_graph(fewer, heads=4), ids)
    )
