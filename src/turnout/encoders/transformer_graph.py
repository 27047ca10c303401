"""An ONNX graph of a BERT-type sentence encoder, built from its weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from turnout.errors import MissingExtraError
from turnout.types import VectorArray

try:
    import onnx
    from onnx import TensorProto, helper, numpy_helper
except ImportError as error:
    raise MissingExtraError("onnx", extra="minilm", purpose="Building a transformer's graph") from error

_OPSET = 20  # the first with Gelu; LayerNormalization came with 17
_IR_VERSION = 9


def sentence_encoder_graph(
    weights: Mapping[str, VectorArray], *, heads: int, layers: int | None = None, layer_norm_epsilon: float = 1e-12
) -> bytes:
    """A serialised ONNX model from token ids, int64 (batch, tokens), to mean-pooled vectors (batch, dim).

    `weights` are named as BERT checkpoints name them. Layers and widths are read off them. All texts of a batch
    have the same number of tokens: there is no mask, so no result depends on padding. The input is named `ids`,
    the output `vectors`; vectors are not normalised.

    Args:
        weights: of the embeddings and of layers 0, 1, …
        heads: of attention, in each layer.
        layers: how many layers are run, from the first; None means all there are.
        layer_norm_epsilon: the checkpoint's.
    """
    return _Builder(weights, heads=heads, epsilon=layer_norm_epsilon).build(layers)


class _Builder:
    """Collects the nodes and the constants of one graph. Methods take and return names of values."""

    def __init__(self, weights: Mapping[str, VectorArray], *, heads: int, epsilon: float) -> None:
        self.weights = weights
        self.heads = heads
        self.epsilon = epsilon
        self.dim = weights["embeddings.word_embeddings.weight"].shape[1]
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def build(self, layers: int | None) -> bytes:
        hidden = self.embed("ids")
        layer = 0
        while layer != layers and f"encoder.layer.{layer}.output.dense.weight" in self.weights:
            hidden = self.transform(hidden, prefix=f"encoder.layer.{layer}.")
            layer += 1
        axes = self.constant("pooled_axes", np.array([1], dtype=np.int64))
        self.add("ReduceMean", hidden, axes, output="vectors", keepdims=0)
        graph = helper.make_graph(
            self.nodes,
            "sentence_encoder",
            [helper.make_tensor_value_info("ids", TensorProto.INT64, ["batch", "tokens"])],
            [helper.make_tensor_value_info("vectors", TensorProto.FLOAT, ["batch", self.dim])],
            initializer=self.constants,
        )
        opset = helper.make_opsetid("", _OPSET)
        model = helper.make_model(graph, opset_imports=[opset], ir_version=_IR_VERSION)
        return bytes(model.SerializeToString())

    def embed(self, ids: str) -> str:
        words = self.constant("words", self.weights["embeddings.word_embeddings.weight"])
        # Every token is of type 0, so its vector is part of each position's.
        places = (
            self.weights["embeddings.position_embeddings.weight"]
            + self.weights["embeddings.token_type_embeddings.weight"][0]
        )
        n_tokens = self.add("Shape", ids, start=1, end=2)
        zero = self.constant("zero", np.array([0], dtype=np.int64))
        first_places = self.add("Slice", self.constant("places", places), zero, n_tokens, zero)
        hidden = self.add("Add", self.add("Gather", words, ids), first_places)
        return self.normalize(hidden, "embeddings.LayerNorm")

    def transform(self, hidden: str, *, prefix: str) -> str:
        attended = self.dense(self.attend(hidden, prefix=prefix), f"{prefix}attention.output.dense")
        hidden = self.normalize(self.add("Add", attended, hidden), f"{prefix}attention.output.LayerNorm")
        wide = self.add("Gelu", self.dense(hidden, f"{prefix}intermediate.dense"))
        narrow = self.dense(wide, f"{prefix}output.dense")
        return self.normalize(self.add("Add", narrow, hidden), f"{prefix}output.LayerNorm")

    def attend(self, hidden: str, *, prefix: str) -> str:
        head_dim = self.dim // self.heads
        split = self.constant(f"{prefix}split_heads", np.array([0, 0, self.heads, head_dim], dtype=np.int64))
        query = self.add("Reshape", self.project(hidden, prefix, "query", scale=head_dim**-0.5), split)
        key = self.add("Reshape", self.project(hidden, prefix, "key"), split)
        value = self.add("Reshape", self.project(hidden, prefix, "value"), split)
        scores = self.add(
            "MatMul",
            self.add("Transpose", query, perm=[0, 2, 1, 3]),
            self.add("Transpose", key, perm=[0, 2, 3, 1]),
        )
        mixed = self.add(
            "MatMul", self.add("Softmax", scores, axis=-1), self.add("Transpose", value, perm=[0, 2, 1, 3])
        )
        join = self.constant(f"{prefix}join_heads", np.array([0, 0, self.dim], dtype=np.int64))
        return self.add("Reshape", self.add("Transpose", mixed, perm=[0, 2, 1, 3]), join)

    def project(self, hidden: str, prefix: str, role: str, *, scale: float = 1.0) -> str:
        return self.dense(hidden, f"{prefix}attention.self.{role}", scale=scale)

    def dense(self, value: str, name: str, *, scale: float = 1.0) -> str:
        factor = np.float32(scale)
        kernel = self.constant(f"{name}.kernel", self.weights[f"{name}.weight"].T * factor)
        bias = self.constant(f"{name}.bias", self.weights[f"{name}.bias"] * factor)
        return self.add("Add", self.add("MatMul", value, kernel), bias)

    def normalize(self, value: str, name: str) -> str:
        gain = self.constant(f"{name}.weight", self.weights[f"{name}.weight"])
        bias = self.constant(f"{name}.bias", self.weights[f"{name}.bias"])
        return self.add("LayerNormalization", value, gain, bias, axis=-1, epsilon=self.epsilon)

    def constant(self, name: str, values: np.ndarray) -> str:
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def add(self, operator: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        name = output or f"{operator}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [name], **attributes))
        return name
