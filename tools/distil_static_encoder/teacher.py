"""The teacher: all-MiniLM-L6-v2 on one thread, its vectors kept on disk so that a run can be taken up again."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import click
import numpy as np
import onnxruntime
import tokenizers
from safetensors.numpy import load_file, save_file

from turnout.encoders.transformer_graph import sentence_encoder_graph

CHUNK = 2_048
BATCH = 16


class Teacher:
    """Encodes texts in batches of equal length, so that there is no padding."""

    def __init__(self, weights: Path, tokenizer: Path, *, max_tokens: int = 256) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        graph = sentence_encoder_graph(load_file(weights), heads=12)
        self.session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        self.tokenizer = tokenizers.Tokenizer.from_file(str(tokenizer))
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(max_tokens)

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Vectors of length 1, shape (n_texts, 384), float32."""
        ids = [self.tokenizer.encode(text).ids for text in texts]
        vectors = np.empty((len(texts), 384), dtype=np.float32)
        order = sorted(range(len(texts)), key=lambda n: len(ids[n]))
        start = 0
        while start < len(order):
            length = len(ids[order[start]])
            end = start
            while end < len(order) and end - start < BATCH and len(ids[order[end]]) == length:
                end += 1
            batch = order[start:end]
            vectors[batch] = self.session.run(None, {"ids": np.array([ids[n] for n in batch])})[0]
            start = end
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    def encode_to(self, folder: Path, texts: Sequence[str]) -> np.ndarray:
        """As `encode`, in 16-bit floats kept in `folder`: what is there already is not encoded again."""
        folder.mkdir(parents=True, exist_ok=True)
        known: dict[str, np.ndarray] = {}
        for path in sorted(folder.glob("*.safetensors")):
            stored = load_file(path)
            known.update(zip(stored["keys"].tobytes().decode().split(), stored["vectors"], strict=True))
        missing = list(dict.fromkeys(text for text in texts if key_of(text) not in known))
        for start in range(0, len(missing), CHUNK):
            chunk = missing[start : start + CHUNK]
            keys, vectors = [key_of(text) for text in chunk], self.encode(chunk).astype(np.float16)
            path = folder / f"{keys[0]}.safetensors"
            written = np.frombuffer(" ".join(keys).encode(), dtype=np.uint8)
            save_file({"keys": written, "vectors": vectors}, path.with_suffix(".part"))
            path.with_suffix(".part").rename(path)
            known.update(zip(keys, vectors, strict=True))
            click.echo(f"teacher: {min(start + CHUNK, len(missing))} of {len(missing)}", err=True)
        return np.array([known[key_of(text)] for text in texts]).astype(np.float32)


def key_of(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:32]
