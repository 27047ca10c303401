"""Vectors as whole numbers, so that their cosines are the same in any batch, on any machine.

A sum of products of 32-bit floats depends on the order of its terms, and so on the batch, the number of threads and the
processor. Whole numbers small enough for every sum to be exact do not have that trouble, in the same matrix products.
"""

from __future__ import annotations

import math

import numpy as np

from turnout.encoders.base import unit_rows
from turnout.types import VectorArray


def whole_numbers(vectors: VectorArray) -> VectorArray:
    """The directions of the vectors, stretched to `stretch(dim)` and rounded, shape (n, dim), float32.

    Every number fits in 16 bits. The product of two rows is their cosine times stretch(dim)², to about 0.0001 of it;
    rows of zeros stay zeros.
    """
    rounded: VectorArray = np.rint(unit_rows(vectors) * np.float32(stretch(vectors.shape[1])))
    return rounded


def stretch(dim: int) -> float:
    """The length to which a vector is stretched, so that rounded it is shorter than 4,096.

    The sum of the products of two such vectors, or of any part of them, is then below 2^24 (Cauchy–Schwarz), up to
    which 32-bit floats hold every whole number.

    >>> stretch(192)
    4088.0
    """
    return float(4_095 - math.ceil(math.sqrt(dim) / 2))
