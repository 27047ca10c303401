import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from turnout.data.rate_limit import RateLimit
from turnout.errors import InvalidValueError


async def test_the_limit_holds_in_every_window() -> None:
    limit = RateLimit(5, window_s=0.1)
    times = [taken.time for taken in await asyncio.gather(*(limit.take() for _ in range(18)))]
    assert len(times) == 18
    for first, sixth in zip(times, times[5:], strict=False):
        assert sixth - first >= 0.1


async def test_those_who_wait_are_served_in_order() -> None:
    limit, served = RateLimit(1, window_s=0.02), []

    async def call(number: int) -> None:
        await limit.take()
        served.append(number)

    await asyncio.gather(*(call(number) for number in range(5)))
    assert served == [0, 1, 2, 3, 4]


async def test_a_correction_makes_room() -> None:
    limit = RateLimit(100, window_s=60)
    first = await limit.take(90)
    limit.correct(first, 10)
    async with asyncio.timeout(20):
        await limit.take(90)


async def test_a_correction_of_what_no_longer_counts_changes_nothing() -> None:
    now = 0.0
    limit = RateLimit(100, now=lambda: now)
    old = await limit.take(90)
    now = 61.0
    await limit.take(100)
    limit.correct(old, 0)
    now = 121.5
    async with asyncio.timeout(20):
        await limit.take(100)


async def test_what_is_larger_than_the_limit_goes_alone() -> None:
    limit = RateLimit(10, window_s=0.05)
    async with asyncio.timeout(30):
        alone = await limit.take(50)
        behind = await limit.take(1)
    assert behind.time - alone.time >= 0.05


@settings(max_examples=30)
@given(st.lists(st.tuples(st.floats(0.1, 5), st.floats(0, 20)), max_size=30))
def test_the_sum_in_a_window_is_never_above_the_limit(calls: list[tuple[float, float]]) -> None:
    clock, taken = 0.0, []
    limit = RateLimit(6.0, window_s=30.0, now=lambda: clock)
    for amount, pause in calls:
        clock += pause
        if limit._wait_s(amount) == 0:
            asyncio.run(limit.take(amount))
            taken.append((clock, amount))
    for start, _ in taken:
        assert sum(amount for at, amount in taken if start <= at < start + 30.0) <= 6.0 + 1e-9


def test_no_limit_is_refused() -> None:
    with pytest.raises(InvalidValueError, match="above 0"):
        RateLimit(0)
