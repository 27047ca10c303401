"""Table 7: how many queries a second each router decides here, what a million cost, and how long it trained."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from turnout.evaluation.bootstrap import Interval
from turnout.reproduce.differences import NOT_RUN, compared
from turnout.reproduce.paper import ARENA_JUDGE, NOTHING, OVERHEAD
from turnout.reproduce.plan import Plan
from turnout.reproduce.scoring import BATCH_SIZE, Scored
from turnout.reproduce.table import Figure, Measure, Row, Table
from turnout.types import FloatArray

SINGLY = Measure("queries_per_s", "queries/s singly", digits=1)
BATCHED = Measure("queries_per_s_batched", f"queries/s in batches of {BATCH_SIZE}", digits=1)
TRAINED = Measure("train_s", "s to train", digits=1)
USD = Measure("usd_per_million", "US dollars a million singly", digits=3)
_DRAWS = 1_000


def overhead_table(routers: Sequence[Scored], plan: Plan, machine: str, n_battles: int) -> Table:
    """Table 7.

    Args:
        routers: timed.
        plan: for the machine's price, above 0.
        machine: what it was timed on.
        n_battles: how many the routers learned from.
    """
    return Table(
        7,
        "what a decision costs",
        f"up to 200 queries one by one and {10 * BATCH_SIZE:,} in batches, of the tables above, each from its text to "
        f"its win rate with nothing cached. Machine: {machine}.",
        ("router", "beside the paper's"),
        (SINGLY, BATCHED, USD, TRAINED),
        tuple(_rows(routers, plan.machine_usd_per_hour)),
        (
            f"Dollars: {plan.machine_usd_per_hour:g} an hour ({plan.price_source}), divided by an hour's queries "
            "taken singly. Encoding is part of it and runs on the same machine; the paper's SW and MF buy embeddings.",
            f"The routers are those of {ARENA_JUDGE}, {n_battles:,} battles; the paper's learned from 185,000. sw's "
            "time grows with its battles: `benchmarks/similarity_speed.py` measures it at 60,000. Other work on the "
            "machine slows all figures down.",
        ),
    )


def _rows(routers: Sequence[Scored], usd_per_hour: float) -> Iterator[Row]:
    """A line for each router beside the paper's, and one for each of the paper's that was not run."""
    for name, paper in OVERHEAD.items():
        mine = [one for one in routers if one.recipe.paper == name]
        if not mine:
            per_s, usd = Figure(paper.requests_per_s), Figure(paper.usd_per_million_requests)
            yield Row((NOTHING, name), {"queries_per_s": per_s, "usd_per_million": usd}, NOT_RUN)
        for one in mine:
            figures = _figures(one, usd_per_hour, paper.requests_per_s, paper.usd_per_million_requests)
            differs = f"the paper's ran on {paper.machine} at {paper.usd_per_hour:g} US dollars an hour"
            said = compared(figures["queries_per_s"], SINGLY, differs)
            yield Row((one.recipe.label, name), figures, said)
    for one in routers:
        if one.recipe.paper is None:
            figures = _figures(one, usd_per_hour, None, None)
            said = compared(figures["queries_per_s"], SINGLY)
            yield Row((one.recipe.label, NOTHING), figures, said)


def usd_per_million(queries_per_s: float, usd_per_hour: float) -> float:
    """US dollars of a million decisions on a machine that does nothing else.

    >>> round(usd_per_million(2.9, 0.39), 2)  # the paper's SW, without its embeddings
    37.36
    """
    return usd_per_hour / 3600 / queries_per_s * 1e6


def _figures(one: Scored, usd_per_hour: float, per_s: float | None, usd: float | None) -> dict[str, Figure]:
    singly = _rate(one.single_s, 1, per_s)
    assert singly.ours is not None
    assert singly.low is not None
    assert singly.high is not None
    ours, high, low = (usd_per_million(rate, usd_per_hour) for rate in (singly.ours, singly.low, singly.high))
    return {
        "queries_per_s": singly,
        "queries_per_s_batched": _rate(one.batch_s, BATCH_SIZE, None),
        "usd_per_million": Figure(usd, ours, low, high),
        "train_s": Figure(None, one.train_s),
    }


def _rate(seconds: FloatArray, queries_a_call: int, paper: float | None) -> Figure:
    """Queries a second, and the interval over the calls that were timed."""
    random = np.random.default_rng(0)
    means = np.array([seconds[random.integers(0, len(seconds), len(seconds))].mean() for _ in range(_DRAWS)])
    interval = Interval.of(queries_a_call / means)
    return Figure(paper, float(queries_a_call / seconds.mean()), interval.low, interval.high)
