"""Routers side by side over several benchmarks: APGR with its interval, who differs from whom, what each costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from turnout.errors import InvalidValueError, UnknownNameError
from turnout.evaluation.bootstrap import Interval, over_seeds
from turnout.evaluation.footprint import Footprint
from turnout.evaluation.report import headline
from turnout.evaluation.runner import Comparison, Evaluation, RouterResult, compare
from turnout.types import JSON, FloatArray


@dataclass(frozen=True)
class Mean:
    """An APGR, or a difference of two, over the benchmarks, each counting alike, with its 95 % interval."""

    value: float
    interval: Interval
    spread: float = 0.0
    """The standard deviation over training seeds, which the interval leaves out; 0 where there is one seed, or where
    benchmarks have different numbers of them."""


@dataclass(frozen=True, eq=False)
class Entry:
    """One router's line."""

    router: str
    results: Mapping[str, RouterResult]
    """Benchmark's title → result; a benchmark that the router learned from, and sat out, is missing."""
    mean: Mean | None
    """None for a router that sat one out: a mean over other benchmarks would not compare."""
    against: Mapping[str, Comparison]
    """Benchmark's title → this router minus the reference; empty for the reference itself."""
    mean_against: Mean | None
    footprint: Footprint | None


@dataclass(frozen=True, eq=False)
class Leaderboard:
    """All routers, the highest mean APGR first; those that sat a benchmark out come last."""

    entries: tuple[Entry, ...]
    reference: str
    """The router that all others are compared with."""
    evaluations: tuple[Evaluation, ...]

    @classmethod
    def of(
        cls, evaluations: Sequence[Evaluation], footprints: Mapping[str, Footprint], *, against: str | None = None
    ) -> Leaderboard:
        """The leaderboard of evaluations, each of another benchmark.

        Args:
            evaluations: one for each benchmark, of the same routers; a router may be missing from some.
            footprints: router → what it costs.
            against: the router that all others are compared with; by default the one with the highest mean. Of many
                routers the highest is so partly by luck: a reference that is named beforehand is free of that.

        Raises:
            InvalidValueError: there is no evaluation, or two have one title.
            UnknownNameError: `against` is none of the routers.
        """
        if not evaluations:
            raise InvalidValueError("A leaderboard needs an evaluation.")
        by_title = {one.table.title: {result.router: result for result in one.results} for one in evaluations}
        if len(by_title) < len(evaluations):
            raise InvalidValueError("Each benchmark of a leaderboard needs a title of its own.")
        names = list(dict.fromkeys(name for results in by_title.values() for name in results))
        results_of = {
            name: {title: results[name] for title, results in by_title.items() if name in results} for name in names
        }
        means = {name: _mean(found) for name, found in results_of.items() if len(found) == len(by_title)}
        ordered = sorted(names, key=lambda name: -means[name].value if name in means else np.inf)
        reference = ordered[0] if against is None else against
        if reference not in names:
            raise UnknownNameError("router on this leaderboard", reference, names)
        entries = tuple(
            Entry(
                name,
                results_of[name],
                means.get(name),
                _against(results_of[name], results_of[reference]),
                _mean_difference(results_of[name], results_of[reference])
                if name in means and reference in means and name != reference
                else None,
                footprints.get(name),
            )
            for name in ordered
        )
        return cls(entries, reference, tuple(evaluations))

    def markdown(self) -> str:
        """A table of all routers over all benchmarks, then one for each benchmark with intervals and differences."""
        titles = [one.table.title for one in self.evaluations]
        minus = [f"minus {self.reference} [95 %]"] if len(self.entries) > 1 else []
        seeds = ["SD over seeds"] if any(entry.mean and entry.mean.spread for entry in self.entries) else []
        header = ["router", "mean APGR [95 %]", *seeds, *minus, *titles, "train, s", "decide, ms", "size, kB"]
        lines = [_row(*header), _rule(len(header))]
        for entry in self.entries:
            apgr = [f"{entry.results[title].apgr.value:.3f}" if title in entry.results else "–" for title in titles]
            mean = "–" if entry.mean is None else _value(entry.mean.value, entry.mean.interval)
            spread = ["" if entry.mean is None else f"{entry.mean.spread:.3f}"] if seeds else []
            difference = [_difference(entry.mean_against)] if minus else []
            lines.append(_row(entry.router, mean, *spread, *difference, *apgr, *_costs(entry.footprint)))
        ranges = ["{:.3f} to {:.3f}".format(*one.single_random_apgr) for one in self.evaluations]
        empty = [""] * len(seeds + minus)
        lines.append(_row("one random router, 95 in 100", "0.500", *empty, *ranges, "", "", ""))
        oracle = [one.oracle.apgr.value for one in self.evaluations]
        lines.append(
            _row("the oracle", f"{np.mean(oracle):.3f}", *empty, *(f"{value:.3f}" for value in oracle), "", "", "")
        )
        if minus:
            lines += ["", "Differences are over the same draws of queries; one counts (*) where it leaves out zero."]
        if any(entry.mean is None for entry in self.entries):
            lines += ["", "A router has no figure (–) on a benchmark that it learned from, and then no mean."]
        for one in self.evaluations:
            lines += ["", *self._section(one)]
        return "\n".join(lines) + "\n"

    def _section(self, evaluation: Evaluation) -> list[str]:
        title = evaluation.table.title
        seeds = len(evaluation.random.apgr.by_seed)
        header = [
            "router",
            "APGR [95 %]",
            *(["SD over seeds"] if seeds > 1 else []),
            *([f"minus {self.reference} [95 %]"] if len(self.entries) > 1 else []),
            "tied, %",
            "drawn to the mean, %",
            "wholly below 0.500",
        ]
        lines = [f"### {' '.join(headline(evaluation).split())}", "", _row(*header), _rule(len(header))]
        here = [entry for entry in self.entries if title in entry.results]
        for entry in sorted(here, key=lambda entry: -entry.results[title].apgr.value):
            result = entry.results[title]
            flat = " (constant)" if result.is_constant else ""
            drawn = result.drawn_to_mean_share
            cells = [
                entry.router,
                _value(result.apgr.value, result.apgr.interval) + flat,
                *([f"{result.apgr.spread:.3f}"] if seeds > 1 else []),
                *([_difference(entry.against.get(title))] if len(self.entries) > 1 else []),
                f"{100 * result.tied_share:.1f}",
                "" if drawn is None else f"{100 * drawn:.1f}",
                "yes" if result.below_random else "",
            ]
            lines.append(_row(*cells))
        return lines

    def to_json(self) -> list[dict[str, JSON]]:
        """The entries as JSON objects, best first; the results themselves stand in the evaluations."""
        return [
            {
                "router": entry.router,
                "mean_apgr": None
                if entry.mean is None
                else {**_mean_json(entry.mean), "sd_over_seeds": entry.mean.spread},
                "apgr": {title: result.apgr.value for title, result in entry.results.items()},
                "sd_over_seeds": {title: result.apgr.spread for title, result in entry.results.items()},
                "wholly_below_random": [title for title, result in entry.results.items() if result.below_random],
                "against": {
                    "router": self.reference,
                    "mean": _mean_json(entry.mean_against),
                    "by_benchmark": {
                        title: _mean_json(Mean(found.difference, found.interval))
                        for title, found in entry.against.items()
                    },
                },
                "footprint": None if entry.footprint is None else asdict(entry.footprint),
            }
            for entry in self.entries
        ]


