"""An evaluation as a table for people and as JSON that holds all that is needed to do it again."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import asdict

import numpy as np

from turnout._version import __version__
from turnout.evaluation.metrics import Savings
from turnout.evaluation.runner import CPT_SHARES, QUALITY_AT, Comparison, Estimate, Evaluation, RouterResult
from turnout.types import JSON

FORMAT = 1


def text_report(evaluation: Evaluation) -> str:
    """Tables of metrics, of dollars where prices are known, and notes on what to mind."""
    return "\n".join(
        [headline(evaluation), "", *_metrics(evaluation), *_dollars(evaluation), *_notes(evaluation)],
    )


def headline(evaluation: Evaluation) -> str:
    """What was measured on: the benchmark, how many queries, and the two models with their quality."""
    table = evaluation.table
    weak, strong = float(table.weak_scores.mean()), float(table.strong_scores.mean())
    seeds = len(evaluation.random.apgr.by_seed)
    tested = (
        f"{len(table):,} {table.units}"
        if seeds == 1
        else (f"{evaluation.random.n_queries:,} of {len(table):,} {table.units} for each of {seeds} seeds")
    )
    return (
        f"{table.title}: {tested}. Strong: {table.pair.strong} ({table.quality_text(strong)}). "
        f"Weak: {table.pair.weak} ({table.quality_text(weak)})."
    )


def _metrics(evaluation: Evaluation) -> list[str]:
    several = len(evaluation.random.apgr.by_seed) > 1
    unit = 100 if evaluation.table.in_per_cent else 1
    rows = [
        [
            "ROUTER",
            "APGR",
            *(f"CPT({_per_cent(share)} %), %" for share in CPT_SHARES),
            f"QUALITY AT {_per_cent(QUALITY_AT)} % STRONG{', %' if unit == 100 else ''}",
            "TIED, %",
            *(["SD OVER SEEDS"] if several else []),
        ]
    ]
    for name, result in _rows(evaluation):
        rows.append(
            [
                name,
                _with_interval(result.apgr, digits=3),
                *(_with_interval(result.cpt[share], scale=100) for share in CPT_SHARES),
                _with_interval(result.quality, scale=unit, digits=1 if unit == 100 else 2),
                _per_cent(result.tied_share, digits=1),
                *([f"{result.apgr.spread:.3f}"] if several else []),
            ]
        )
    return _aligned(rows)


def _rows(evaluation: Evaluation) -> list[tuple[str, RouterResult]]:
    named = [(result.router, result) for result in evaluation.results]
    return [*named, ("(random)", evaluation.random), ("(oracle)", evaluation.oracle)]


def _dollars(evaluation: Evaluation) -> list[str]:
    costs = evaluation.table.costs
    if costs is None:
        return []
    rows = [["ROUTER", "GAP, %", "STRONG, %", "USD", "RANDOM", "SAVED, %", "ALWAYS-STRONG", "SAVED, %"]]
    for name, result in _rows(evaluation):
        if result.is_constant:  # it cannot reach such a point; random routing has a column of its own
            continue
        for share, saved in result.savings.items():
            rows.append(
                [
                    name,
                    _per_cent(share),
                    _per_cent(saved.strong_fraction, digits=1),
                    f"{1000 * saved.cost_usd:.2f}",
                    f"{1000 * saved.random_cost_usd:.2f}",
                    _per_cent(saved.against_random, digits=1),
                    f"{1000 * saved.always_strong_cost_usd:.2f}",
                    _per_cent(saved.against_always_strong, digits=1),
                ]
            )
    return [
        "",
        "US dollars for 1,000 queries at the point where a share of the gap is recovered, beside those of random "
        "routing at the same quality and those of always-strong:",
        "",
        *_aligned(rows),
        f"Dollars are {costs.basis}.",
    ]


def _notes(evaluation: Evaluation) -> list[str]:
    low, high = evaluation.single_random_apgr
    notes = [
        f"Intervals: bootstrap over {evaluation.table.units}, {evaluation.n_replicates:,} draws. "
        f"A single random router has an APGR from {low:.3f} to {high:.3f} in 95 of 100 cases."
    ]
    for result in evaluation.results:
        if result.is_constant:
            notes.append(
                f"{result.router} gives every query the same win rate: only a strong fraction of 0 or 1 can be reached."
            )
        if result.no_win_rate:
            notes.append(
                f"{result.router} gave no win rate (NaN) to {result.no_win_rate:,} queries: they went to strong."
            )
    for comparison in evaluation.comparisons:
        verdict = "" if comparison.interval.excludes_zero() else ": no difference is shown"
        notes.append(
            f"APGR of {comparison.first} − {comparison.second}: {comparison.difference:+.3f} "
            f"[{comparison.interval.low:+.3f}, {comparison.interval.high:+.3f}], paired{verdict}."
        )
    return ["", *notes]


def _with_interval(estimate: Estimate, *, scale: float = 1, digits: int = 1) -> str:
    value, low, high = (
        f"{scale * x:.{digits}f}" for x in (estimate.value, estimate.interval.low, estimate.interval.high)
    )
    known_exactly = estimate.interval.high - estimate.interval.low < 1e-9
    return value if known_exactly else f"{value} [{low}, {high}]"


def _per_cent(fraction: float, digits: int = 0) -> str:
    return f"{round(100 * fraction, digits) + 0.0:.{digits}f}"  # + 0.0: no minus before a zero


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def json_report(
    evaluations: Sequence[Evaluation], *, protocol: JSON = None, routers: JSON = None, command: Sequence[str] = ()
) -> dict[str, JSON]:
    """Everything that was measured and all that is needed to measure it again.

    Args:
        evaluations: one for each benchmark.
        protocol: how routers were trained, if they were.
        routers: name → what the router is: its folder's hash, or its settings.
        command: the command line's words.
    """
    return {
        "format": FORMAT,
        "turnout_version": __version__,
        "python_version": platform.python_version(),
        "numpy_version": np.__version__,
        "command": list(command),
        "protocol": protocol or {},
        "routers": routers or {},
        "evaluations": [_evaluation(evaluation) for evaluation in evaluations],
    }


def _evaluation(evaluation: Evaluation) -> dict[str, JSON]:
    table = evaluation.table
    return {
        "benchmark": table.name,
        "title": table.title,
        **table.facts,
        "pair": {"strong": table.pair.strong, "weak": table.pair.weak},
        "units": table.units,
        "n_queries": len(table),
        "data_sha256": table.sha256,
        "strong_quality": float(table.strong_scores.mean()),
        "weak_quality": float(table.weak_scores.mean()),
        "usd_basis": None if table.costs is None else table.costs.basis,
        "bootstrap": {"replicates": evaluation.n_replicates, "seed": evaluation.bootstrap_seed},
        "single_random_apgr": list(evaluation.single_random_apgr),
        "results": [_result(result) for result in evaluation.results],
        "random": _result(evaluation.random),
        "oracle": _result(evaluation.oracle),
        "comparisons": [_comparison(comparison) for comparison in evaluation.comparisons],
    }


def _result(result: RouterResult) -> dict[str, JSON]:
    return {
        "router": result.router,
        "n_queries": result.n_queries,
        "apgr": _estimate(result.apgr),
        "apgr_ten_point_grid": result.apgr_ten_point_grid,
        "cpt": {
            f"{share:g}": {**_estimate(estimate), "reachable": result.cpt_reachable[share]}
            for share, estimate in result.cpt.items()
        },
        "quality_at_strong_fraction": {f"{QUALITY_AT:g}": _estimate(result.quality)},
        "tied_share": result.tied_share,
        "drawn_to_mean_share": result.drawn_to_mean_share,
        "no_win_rate": result.no_win_rate,
        "usd_per_query_at_pgr": {f"{share:g}": _savings(saved) for share, saved in result.savings.items()},
        "curve": {name: np.round(values, 6).tolist() for name, values in vars(result.curve).items()},
    }


def _estimate(estimate: Estimate) -> dict[str, JSON]:
    return {
        "value": estimate.value,
        "low": estimate.interval.low,
        "high": estimate.interval.high,
        "by_seed": list(estimate.by_seed),
        "sd_over_seeds": estimate.spread,
    }


def _savings(saved: Savings) -> dict[str, JSON]:
    return {
        **asdict(saved),
        "saved_against_random": saved.against_random,
        "saved_against_always_strong": saved.against_always_strong,
    }


def _comparison(comparison: Comparison) -> dict[str, JSON]:
    return {
        "first": comparison.first,
        "second": comparison.second,
        "apgr_difference": comparison.difference,
        "low": comparison.interval.low,
        "high": comparison.interval.high,
    }
