import asyncio

import pytest

from turnout.call_limits import TimeLimits
from turnout.deadlines import Clock, Deadlines

LIMITS = TimeLimits(first_byte_s=3.0, whole_s=10.0)


@pytest.fixture
async def deadlines(monkeypatch: pytest.MonkeyPatch) -> Deadlines:
    """At second 100 until a test says otherwise."""
    watching = Deadlines()
    monkeypatch.setattr(watching, "now", lambda: 100.0)
    return watching


async def test_a_step_never_has_more_than_the_whole_has_left(
    deadlines: Deadlines, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(LIMITS, deadlines, None)
    clock.count("first_byte_s")
    assert (clock.limit, clock.end, clock.left_s()) == ("first_byte_s", 103.0, 10.0)
    clock.count_whole()
    assert (clock.limit, clock.end) == ("whole_s", 110.0)
    monkeypatch.setattr(deadlines, "now", lambda: 108.0)
    clock.count("first_byte_s")
    assert (clock.limit, clock.end, clock.left_s()) == ("whole_s", 110.0, 2.0)


async def test_who_tried_before_has_less_left(deadlines: Deadlines) -> None:
    assert Clock(LIMITS, deadlines, 4.0).left_s() == 4.0


async def test_the_task_whose_clock_ran_out_is_cancelled_and_no_other(
    deadlines: Deadlines, monkeypatch: pytest.MonkeyPatch
) -> None:
    clocks: list[Clock] = []

    async def call(within_s: float) -> None:
        clocks.append(Clock(LIMITS, deadlines, within_s))
        deadlines.watch(clocks[-1])
        await asyncio.Event().wait()

    late, early = asyncio.create_task(call(5.0)), asyncio.create_task(call(9.0))
    await asyncio.sleep(0)
    monkeypatch.setattr(deadlines, "now", lambda: 105.0)
    with pytest.raises(asyncio.CancelledError):
        await late
    assert [clock.ran_out for clock in clocks] == [True, False]
    assert clocks[0].error().limit == "whole_s"
    deadlines.forget(clocks[1])
    early.cancel()
