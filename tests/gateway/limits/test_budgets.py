from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, closing, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ledgers import KINDS, empty_database

from turnout.errors import LedgerError
from turnout.gateway.ledger.calls import LedgerCalls
from turnout.gateway.ledger.database import Connection, Database
from turnout.gateway.ledger.schema import open_ledger
from turnout.gateway.limits.budgets import Budgets, Demand, Hold, LimitReached
from turnout.gateway.limits.leases import LAPSE_S, VALID_S, used_in_window

NOW = 1_764_076_800.0  # 2025-11-25 13:20:00 UTC


@dataclass
class Clock:
    now: float = NOW

    def __call__(self) -> float:
        return self.now


@dataclass
class Workers:
    database: Database
    clock: Clock
    stack: AsyncExitStack

    def new(self, database: Database | None = None) -> Budgets:
        calls = LedgerCalls(database or self.database)
        self.stack.push_async_callback(calls.aclose)
        return Budgets(calls, clock=self.clock, monotonic=self.clock)

    def used(self, kind: str = "usd_per_day") -> float:
        with closing(open_ledger(self.database)) as connection:
            return used_in_window(connection, "k", kind, now=self.clock())  # type: ignore[arg-type]


@pytest.fixture(params=KINDS)
async def workers(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Workers]:
    with empty_database(request.param, tmp_path) as database:
        open_ledger(database, create=True).close()
        async with AsyncExitStack() as stack:
            yield Workers(database, Clock(), stack)


def usd(amount: float, limit: float = 10.0) -> list[Demand]:
    return [Demand("usd_per_day", limit, amount)]


async def test_the_worst_case_is_set_aside_and_what_it_came_to_is_settled(workers: Workers) -> None:
    budgets = workers.new()
    hold = await budgets.take("k", usd(6))
    with pytest.raises(LimitReached) as reached:
        await budgets.take("k", usd(6))
    assert (reached.value.kind, reached.value.resets, reached.value.alone) == ("usd_per_day", 1_764_115_200, False)
    hold.settle(usd=1)
    workers.clock.now += 2
    await budgets.take("k", usd(6))


async def test_settling_twice_counts_once(workers: Workers) -> None:
    budgets = workers.new()
    hold = await budgets.take("k", usd(6))
    hold.settle(usd=1)
    hold.settle(usd=0)
    hold.undo()
    await budgets.aclose()
    assert workers.used() == 1


async def test_what_is_not_known_stays_at_its_worst_case(workers: Workers) -> None:
    budgets = workers.new()
    (await budgets.take("k", [Demand("tokens_per_minute", 100, 30), *usd(6)])).settle(tokens=None, usd=2)
    await budgets.aclose()
    assert (workers.used("tokens_per_minute"), workers.used()) == (30, 2)


async def test_a_request_that_one_limit_refuses_takes_nothing_of_the_others(workers: Workers) -> None:
    budgets = workers.new()
    with pytest.raises(LimitReached):
        await budgets.take("k", [Demand("requests_per_minute", 10, 1), *usd(11)])
    await budgets.aclose()
    assert workers.used("requests_per_minute") == 0


async def test_a_request_above_the_limit_is_told_that_waiting_does_not_help(workers: Workers) -> None:
    with pytest.raises(LimitReached) as reached:
        await workers.new().take("k", usd(10.5))
    assert reached.value.alone
    await workers.new().take("k", usd(10))


async def test_exactly_as_many_requests_as_the_limit_says(workers: Workers) -> None:
    budgets = workers.new()
    demand = [Demand("requests_per_minute", 100, 1)]
    results = await asyncio.gather(*(budgets.take("k", demand) for _ in range(150)), return_exceptions=True)
    assert sum(isinstance(result, LimitReached) for result in results) == 50


async def test_a_new_minute_starts_anew(workers: Workers) -> None:
    budgets = workers.new()
    demand = [Demand("requests_per_minute", 1, 1)]
    hold = await budgets.take("k", demand)
    with pytest.raises(LimitReached) as reached:
        await budgets.take("k", demand)
    assert reached.value.resets == NOW + 60
    workers.clock.now = NOW + 60
    await budgets.take("k", demand)
    hold.settle()
    await budgets.report()


async def test_two_workers_together_stay_below_the_limit_and_nearly_reach_it(workers: Workers) -> None:
    one, two = workers.new(), workers.new()
    spent = 0.0
    for _ in range(200):
        for budgets in (one, two):
            try:
                (await budgets.take("k", usd(0.1))).settle(usd=0.1)
                spent += 0.1
            except LimitReached:
                workers.clock.now += 1.5
                await budgets.report()
    assert 9.8 <= spent <= 10 + 1e-6


async def test_an_idle_worker_gives_its_slice_back(workers: Workers) -> None:
    one, two = workers.new(), workers.new()
    (await one.take("k", usd(10))).settle(usd=1)
    with pytest.raises(LimitReached):
        await two.take("k", usd(5))
    workers.clock.now += 2
    await one.report()
    await two.take("k", usd(5))
    with pytest.raises(LimitReached):
        await two.take("k", usd(4))
    workers.clock.now += 6
    await one.report()
    await two.take("k", usd(4))


async def test_a_stopped_worker_leaves_what_it_used_and_no_more(workers: Workers) -> None:
    one = workers.new()
    (await one.take("k", usd(4))).settle(usd=3)
    await one.aclose()
    assert workers.used() == 3
    two = workers.new()
    await two.take("k", usd(7))


