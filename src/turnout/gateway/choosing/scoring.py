"""Asks a router for win rates without ever holding up the event loop.

A fast router answers sooner than a thread could be woken, so it runs inline. A slow one runs in a thread, and the
queries that arrive while it is busy go into its next batch together. Which is which is measured at startup.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from turnout.routers.base import Router, predict_for_pair
from turnout.types import FloatArray, ModelPair

INLINE_LIMIT_S = 0.001
"""A router that takes longer than this for one ordinary query does not run on the event loop."""

MAX_BATCH = 64

_SAMPLE = "Explain step by step why the harmonic series diverges, and compare it with the series of squares. " * 4
_log = logging.getLogger(__name__)


class Scorer(Protocol):
    """Win rates for one query at a time, from inside an event loop."""

    async def win_rate(self, query: str, pair: ModelPair) -> float:
        """The router's estimate; raises whatever the router raises."""
        ...

    def close(self) -> None:
        """Stop; queries that are still waiting fail."""
        ...


class InlineScorer:
    """Calls the router where it stands."""

    def __init__(self, router: Router) -> None:
        self._router = router

    async def win_rate(self, query: str, pair: ModelPair) -> float:
        """The router's estimate, at once."""
        return float(predict_for_pair(self._router, [query], pair).win_rates[0])

    def close(self) -> None:
        """Nothing to stop."""


class ThreadScorer:
    """Calls the router in one thread, a batch at a time.

    One thread, since a slow router is bound by the processor: two would only take turns.
    """

    def __init__(self, router: Router, *, limit_s: float) -> None:
        self._router = router
        self._limit_s = limit_s
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="turnout-router")
        self._waiting: list[tuple[str, ModelPair, asyncio.Future[float]]] = []
        self._running = False

    async def win_rate(self, query: str, pair: ModelPair) -> float:
        """The router's estimate, or a TimeoutError when `limit_s` is over."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[float] = loop.create_future()
        self._waiting.append((query, pair, answer))
        self._start_batch(loop)
        async with asyncio.timeout(self._limit_s):
            return await answer

    def close(self) -> None:
        """Let the running batch end, and start no other."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _start_batch(self, loop: asyncio.AbstractEventLoop) -> None:
        # Whoever stopped waiting (too late, or its client left) is not worth a place in the batch.
        self._waiting = [item for item in self._waiting if not item[2].done()]
        if self._running or not self._waiting:
            return
        pair = self._waiting[0][1]
        batch = [item for item in self._waiting if item[1] == pair][:MAX_BATCH]
        taken = {id(item[2]) for item in batch}
        self._waiting = [item for item in self._waiting if id(item[2]) not in taken]
        queries = [query for query, _, _ in batch]
        self._running = True
        running = loop.run_in_executor(self._thread, self._predict, queries, pair)
        running.add_done_callback(lambda done: self._end_batch(loop, batch, done))

    def _predict(self, queries: Sequence[str], pair: ModelPair) -> FloatArray:
        return predict_for_pair(self._router, queries, pair).win_rates

    def _end_batch(
        self,
        loop: asyncio.AbstractEventLoop,
        batch: list[tuple[str, ModelPair, asyncio.Future[float]]],
        done: asyncio.Future[FloatArray],
    ) -> None:
        self._running = False
        error = asyncio.CancelledError() if done.cancelled() else done.exception()
        for position, (_, _, answer) in enumerate(batch):
            if answer.done():
                continue
            if error is None:
                answer.set_result(float(done.result()[position]))
            elif isinstance(error, Exception):
                answer.set_exception(error)
            else:
                answer.cancel()
        if not done.cancelled():
            self._start_batch(loop)


def seconds_per_query(router: Router, *, clock: Callable[[], float] = time.perf_counter) -> float:
    """The time of a router for one ordinary query of about ninety tokens, warmed up: the least of a few.

    Whatever else the machine does while the gateway starts only adds to it.
    """
    router.predict_win_rate([_SAMPLE])
    times = []
    for repeat in range(5):
        start = clock()
        # A new text each time, so that a cache of an encoder's cannot answer.
        router.predict_win_rate([f"{_SAMPLE}{repeat}"])
        times.append(clock() - start)
    return min(times)


def make_scorer(router: Router, *, name: str, limit_s: float) -> Scorer:
    """An inline scorer for a router that was measured to be fast, otherwise one with a thread."""
    try:
        seconds = seconds_per_query(router)
    except Exception:
        # It fails on an ordinary query: every request will go to strong, and the log will say so each time.
        _log.exception("the router '%s' failed on a sample query; until it works, its routes send to strong", name)
        return InlineScorer(router)
    if seconds <= INLINE_LIMIT_S:
        _log.info("the router '%s' takes %.3f ms a query and runs inline", name, seconds * 1e3)
        return InlineScorer(router)
    _log.info("the router '%s' takes %.1f ms a query and runs in a thread", name, seconds * 1e3)
    return ThreadScorer(router, limit_s=limit_s)
