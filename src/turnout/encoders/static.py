"""The default encoder: a table of word vectors, distilled from a sentence transformer, that ships in the package."""

from __future__ import annotations

import functools
import hashlib
import math
import zlib
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt
import safetensors.numpy

from turnout.encoders.base import check_texts, tokens_of
from turnout.errors import ArtifactError, InvalidValueError
from turnout.types import IntArray, VectorArray

WEIGHTS = Path(__file__).with_name("static.safetensors")
WEIGHTS_SHA256 = "f85be6a926330e488fca565ca76150e20afe0d91cb1289adb763131e1bf961fc"

_VERSION = 1
_CACHED_TOKENS = 50_000
_LONGEST_SPELLED = 24  # letters of an unknown token that are looked at from either end


class Vocabulary:
    """Which rows of the table a text sums, and how much of each.

    A known word has a row of its own. Any other token shares the rows of its runs of letters, which are found
    by hashing: a new word, a name in code, a number or another script is never nothing.
    """

    def __init__(self, words: Sequence[str], n_buckets: int) -> None:
        self.words = list(words)
        self.n_buckets = n_buckets
        self._row_of = {word: row for row, word in enumerate(self.words)}
        # Arrays, since a list of as many numbers takes ten times the memory.
        self._spelled: dict[str, array[int]] = {}

    def features_of(self, text: str, *, max_tokens: int) -> tuple[list[int], list[float]]:
        """The rows of a text, as often as they occur: those of known words first, then those of the others.

        Of a known word the whole row is meant. The second list holds the shares of the rows that come after
        those, so it is empty for a text of known words only.
        """
        tokens = tokens_of(text, max_tokens=max_tokens)
        rows = list(map(self._row_of.get, tokens))
        if None not in rows:
            return cast("list[int]", rows), []
        known = [row for row in rows if row is not None]
        shares: list[float] = []
        for token, row in zip(tokens, rows, strict=True):
            if row is None:
                token_rows = self._spelled.get(token) or self._spell(token)
                known += token_rows.tolist()
                shares += [1 / len(token_rows)] * len(token_rows)
        return known, shares

    def _spell(self, token: str) -> array[int]:
        """The rows of a token that is not a known word: its runs of 3 to 5 letters (1 and 2 beyond ASCII)."""
        spelled = token
        if len(token) > 2 * _LONGEST_SPELLED:
            spelled = token[:_LONGEST_SPELLED] + token[-_LONGEST_SPELLED:]
        if spelled.isascii():
            spelled, lengths = f"<{spelled}>", (3, 4, 5)
        else:
            lengths = (1, 2, 2)
        runs = {spelled[at : at + length] for length in lengths for at in range(len(spelled) - length + 1)}
        hashes = sorted(zlib.crc32(run.encode(errors="surrogatepass")) for run in runs)
        rows = array("I", [len(self.words) + hashed % self.n_buckets for hashed in hashes])
        if len(self._spelled) < _CACHED_TOKENS:
            self._spelled[token] = rows
        return rows


class StaticEncoder:
    """Vectors as the weighted sum of a vector for each word, learned by imitating all-MiniLM-L6-v2.

    Offline, no extra, tens of microseconds for a question. It knows what words mean, not in what order they
    stand. Of a text longer than `max_tokens` both ends are read. The card beside the weights says what they were
    distilled on and how near they come: `static_card.md`.

    >>> encoder = StaticEncoder()
    >>> cat, pet, tax = encoder.encode(["a cat", "feline pet", "income tax law"])
    >>> bool(cat @ pet > cat @ tax)
    True
    """

    name = "static"

    def __init__(self, *, max_tokens: int = 1024) -> None:
        if max_tokens < 2:
            raise InvalidValueError(f"max_tokens must be at least 2, got {max_tokens}.")
        self.max_tokens = max_tokens
        self._vocabulary, self._table, self._scales = _load(WEIGHTS)
        self.dim = self._table.shape[1]

    @property
    def identity(self) -> str:
        """Name, version, the weights' hash and every setting that changes the vectors."""
        return f"static/{_VERSION}:{WEIGHTS_SHA256[:16]},max_tokens={self.max_tokens}"

    def encode(self, texts: Sequence[str]) -> VectorArray:
        """Vectors of length 1 (zeros for a text without a word or sign), shape (n_texts, dim), float32."""
        check_texts(texts)
        vectors = np.zeros((len(texts), self.dim), dtype=np.float32)
        for number, text in enumerate(texts):
            rows, shares = self._vocabulary.features_of(text, max_tokens=self.max_tokens)
            if rows:
                vectors[number] = self._sum(np.array(rows), shares)
        return vectors

    def _sum(self, rows: IntArray, shares: list[float]) -> VectorArray:
        """The direction of the weighted sum of these rows: one text at a time, so that no batch matters."""
        weights = self._scales.take(rows)
        if shares:
            weights[-len(shares) :] *= np.array(shares, dtype=np.float32)
        total: VectorArray = weights @ self._table.take(rows, axis=0).astype(np.float32)
        length = math.sqrt(total.dot(total))
        return total / np.float32(length) if length > 0 else total


@functools.cache
def _load(path: Path) -> tuple[Vocabulary, npt.NDArray[np.int8], VectorArray]:
    """The vocabulary, the table and its rows' scales: read once a process, whoever asks."""
    content = path.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != WEIGHTS_SHA256:
        raise ArtifactError(
            f"{path}: sha256 is {found}, expected {WEIGHTS_SHA256}. The file is damaged: install turnout again."
        )
    tensors = safetensors.numpy.load(content)
    words = tensors["words"].tobytes().decode().split("\n")
    table = tensors["table"]
    return Vocabulary(words, n_buckets=len(table) - len(words)), table, tensors["scales"]
