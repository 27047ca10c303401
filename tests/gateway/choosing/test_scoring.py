from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence
from typing import Self

import numpy as np
import pytest

from turnout import Battles, ModelPair, Router
from turnout.gateway.choosing.scoring import MAX_BATCH, InlineScorer, ThreadScorer, make_scorer
from turnout.types import FloatArray

PAIR = ModelPair("big", "small")


class Lengths(Router):
    """Win rate = length / 100, after a pause."""

    name = "lengths"

    def __init__(self, pause_s: float = 0.0) -> None:
        self.pause_s = pause_s
        self.pair_ = PAIR
        self.batches: list[list[str]] = []

    def fit(self, battles: Battles) -> Self:
        return self

    def predict_win_rate(self, queries: Sequence[str]) -> FloatArray:
        self.batches.append(list(queries))
        self.thread = threading.current_thread()
        time.sleep(self.pause_s)
        if "bad" in queries:
            raise RuntimeError("bad query")
        return np.array([len(query) / 100 for query in queries])


def test_a_fast_router_runs_inline_and_a_slow_one_in_a_thread() -> None:
    assert isinstance(make_scorer(Lengths(), name="fast", limit_s=1), InlineScorer)
    slow = make_scorer(Lengths(pause_s=0.005), name="slow", limit_s=1)
    assert isinstance(slow, ThreadScorer)
    slow.close()


async def test_a_slow_router_does_not_hold_up_the_event_loop() -> None:
    router = Lengths(pause_s=0.2)
    scorer = ThreadScorer(router, limit_s=5)
    longest, stop = 0.0, asyncio.Event()

    async def tick() -> None:
        nonlocal longest
        while not stop.is_set():
            before = time.perf_counter()
            await asyncio.sleep(0.005)
            longest = max(longest, time.perf_counter() - before)

    ticking = asyncio.create_task(tick())
    assert await scorer.win_rate("x" * 7, PAIR) == 0.07
    stop.set()
    await ticking
    scorer.close()
    assert router.thread is not threading.main_thread()
    assert longest < 0.15


async def test_queries_that_wait_go_together_and_get_their_own_answers() -> None:
    router = Lengths(pause_s=0.05)
    scorer = ThreadScorer(router, limit_s=5)
    texts = ["x" * n for n in range(1, 31)]
    rates = await asyncio.gather(*(scorer.win_rate(text, PAIR) for text in texts))
    scorer.close()
    assert rates == [len(text) / 100 for text in texts]
    assert [len(batch) for batch in router.batches] == [1, 29]
    assert max(len(batch) for batch in router.batches) <= MAX_BATCH


async def test_pairs_are_not_mixed() -> None:
    router = Lengths(pause_s=0.02)
    scorer = ThreadScorer(router, limit_s=5)
    other = ModelPair("other", "small")
    await asyncio.gather(*(scorer.win_rate("x", pair) for pair in (PAIR, PAIR, other, other, PAIR)))
    scorer.close()
    assert sorted(len(batch) for batch in router.batches) == [1, 2, 2]


async def test_a_failing_batch_fails_its_own_queries_only() -> None:
    scorer = ThreadScorer(Lengths(pause_s=0.02), limit_s=5)
    with pytest.raises(RuntimeError, match="bad query"):
        await scorer.win_rate("bad", PAIR)
    assert await scorer.win_rate("xx", PAIR) == 0.02
    scorer.close()


async def test_waiting_too_long_is_a_timeout_and_the_query_is_dropped() -> None:
    router = Lengths(pause_s=0.3)
    scorer = ThreadScorer(router, limit_s=0.1)
    late = await asyncio.gather(*(scorer.win_rate("x", PAIR) for _ in range(3)), return_exceptions=True)
    assert all(isinstance(result, TimeoutError) for result in late)
    await asyncio.sleep(0.4)
    scorer.close()
    assert [len(batch) for batch in router.batches] == [1], "no one waited for the second batch any more"
