"""all-MiniLM-L6-v2 on this machine, through onnxruntime."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

from turnout.encoders.base import check_texts, unit_rows
from turnout.encoders.minilm_files import MINILM
from turnout.encoders.transformer_graph import sentence_encoder_graph
from turnout.errors import InvalidValueError, MissingExtraError
from turnout.types import VectorArray

try:
    import onnxruntime
    import tokenizers
except ImportError as error:
    raise MissingExtraError(error.name or "onnxruntime", extra="minilm", purpose="The encoder minilm") from error

_VERSION = 1
_HEADS = 12
_LAYERS = 6
_LONGEST = 512  # tokens for which the model has a position


class MiniLMEncoder:
    """Mean-pooled vectors of the sentence transformer all-MiniLM-L6-v2, 384 numbers each.

    Needs the extra `minilm`, and the weights: `turnout encoders pull minilm`. Of a text longer than
    `max_tokens` word pieces the beginning is read, as sentence-transformers does. Texts go through the model
    one by one, so that a vector never depends, to the bit, on what else is in the batch; wrap it in
    `CachedEncoder` where texts repeat.

    The model was trained so that its last layer tells whether two sentences mean the same. Which model will answer a
    query well is another question, for which a layer in the middle may serve better, in half the time: `layers=3`.
    """

    name = "minilm"
    dim = 384

    def __init__(self, *, max_tokens: int = 256, layers: int = _LAYERS, threads: int = 1) -> None:
        """Open the model.

        Args:
            max_tokens: how many word pieces of a text are read, in [3, 512].
            layers: how many of the six layers are run, in [1, 6]; a vector is the mean of the last one's outputs.
            threads: that one text may use.

        Raises:
            InvalidValueError: a setting is out of range.
            MissingModelError: the weights were not pulled.
        """
        if not 3 <= max_tokens <= _LONGEST:
            raise InvalidValueError(f"max_tokens must be in [3, {_LONGEST}], got {max_tokens}.")
        if not 1 <= layers <= _LAYERS:
            raise InvalidValueError(f"layers must be in [1, {_LAYERS}], got {layers}.")
        if threads < 1:
            raise InvalidValueError(f"threads must be at least 1, got {threads}.")
        self.max_tokens = max_tokens
        self.layers = layers
        self.threads = threads
        folder = MINILM.pulled_folder()
        self._session = _open_session(folder / "model.safetensors", layers, threads)
        self._tokenizer = _read_tokenizer(folder / "tokenizer.json", max_tokens)

    @property
    def identity(self) -> str:
        """Name, version, the weights' hash and every setting that changes the vectors."""
        whole = f"minilm/{_VERSION}:{MINILM.files[0].sha256[:16]},max_tokens={self.max_tokens}"
        return whole if self.layers == _LAYERS else f"{whole},layers={self.layers}"

    def encode(self, texts: Sequence[str]) -> VectorArray:
        """Vectors of length 1 (zeros for a blank text), shape (n_texts, 384), float32."""
        check_texts(texts)
        vectors = np.zeros((len(texts), self.dim), dtype=np.float32)
        for number, text in enumerate(texts):
            if text.strip():
                ids = np.array([self._tokenizer.encode(text).ids], dtype=np.int64)
                vectors[number] = self._session.run(None, {"ids": ids})[0][0]
        return unit_rows(vectors)


@functools.lru_cache(maxsize=2)
def _open_session(weights: Path, layers: int, threads: int) -> Any:
    """One session a process for each number of layers and threads: it holds up to 90 MB."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    graph = sentence_encoder_graph(load_file(weights), heads=_HEADS, layers=layers)
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def _read_tokenizer(path: Path, max_tokens: int) -> tokenizers.Tokenizer:
    """The tokenizer without what its file sets: padding to 128 tokens and a cut there."""
    tokenizer = tokenizers.Tokenizer.from_file(str(path))
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_tokens)
    return tokenizer
