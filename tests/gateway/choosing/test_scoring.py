from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence
from typing import Self

import numpy as np
import pytest

from turnout import Battles, ModelPair, Router
from turnout.gateway.choosing import scoring
from turnout.gateway.choosing.scoring import MAX_BATCH, InlineScorer, ThreadScorer, make_scorer
from turnout.types import FloatArray

PAIR = ModelPair("big", "small")


class Lengths(Router):
    """Win rate = length / 100, after a pause, and once the gate is open."""

    name = "lengths"

    def __init__(self, pause_s: float = 0.0) -> None:
        self.pause_s = pause_s
        self.pair_ = PAIR
        self.batches: list[list[str]] = []
        self.gate = threading.Event()
        self.gate.set()

    def fit(self, battles: Battles) -> Self:
        return self

    def predict_win_rate(self, queries: Sequence[str]) -> FloatArray:
        self.batches.append(list(queries))
        self.thread = threading.current_thread()
        if self.pause_s:  # sleeping for no time gives the processor away on a busy machine
            time.sleep(self.pause_s)
        assert self.gate.wait(20)
        if "bad" in queries:
            raise RuntimeError("bad query")
        return np.array([len(query) / 100 for query in queries])


def test_a_fast_router_runs_inline_and_a_slow_one_in_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring, "INLINE_LIMIT_S", 0.2)
    assert isinstance(make_scorer(Lengths(), name="fast", limit_s=1), InlineScorer)
    slow = make_scorer(Lengths(pause_s=0.2), name="slow", limit_s=1)
    assert isinstance(slow, ThreadScorer)
    slow.close()


async def test_a_slow_router_does_not_hold_up_the_event_loop() -> None:
    router = Lengths()
    router.gate.clear()
    scorer = ThreadScorer(router, limit_s=30)
    asyncio.get_running_loop().call_later(0.05, router.gate.set)  # which a loop that is held up does not do
    assert await scorer.win_rate("x" * 7, PAIR) == 0.07
    scorer.close()
    assert router.thread is not threading.main_thread()


async def behind_one(router: Lengths, scorer: ThreadScorer, asked: Sequence[tuple[str, ModelPair]]) -> list[float]:
    """The win rates of queries that come while the router is busy with another."""
    router.gate.clear()
    first = asyncio.create_task(scorer.win_rate("first", PAIR))
    await asyncio.sleep(0)
    others = [asyncio.create_task(scorer.win_rate(text, pair)) for text, pair in asked]
    await asyncio.sleep(0)
    router.gate.set()
    await first
    return list(await asyncio.gather(*others))


async def test_queries_that_wait_go_together_and_get_their_own_answers() -> None:
    router = Lengths()
    scorer = ThreadScorer(router, limit_s=30)
    texts = ["x" * n for n in range(1, MAX_BATCH + 2)]
    rates = await behind_one(router, scorer, [(text, PAIR) for text in texts])
    scorer.close()
    assert rates == [len(text) / 100 for text in texts]
    assert [len(batch) for batch in router.batches] == [1, MAX_BATCH, 1]


async def test_pairs_are_not_mixed() -> None:
    router = Lengths()
    scorer = ThreadScorer(router, limit_s=30)
    other = ModelPair("other", "small")
    await behind_one(router, scorer, [("x", pair) for pair in (PAIR, other, other, PAIR, PAIR)])
    scorer.close()
    assert [len(batch) for batch in router.batches] == [1, 3, 2]


async def test_a_failing_batch_fails_its_own_queries_only() -> None:
    scorer = ThreadScorer(Lengths(), limit_s=30)
    with pytest.raises(RuntimeError, match="bad query"):
        await scorer.win_rate("bad", PAIR)
    assert await scorer.win_rate("xx", PAIR) == 0.02
    scorer.close()


async def test_waiting_too_long_is_a_timeout_and_the_query_is_dropped() -> None:
    router = Lengths()
    router.gate.clear()
    scorer = ThreadScorer(router, limit_s=0.1)
    late = await asyncio.gather(*(scorer.win_rate("x", PAIR) for _ in range(3)), return_exceptions=True)
    assert all(isinstance(result, TimeoutError) for result in late)
    scorer._limit_s = 30
    router.gate.set()
    assert await scorer.win_rate("next", PAIR) == 0.04
    scorer.close()
    assert router.batches == [["x"], ["next"]], "no one waited for the second and third any more"
