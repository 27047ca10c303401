"""Numbers for Prometheus: counters, histograms and gauges, and the text that it reads.

Written here because a request touches a dozen of them and everything is changed on one event loop: plain dictionaries
do what a client library's locks and objects would cost ten times as much for (benchmarks/gateway/metrics_cost.py).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"

Labels = tuple[str, ...]
"""The values of a family's labels, in its order."""
Sample = tuple[Labels, float]
Read = Callable[[], Iterable[Sample]]


class Counter:
    """A family of numbers that only grow."""

    def __init__(self) -> None:
        self.values: dict[Labels, float] = {}

    def add(self, labels: Labels, amount: float = 1) -> None:
        """Grow one of them."""
        self.values[labels] = self.values.get(labels, 0) + amount


class Histogram:
    """A family of distributions over fixed bounds."""

    def __init__(self, bounds: Sequence[float], labels: Iterable[Labels] = ()) -> None:
        """Args:
        bounds: of its buckets, rising.
        labels: of those that are there before the first observation, as they must be for one in another thread.
        """
        self.bounds = tuple(bounds)
        self.counts: dict[Labels, list[int]] = {known: self._nothing() for known in labels}
        """For each bound the observations at most so large that no lower bound took; then those above all."""
        self.sums: dict[Labels, float] = dict.fromkeys(self.counts, 0.0)

    def observe(self, labels: Labels, value: float) -> None:
        """Take one observation."""
        counts = self.counts.get(labels)
        if counts is None:
            counts = self.counts[labels] = self._nothing()
            self.sums[labels] = 0.0
        counts[bisect_left(self.bounds, value)] += 1
        self.sums[labels] += value

    def _nothing(self) -> list[int]:
        return [0] * (len(self.bounds) + 1)


@dataclass(frozen=True, slots=True)
class Reading:
    """What one family says at one moment."""

    kind: str
    help: str
    samples: dict[str, float]
    """Name and labels as Prometheus writes them → the number."""


class Registry:
    """All families, by name. Anyone may add theirs: `registry.counter(...)`, `registry.gauge(...)`."""

    def __init__(self) -> None:
        self._families: dict[str, Callable[[], Reading]] = {}

    def counter(self, name: str, help: str, labels: Labels = ()) -> Counter:
        """A new family of counters; its name ends in _total."""
        counter = Counter()
        self._add(name, help, "counter", lambda: _samples(name, labels, counter.values.items()))
        return counter

    def histogram(self, name: str, help: str, bounds: Sequence[float], labels: Labels = ()) -> Histogram:
        """A new family of histograms."""
        histogram = Histogram(bounds)
        self.distribution(name, help, histogram, labels)
        return histogram

    def distribution(self, name: str, help: str, histogram: Histogram, labels: Labels = ()) -> None:
        """A new family of histograms that someone else keeps."""
        self._add(name, help, "histogram", lambda: _histogram_samples(name, labels, histogram))

    def gauge(self, name: str, help: str, read: Read, labels: Labels = ()) -> None:
        """A new family whose present values are read when they are asked for."""
        self._add(name, help, "gauge", lambda: _samples(name, labels, read()))

    def counted(self, name: str, help: str, read: Read, labels: Labels = ()) -> None:
        """A new family of counters that someone else keeps."""
        self._add(name, help, "counter", lambda: _samples(name, labels, read()))

    def read(self) -> dict[str, Reading]:
        """What all families say now, by their names."""
        return {name: read() for name, read in self._families.items()}

    def _add(self, name: str, help: str, kind: str, samples: Callable[[], Iterable[tuple[str, float]]]) -> None:
        if name in self._families:
            raise ValueError(f"There is a metric named {name} already.")
        self._families[name] = lambda: Reading(kind, help, dict(samples()))


def render(readings: Mapping[str, Reading]) -> bytes:
    """The text that Prometheus reads (format 0.0.4)."""
    lines: list[str] = []
    for name, reading in readings.items():
        lines.append(f"# HELP {name} {reading.help}\n# TYPE {name} {reading.kind}\n")
        lines += (f"{sample} {_number(number)}\n" for sample, number in reading.samples.items())
    return "".join(lines).encode()


def _samples(name: str, labels: Labels, samples: Iterable[Sample]) -> Iterable[tuple[str, float]]:
    for values, number in samples:
        yield f"{name}{_labelled(labels, values)}", number


def _histogram_samples(name: str, labels: Labels, histogram: Histogram) -> Iterable[tuple[str, float]]:
    for values, counts in histogram.counts.items():
        total = 0
        for bound, count in zip((*histogram.bounds, float("inf")), counts, strict=True):
            total += count
            yield f"{name}_bucket{_labelled((*labels, 'le'), (*values, _number(bound)))}", total
        yield f"{name}_sum{_labelled(labels, values)}", histogram.sums[values]
        yield f"{name}_count{_labelled(labels, values)}", total


def _labelled(names: Labels, values: Labels) -> str:
    if not names:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in zip(names, values, strict=True)) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    if value == float("inf"):
        return "+Inf"
    return repr(int(value)) if value == int(value) else repr(value)


def only(values: Mapping[str, float] | float) -> list[Sample]:
    """Samples of a family with one label, or with none.

    >>> only(3), only({"a": 1})
    ([((), 3)], [(('a',), 1)])
    """
    if isinstance(values, Mapping):
        return [((label,), number) for label, number in values.items()]
    return [((), values)]
