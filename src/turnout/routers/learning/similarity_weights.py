"""How much each past query counts for a new one, in the three forms that the paper and its released code allow.

All three give a past query q' the weight γ^(1 + S) for a query q; S is their cosine, divided by a highest cosine. They
part ways over whose: see `Similarity`.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from turnout.types import FloatArray, VectorArray

Similarity = Literal["paper", "paper-without-itself", "released-code"]
"""What the cosine is divided by.

- `paper`: by the highest cosine of q' with any past query, as the paper's formula says. One of them is q' itself, so
  this is 1 and S is the cosine.
- `paper-without-itself`: the same, but q' itself does not count. A past query that resembles few others counts for
  more.
- `released-code`: by the highest cosine of q with any past query. The nearest past query always has S = 1.
"""

LEAST_HIGHEST = 0.1
"""A highest cosine below this is taken as this: nothing would bound the weights of what resembles nothing."""

_BLOCK_BYTES = 3 * 2**18
"""A block of vectors that stays in a core's cache while a batch of queries passes over it."""


def cosines(vectors: VectorArray, query_vectors: VectorArray) -> VectorArray:
    """The product of every query's vector with every other vector, shape (n_queries, n_vectors), float32.

    Block by block, one query at a time: one matrix product for all queries would be faster still, but is rounded
    differently for batches of different sizes.
    """
    n, dim = vectors.shape
    rows = max(1, _BLOCK_BYTES // (vectors.itemsize * dim))
    query_vectors = np.ascontiguousarray(query_vectors, dtype=np.float32)
    products = np.empty((len(query_vectors), n), dtype=np.float32)
    for start in range(0, n, rows):
        block = vectors[start : start + rows]
        for vector, row in zip(query_vectors, products, strict=True):
            np.dot(block, vector, out=row[start : start + rows])
    return products


def highest_among_others(vectors: VectorArray) -> VectorArray:
    """Each vector's highest cosine with any other, shape (n,), float32; 1 if there is no other.

    Takes n² products: about half a minute for 60,000 vectors of 384 numbers.
    """
    n = len(vectors)
    if n == 1:
        return np.ones(1, dtype=np.float32)
    highest = np.empty(n, dtype=np.float32)
    for start in range(0, n, 256):
        block = vectors[start : start + 256] @ vectors.T
        places = np.arange(len(block))
        block[places, start + places] = -np.inf
        highest[start : start + 256] = block.max(axis=1)
    return highest


def battle_weights(
    cosine: VectorArray, similarity: Similarity, gamma: float, highest: VectorArray | None = None
) -> FloatArray:
    """γ^(1 + S) of each past query for one query, shape (n,).

    Args:
        cosine: the query's cosine with each past query, shape (n,).
        similarity: the form of S.
        gamma: γ, at least 1.
        highest: `highest_among_others`, for the form `paper-without-itself`.

    >>> cosine = np.array([0.5, 0.25], dtype=np.float32)
    >>> battle_weights(cosine, "paper", 10.0).round(2).tolist()
    [31.62, 17.78]
    >>> battle_weights(cosine, "released-code", 10.0).round(2).tolist()
    [100.0, 31.62]
    """
    exponent = cosine.astype(np.float64)
    if similarity == "released-code":
        exponent /= max(float(cosine.max()), LEAST_HIGHEST)
    elif similarity == "paper-without-itself":
        assert highest is not None
        exponent /= np.maximum(highest, LEAST_HIGHEST)
    exponent += 1
    exponent *= math.log(gamma)
    weights: FloatArray = np.exp(exponent, out=exponent)
    return weights