def _apgr_draws(result: RouterResult) -> FloatArray:
    return over_seeds(lambda draw: draw.apgr, result.replicates)


def _mean(results: Mapping[str, RouterResult]) -> Mean:
    draws = np.mean([_apgr_draws(result) for result in results.values()], axis=0)
    by_seed = [result.apgr.by_seed for result in results.values()]
    n_seeds = {len(values) for values in by_seed}
    alike = len(n_seeds) == 1 and n_seeds != {1}
    spread = float(np.std(np.mean(by_seed, axis=0), ddof=1)) if alike else 0.0
    return Mean(float(np.mean([np.mean(values) for values in by_seed])), Interval.of(draws), spread)


def _mean_difference(ours: Mapping[str, RouterResult], theirs: Mapping[str, RouterResult]) -> Mean:
    draws = np.mean([_apgr_draws(ours[title]) - _apgr_draws(theirs[title]) for title in ours], axis=0)
    return Mean(_mean(ours).value - _mean(theirs).value, Interval.of(draws))


def _against(ours: Mapping[str, RouterResult], theirs: Mapping[str, RouterResult]) -> dict[str, Comparison]:
    if ours is theirs:
        return {}
    return {title: compare(result, theirs[title]) for title, result in ours.items() if title in theirs}


def _mean_json(mean: Mean | None) -> JSON:
    return None if mean is None else {"value": mean.value, "low": mean.interval.low, "high": mean.interval.high}


def _value(value: float, interval: Interval) -> str:
    return f"{value:.3f} [{interval.low:.3f}, {interval.high:.3f}]"


def _difference(found: Mean | Comparison | None) -> str:
    if found is None:
        return ""
    value = found.value if isinstance(found, Mean) else found.difference
    mark = " *" if found.interval.excludes_zero() else ""
    return f"{value:+.3f} [{found.interval.low:+.3f}, {found.interval.high:+.3f}]{mark}"


def _costs(footprint: Footprint | None) -> tuple[str, str, str]:
    if footprint is None:
        return "", "", ""
    train = "" if footprint.train_s is None else f"{footprint.train_s:.1f}"
    return train, f"{1e3 * footprint.decide_s:.2f}", f"{footprint.size_bytes / 1e3:,.0f}"


def _row(*cells: str) -> str:
    one_line = [" ".join(cell.split()).replace("|", "\\|") for cell in cells]  # titles are users' own
    return f"| {' | '.join(one_line)} |"


def _rule(n_columns: int) -> str:
    return f"|{'---|' * n_columns}"
