"""Map a function over batches: here, in processes, or on a Ray cluster. Results keep the order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Any

from turnout.errors import InvalidValueError, MissingExtraError
from turnout.types import Item, Result


class SerialExecutor:
    """One after the other, in this process."""

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """The function's result for each item, in the items' order."""
        return map(function, items)


class ProcessExecutor:
    """On the cores of this machine. The function must be importable by name (no lambda)."""

    def __init__(self, n_workers: int) -> None:
        if n_workers < 1:
            raise InvalidValueError(f"n_workers must be at least 1, got {n_workers}.")
        self.n_workers = n_workers

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """The function's result for each item, in the items' order."""
        with ProcessPoolExecutor(self.n_workers) as pool:
            yield from pool.map(function, items)


class RayExecutor:
    """On a Ray cluster (extra `ray`): the one that `address` names, or one on this machine."""

    def __init__(self, *, address: str | None = None) -> None:
        self.address = address

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """The function's result for each item, in the items' order."""
        try:
            import ray
        except ImportError as error:
            raise MissingExtraError("ray", extra="ray", purpose="The Ray executor") from error
        if not ray.is_initialized():
            ray.init(address=self.address)
        remote: Any = ray.remote(function)
        for pending in [remote.remote(item) for item in items]:
            yield ray.get(pending)
