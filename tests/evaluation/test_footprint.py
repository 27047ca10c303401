import time
from collections.abc import Sequence

import numpy as np
import pytest
from made_up_outcomes import PAIR, FirstWord

from turnout.data.battles import Battles
from turnout.encoders.cache import CachedEncoder
from turnout.encoders.hashing import HashingEncoder
from turnout.errors import EmptyDataError
from turnout.evaluation.footprint import measure_footprint
from turnout.routers.nearest_neighbors import NearestNeighbors
from turnout.types import FloatArray


class Slow(FirstWord):
    """Takes 5 ms a query."""

    def predict_win_rate(self, queries: Sequence[str]) -> FloatArray:
        time.sleep(0.005 * len(queries))
        return super().predict_win_rate(queries)


def test_a_slow_router_is_told_to_be_slow() -> None:
    battles = Battles.from_columns(["hard x"], PAIR.strong, PAIR.weak, [1.0], pair=PAIR)
    found = measure_footprint(Slow().fit(battles), ["hard y", "easy z"], train_s=1.5)
    assert found.train_s == 1.5
    assert found.decide_s >= 0.005
    assert found.size_bytes > 100


def test_the_cache_is_not_what_is_timed() -> None:
    encoder = CachedEncoder(HashingEncoder(dim=16))
    queries = [f"query {number}" for number in range(12)]
    battles = Battles.from_columns(queries, PAIR.strong, PAIR.weak, np.linspace(0, 1, 12), pair=PAIR)
    router = NearestNeighbors(encoder, k=3, sharpness=0.0, shrinkage=0.0).fit(battles)
    hits = encoder.hits
    measure_footprint(router, queries)
    assert encoder.hits == hits
    assert router.encoder is encoder  # the router itself keeps its cache


def test_nothing_to_time() -> None:
    battles = Battles.from_columns(["hard x"], PAIR.strong, PAIR.weak, [1.0], pair=PAIR)
    with pytest.raises(EmptyDataError):
        measure_footprint(FirstWord().fit(battles), [])
