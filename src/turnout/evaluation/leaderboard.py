"""Routers side by side over several benchmarks: APGR with its interval, who differs from the best, what each costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from turnout.errors import InvalidValueError
from turnout.evaluation.footprint import Footprint
from turnout.evaluation.runner import Comparison, Evaluation, RouterResult, compare
from turnout.types import JSON


@dataclass(frozen=True, eq=False)
class Entry:
    """One router's line."""

    router: str
    mean_apgr: float
    """Over the benchmarks, each counting alike."""
    results: Mapping[str, RouterResult]
    """Benchmark's title → result."""
    against_best: Mapping[str, Comparison]
    """Benchmark's title → this router minus the one with the highest mean; none for that one itself."""
    footprint: Footprint | None


@dataclass(frozen=True, eq=False)
class Leaderboard:
    """All routers, the highest mean APGR first."""

    entries: tuple[Entry, ...]
    random: Mapping[str, tuple[float, float]]
    """Benchmark's title → where the APGR of 95 in 100 single random routers lies."""

    @classmethod
    def of(cls, evaluations: Sequence[Evaluation], footprints: Mapping[str, Footprint]) -> Leaderboard:
        """The leaderboard of evaluations of the same routers.

        Raises:
            InvalidValueError: there is no evaluation, or they are of different routers.
        """
        if not evaluations:
            raise InvalidValueError("A leaderboard needs an evaluation.")
        names = [result.router for result in evaluations[0].results]
        by_title = {one.table.title: {result.router: result for result in one.results} for one in evaluations}
        for title, results in by_title.items():
            if set(results) != set(names):
                raise InvalidValueError(f"{title} was measured for other routers than {evaluations[0].table.title}.")
        means = {name: float(np.mean([results[name].apgr.value for results in by_title.values()])) for name in names}
        ordered = sorted(names, key=lambda name: -means[name])
        best = ordered[0]
        entries = tuple(
            Entry(
                name,
                means[name],
                {title: results[name] for title, results in by_title.items()},
                {} if name == best else {t: compare(results[name], results[best]) for t, results in by_title.items()},
                footprints.get(name),
            )
            for name in ordered
        )
        return cls(entries, {one.table.title: one.single_random_apgr for one in evaluations})

    def markdown(self) -> str:
        """Two tables: the routers, and how each differs from the best."""
        titles = list(self.random)
        lines = [
            _row("router", *(f"{title} [95 %]" for title in titles), "mean APGR", "train, s", "decide, ms", "size, kB"),
            _rule(len(titles) + 5),
        ]
        for entry in self.entries:
            cells = [_with_interval(entry.results[title]) for title in titles]
            lines.append(_row(entry.router, *cells, f"{entry.mean_apgr:.3f}", *_costs(entry.footprint)))
        one_in_twenty = [f"{low:.3f} to {high:.3f}" for low, high in self.random.values()]
        lines.append(_row("one random router, 95 in 100", *one_in_twenty, "0.500", "", "", ""))
        if len(self.entries) > 1:
            lines += ["", *self._differences(titles)]
        return "\n".join(lines) + "\n"

    def _differences(self, titles: Sequence[str]) -> list[str]:
        best = self.entries[0].router
        lines = [
            f"APGR minus that of {best}, over the same draws of queries; a difference counts (*) where its interval "
            "leaves out zero:",
            "",
            _row("router", *titles),
            _rule(len(titles) + 1),
        ]
        for entry in self.entries[1:]:
            cells = []
            for title in titles:
                found = entry.against_best[title]
                mark = " *" if found.interval.excludes_zero() else ""
                cells.append(f"{found.difference:+.3f} [{found.interval.low:+.3f}, {found.interval.high:+.3f}]{mark}")
            lines.append(_row(entry.router, *cells))
        return lines

    def to_json(self) -> list[dict[str, JSON]]:
        """The entries as JSON objects, best first; the results themselves stand in the evaluations."""
        return [
            {
                "router": entry.router,
                "mean_apgr": entry.mean_apgr,
                "apgr": {title: result.apgr.value for title, result in entry.results.items()},
                "against_best": {
                    title: {"difference": found.difference, "low": found.interval.low, "high": found.interval.high}
                    for title, found in entry.against_best.items()
                },
                "footprint": None if entry.footprint is None else asdict(entry.footprint),
            }
            for entry in self.entries
        ]


def _with_interval(result: RouterResult) -> str:
    apgr = result.apgr
    flat = " (constant)" if result.is_constant else ""
    return f"{apgr.value:.3f} [{apgr.interval.low:.3f}, {apgr.interval.high:.3f}]{flat}"


def _costs(footprint: Footprint | None) -> tuple[str, str, str]:
    if footprint is None:
        return "", "", ""
    train = "" if footprint.train_s is None else f"{footprint.train_s:.1f}"
    return train, f"{1e3 * footprint.decide_s:.2f}", f"{footprint.size_bytes / 1e3:,.0f}"


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _rule(n_columns: int) -> str:
    return f"|{'---|' * n_columns}"