async def test_a_killed_worker_blocks_its_slice_for_a_while_only(workers: Workers) -> None:
    killed = workers.new()
    (await killed.take("k", usd(9))).settle(usd=4)
    await killed.report()
    await killed.take("k", usd(4))
    two = workers.new()
    with pytest.raises(LimitReached):
        await two.take("k", usd(5.9))
    workers.clock.now += LAPSE_S + 1
    await two.take("k", usd(5.9))


async def test_a_worker_that_could_not_report_spends_nothing_of_its_slice(workers: Workers) -> None:
    stalled, other = workers.new(), workers.new()
    (await stalled.take("k", usd(8))).settle(usd=0)
    workers.clock.now += LAPSE_S + 1
    await other.take("k", usd(7))
    with pytest.raises(LimitReached):
        await stalled.take("k", usd(4))
    await stalled.take("k", usd(3))


async def test_a_slice_in_use_is_kept_alive(workers: Workers) -> None:
    busy, other = workers.new(), workers.new()
    await busy.take("k", usd(0.01))
    for _ in range(int(VALID_S * 3)):
        workers.clock.now += 1
        busy.check("k", usd(0.01)[0])
        await busy.report()
    with pytest.raises(LimitReached):
        await other.take("k", usd(9.9))


async def test_a_charge_is_counted_beyond_the_limit(workers: Workers) -> None:
    budgets = workers.new()
    await budgets.take("k", usd(10))
    budgets.charge("k", usd(3)).settle(usd=2)
    await budgets.aclose()
    assert workers.used() == 12


async def test_a_limit_that_was_reached_is_known_without_asking(workers: Workers) -> None:
    budgets = workers.new()
    demand = Demand("requests_per_minute", 1, 1)
    budgets.check("k", demand)
    await budgets.take("k", [demand])
    with pytest.raises(LimitReached):
        await budgets.take("k", [demand])
    with pytest.raises(LimitReached):
        budgets.check("k", demand)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["take", "settle", "wait"]),
        st.integers(0, 2),
        st.floats(0.01, 4.0),
    ),
    max_size=40,
)


@settings(max_examples=25)
@given(STEPS)
def test_whatever_three_workers_do_they_never_spend_more_than_the_limit(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int, float]]
) -> None:
    async def run(database: Database) -> None:
        clock = Clock()
        calls = [LedgerCalls(database) for _ in range(3)]
        budgets = [Budgets(one, clock=clock, monotonic=clock) for one in calls]
        holds: list[list[tuple[Hold, float]]] = [[], [], []]
        spent = 0.0
        for step, worker, amount in steps:
            if step == "take":
                with suppress(LimitReached):
                    holds[worker].append((await budgets[worker].take("k", usd(amount)), amount))
            elif step == "settle" and holds[worker]:
                hold, taken = holds[worker].pop()
                hold.settle(usd=taken / 3)
                spent += taken / 3
            else:
                clock.now += amount
                for one in budgets:
                    await one.report()
            set_aside = sum(taken for open_ones in holds for _, taken in open_ones)
            assert spent + set_aside <= 10 + 1e-6
        for part in (*budgets, *calls):
            await part.aclose()
        with closing(open_ledger(database)) as connection:
            counted = used_in_window(connection, "k", "usd_per_day", now=clock.now)
        assert counted == pytest.approx(spent + sum(taken for open_ones in holds for _, taken in open_ones))

    with empty_database("sqlite", tmp_path_factory.mktemp("ledger")) as database:
        open_ledger(database, create=True).close()
        asyncio.run(run(database))


class Broken(Database):
    name, identity = "broken", ""

    def connect(self) -> Connection:
        raise LedgerError("The ledger is gone.")


async def test_without_the_ledger_nothing_more_is_given_out(workers: Workers, caplog: pytest.LogCaptureFixture) -> None:
    budgets = workers.new(Broken())  # type: ignore[abstract]
    results = await asyncio.gather(*(budgets.take("k", usd(1)) for _ in range(5)), return_exceptions=True)
    assert [type(result) for result in results] == [LedgerError] * 5
    budgets.charge("k", usd(1))
    await budgets.report()
    await budgets.report()
    assert caplog.text.count("cannot be reported") == 1


async def test_a_clock_that_is_set_forward_and_back_gives_no_one_a_second_budget(workers: Workers) -> None:
    budgets = workers.new()
    (await budgets.take("k", usd(6))).settle(usd=6)
    await budgets.report()
    # The clock of durations goes on by itself.
    budgets._monotonic = Clock(NOW)
    workers.clock.now += 86_400
    (await budgets.take("k", usd(3))).settle(usd=3)
    await budgets.report()
    assert workers.used() == 3
    workers.clock.now -= 86_400
    assert workers.used() == 6
    (await budgets.take("k", usd(3))).settle(usd=3)
    with pytest.raises(LimitReached) as reached:
        await budgets.take("k", usd(2))
    assert (reached.value.resets, reached.value.alone) == (1_764_115_200, False)
    await budgets.report()
    assert workers.used() == 9
    workers.clock.now += 86_400
    (await budgets.take("k", usd(6))).settle(usd=6)
    await budgets.report()
    assert workers.used() == 9, "and the next day begins with what was spent in it before its time"
