"""The student: a table of vectors whose sums imitate the teacher's."""

from __future__ import annotations

from collections.abc import Sequence

import click
import numpy as np
import scipy.sparse
import scipy.stats

from turnout.encoders.static import Vocabulary

MAX_TOKENS = 256


def features(vocabulary: Vocabulary, texts: Sequence[str]) -> scipy.sparse.csr_matrix:
    """Texts as rows of counts, shape (n_texts, rows of the table)."""
    starts, columns, values = [0], [], []
    for text in texts:
        rows, shares = vocabulary.features_of(text, max_tokens=MAX_TOKENS)
        columns += rows
        values += [1.0] * (len(rows) - len(shares)) + shares
        starts.append(len(columns))
    shape = (len(texts), len(vocabulary.words) + vocabulary.n_buckets)
    matrix = scipy.sparse.csr_matrix((np.array(values, dtype=np.float32), columns, starts), shape=shape)
    matrix.sum_duplicates()
    return matrix


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def fit(
    inputs: scipy.sparse.csr_matrix,
    targets: np.ndarray,
    weights: np.ndarray,
    start: np.ndarray,
    *,
    epochs: int,
    learning_rate: float,
    batch: int,
    seed: int,
    progress: object = None,
) -> np.ndarray:
    """The table that maximises the weighted cosine of `inputs @ table` to `targets`, by Adam from `start`."""
    rng = np.random.default_rng(seed)
    table = start.copy()
    mean, square = np.zeros_like(table), np.zeros_like(table)
    steps = epochs * -(-inputs.shape[0] // batch)
    step = 0
    for epoch in range(epochs):
        order = rng.permutation(inputs.shape[0])
        for at in range(0, len(order), batch):
            chosen = order[at : at + batch]
            part = inputs[chosen]
            sums = part @ table
            lengths = np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-6)
            directions = sums / lengths
            wanted = targets[chosen]
            cosines = np.einsum("ij,ij->i", directions, wanted)[:, np.newaxis]
            slope = (cosines * directions - wanted) / lengths * weights[chosen, np.newaxis]
            gradient = part.T @ slope
            step += 1
            rate = learning_rate * 0.5 * (1 + np.cos(np.pi * step / steps))
            mean += 0.1 * (gradient - mean)
            square += 0.01 * (gradient * gradient - square)
            table -= (rate / (1 - 0.9**step)) * mean / (np.sqrt(square / (1 - 0.99**step)) + 1e-8)
        if callable(progress):
            click.echo(f"epoch {epoch + 1}: {progress(table)}", err=True)
    return table


def quantise(table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Whole numbers from -127 to 127 and a scale for each row."""
    scales = np.maximum(np.abs(table).max(axis=1), 1e-9).astype(np.float32) / np.float32(127)
    return np.round(table / scales[:, np.newaxis]).astype(np.int8), scales


def measure(vectors: np.ndarray, teacher: np.ndarray, *, seed: int) -> dict[str, float]:
    """Mean cosine to the teacher's projected vectors and rank correlation of similarities of random pairs."""
    rng = np.random.default_rng(seed)
    a, b = rng.integers(0, len(vectors), size=(2, 20_000))
    pairs = a != b
    ours = np.einsum("ij,ij->i", vectors[a[pairs]], vectors[b[pairs]])
    theirs = np.einsum("ij,ij->i", teacher[a[pairs]], teacher[b[pairs]])
    return {"rank correlation of pairs": float(scipy.stats.spearmanr(ours, theirs).statistic)}
