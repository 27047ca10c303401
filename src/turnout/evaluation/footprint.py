"""What a router costs to have: seconds to train, seconds to decide, bytes on disk."""

from __future__ import annotations

import copy
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from turnout.errors import EmptyDataError
from turnout.routers.base import Router

_TIMED = 200


@dataclass(frozen=True)
class Footprint:
    """A router's costs on this machine, while it did nothing else. Compare figures of one run only."""

    train_s: float | None
    """To fit it, the mean over seeds; None where it came fitted. Texts were encoded before, once for all routers."""
    decide_s: float
    """Median time of one query alone, from its text to its win rate."""
    size_bytes: int
    """The router folder's, without the encoder that it shares with others."""


def measure_footprint(router: Router, queries: Sequence[str], *, train_s: float | None = None) -> Footprint:
    """A fitted router's footprint, its time taken on up to 200 of these queries, one by one and none from a cache.

    Raises:
        EmptyDataError: there is no query.
    """
    if not queries:
        raise EmptyDataError("There is no query to time a decision on.")
    bare = without_cache(router)
    bare.predict_win_rate(queries[:1])  # what is made when first needed is made now
    seconds = []
    for query in queries[:_TIMED]:
        start = time.perf_counter()
        bare.predict_win_rate([query])
        seconds.append(time.perf_counter() - start)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "router"
        router.save(folder)
        size = sum(file.stat().st_size for file in folder.iterdir())
    return Footprint(train_s, statistics.median(seconds), size)


def without_cache(router: Router) -> Router:
    """The same router with its encoder bare, so that a query's time holds its encoding."""
    bare = copy.copy(router)
    if encoder := getattr(router, "encoder", None):
        vars(bare)["encoder"] = getattr(encoder, "inner", encoder)
    return bare
