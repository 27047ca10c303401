"""What encoders share: the cut of a text into tokens, the reading of long texts, and rows of length 1."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from turnout.errors import InvalidValueError
from turnout.types import VectorArray

_TOKEN = re.compile(r"[^\W\d_]+|\d+|[^\w\s]|_")
_ASCII_TOKEN = re.compile(r"[a-z]+|[0-9]+|[^\w\s]|_")  # the same on lower-case ASCII, three times as fast


def tokens_of(text: str, *, max_tokens: int) -> list[str]:
    """The lower-case words, numbers and signs of a text, at most `max_tokens` of them.

    Of a longer text the first and the last half of `max_tokens` are kept, because a question may stand before
    or after what it is about. The time is bounded whatever the length: no more than 16 characters a token are
    looked at from either end.

    >>> tokens_of("What is 12 + x_1?", max_tokens=100)
    ['what', 'is', '12', '+', 'x', '_', '1', '?']
    >>> tokens_of("one two three four five six", max_tokens=4)
    ['one', 'two', 'five', 'six']
    """
    half = max_tokens // 2
    reach = 16 * half
    if len(text) <= 2 * reach:
        tokens = _all_tokens_of(text)
        return tokens if len(tokens) <= max_tokens else tokens[:half] + tokens[-half:]
    return _all_tokens_of(text[:reach])[:half] + _all_tokens_of(text[-reach:])[-half:]


def _all_tokens_of(text: str) -> list[str]:
    return (_ASCII_TOKEN if text.isascii() else _TOKEN).findall(text.lower())


def unit_rows(vectors: VectorArray) -> VectorArray:
    """The rows scaled to Euclidean length 1, shape (n, dim); rows of zeros stay zeros.

    >>> unit_rows(np.array([[3.0, 4.0], [0.0, 0.0]], dtype=np.float32)).tolist()
    [[0.6000000238418579, 0.800000011920929], [0.0, 0.0]]
    """
    # One row at a time is summed the same way in a batch of one and in a batch of a thousand.
    lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))[:, np.newaxis]
    rows: VectorArray = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)
    return rows


def check_texts(texts: Sequence[str]) -> None:
    """Raise `InvalidValueError` for one string where a sequence of strings is meant."""
    if isinstance(texts, str):
        raise InvalidValueError("encode takes a sequence of texts, got a string. For one text write [text].")
