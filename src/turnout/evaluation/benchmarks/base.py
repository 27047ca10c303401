"""What a benchmark is: a declaration, and a function that reads its outcomes from a folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from turnout import registry
from turnout.data.outcomes import Outcomes
from turnout.errors import DataError, InvalidValueError
from turnout.types import ModelPair


@dataclass(frozen=True)
class Benchmark:
    """A benchmark, registered by name under the entry points `turnout.benchmarks`."""

    name: str
    title: str
    """As people write it, such as `MT Bench`."""
    source: str
    """Where its outcomes were published."""
    revision: str
    """Which version of them."""
    licence: str
    """Of the outcomes and of the questions."""
    pair: ModelPair
    """The strong and the weak model that are compared if no others are named."""
    read: Callable[[Path], Outcomes]
    """The outcomes in a folder, without the questions that are known to be contaminated."""
    scale: tuple[float, float] = (0.0, 1.0)
    """The lowest and the highest score that a query can get; by default it is right or wrong."""
    units: str = "questions"
    """What the rows are: decisions, strong fractions and the bootstrap count these."""

    @property
    def in_per_cent(self) -> bool:
        """Whether a score is right or wrong, so that quality is best printed in per cent."""
        return self.scale == (0.0, 1.0)

    def load(self, data_dir: str | Path) -> Outcomes:
        """The outcomes below a folder.

        Raises:
            DataError: the folder is absent or does not hold them; says what is expected.
        """
        folder = Path(data_dir)
        if not folder.is_dir():
            raise DataError(f"there is no such folder. It must hold the outcomes of {self.title}.", path=folder)
        return self.read(folder)


def load_benchmark(name: str) -> Benchmark:
    """The benchmark of this name.

    Raises:
        UnknownNameError: there is none; the message suggests the nearest.
    """
    benchmark = registry.load("benchmark", name)
    if not isinstance(benchmark, Benchmark):
        raise InvalidValueError(f"The benchmark '{name}' must be a turnout.evaluation.benchmarks.base.Benchmark.")
    return benchmark
