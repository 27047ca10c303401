"""What crosses folders: array types, the model pair, and the protocols that plugins meet."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np
import numpy.typing as npt

from turnout.errors import InvalidValueError

FloatArray = npt.NDArray[np.float64]
"""Scores, shares and win rates: 64-bit floats."""

VectorArray = npt.NDArray[np.float32]
"""Encoded texts: 32-bit floats, one row a text."""

IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

JSON = Any
"""A value that `json.dumps` can write."""

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True, order=True)
class ModelPair:
    """The costly and the cheap model between which a router chooses.

    >>> ModelPair.parse("gpt-4-1106-preview,mixtral-8x7b")
    ModelPair(strong='gpt-4-1106-preview', weak='mixtral-8x7b')
    """

    strong: str
    weak: str

    def __post_init__(self) -> None:
        if not self.strong or not self.weak:
            raise InvalidValueError("A model pair needs two names, got an empty one.")
        if self.strong == self.weak:
            raise InvalidValueError(f"A model pair needs two different models, got '{self.strong}' twice.")

    @classmethod
    def parse(cls, text: str) -> ModelPair:
        """The pair written as 'STRONG,WEAK'."""
        names = [name.strip() for name in text.split(",")]
        if len(names) != 2:
            raise InvalidValueError(f"A model pair is written STRONG,WEAK, got '{text}'.")
        return cls(strong=names[0], weak=names[1])

    def __str__(self) -> str:
        return f"{self.strong},{self.weak}"


def check_queries(queries: Iterable[str]) -> None:
    """Raise InvalidValueError unless these are texts; one text alone would be taken for as many as it has letters."""
    if isinstance(queries, str):
        raise InvalidValueError("Expected a sequence of queries, got one text. For one query write [query].")
    for row, query in enumerate(queries):
        if not isinstance(query, str):
            raise InvalidValueError(f"A query must be text, got {query!r:.60} in row {row}.")


@runtime_checkable
class Encoder(Protocol):
    """Turns texts into vectors. Equal texts give equal vectors, whatever else is in the batch."""

    name: str
    """The registered name, such as `static`."""

    dim: int
    """The length of a vector."""

    @property
    def identity(self) -> str:
        """A string that changes whenever the vectors do: name, version and a hash of the weights."""
        ...

    def encode(self, texts: Sequence[str]) -> VectorArray:
        """Vectors of Euclidean length 1 (all zeros for an empty text), shape (n_texts, dim), float32."""
        ...


class Executor(Protocol):
    """Maps a function over batches: here, in processes, or on a cluster. Results keep the order."""

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """The function's result for each item, in the items' order."""
        ...
