"""Who gets the next call, how many at once, and what becomes of those who wait."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any, cast

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from turnout.errors import UpstreamUnavailableError
from turnout.gateway.upstreams.balancing import Address, Balancer, Place
from turnout.gateway.upstreams.breaker import Breaker


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def balancer(*weights: float, most: int = 100, **settings: Any) -> Balancer:
    clock = settings.setdefault("clock", Clock())
    addresses = [
        Address(str(n), cast(Any, None), Breaker(failures=2, open_s=10.0, clock=clock), weight=w, max_concurrent=most)
        for n, w in enumerate(weights)
    ]
    return Balancer(addresses, **{"max_waiting": 10, "wait_limit_s": 5.0, **settings})


def open_breaker(address: Address) -> None:
    for _ in range(2):
        address.breaker.failed(address.breaker.begin())


async def test_idle_addresses_take_turns_by_weight() -> None:
    shared = balancer(3, 1)
    taken: Counter[str] = Counter()
    for _ in range(40):
        place = await shared.take()
        taken[place.address.name] += 1
        place.give_back()
    assert taken == {"0": 30, "1": 10}


async def test_the_one_with_the_fewest_under_way_for_its_weight_is_next() -> None:
    shared = balancer(2, 1)
    places = [await shared.take() for _ in range(9)]
    assert Counter(place.address.name for place in places) == {"0": 6, "1": 3}
    for place in places:
        if place.address.name == "1":
            place.give_back()
    assert [(await shared.take()).address.name for _ in range(3)] == ["1"] * 3


async def test_who_was_away_does_not_get_all_missed_turns_at_once() -> None:
    clock = Clock()
    shared = balancer(1, 1, clock=clock)
    open_breaker(shared.addresses[0])
    for _ in range(50):
        (await shared.take()).give_back()
    clock.now = 10.0
    names = []
    for _ in range(10):
        place = await shared.take()
        names.append(place.address.name)
        place.succeeded()
        place.give_back()
    assert abs(names.count("0") - 5) <= 1


async def test_open_resting_and_failed_addresses_come_last() -> None:
    clock = Clock()
    shared = balancer(1, 1, 1, clock=clock)
    first, second, third = shared.addresses
    open_breaker(first)
    shared.rest(second, 30.0)
    assert [(await shared.take()).address for _ in range(4)] == [third] * 4
    assert (await shared.take(avoid=[third])).address is second, "better a resting one than one that just failed"
    assert shared.has_other([third])
    assert not shared.has_other([second, third])
    clock.now = 31.0
    assert (await shared.take()).address in (first, second)


async def test_a_full_model_has_calls_wait_in_line_first_come_first_served() -> None:
    shared = balancer(1, most=2)
    held = [await shared.take() for _ in range(2)]
    order = []

    async def call(number: int) -> None:
        place = await shared.take()
        order.append(number)
        place.give_back()

    waiting = [asyncio.create_task(call(number)) for number in range(4)]
    await asyncio.sleep(0)
    assert (order, shared.waiting) == ([], 4)
    held.pop().give_back()
    await asyncio.gather(*waiting)
    assert order == [0, 1, 2, 3]
    assert shared.addresses[0].under_way == 1


async def test_the_line_is_bounded_in_length_and_in_time() -> None:
    shared = balancer(1, most=1, max_waiting=1, wait_limit_s=0.05)
    place = await shared.take()
    waiting = asyncio.create_task(shared.take())
    await asyncio.sleep(0)
    with pytest.raises(UpstreamUnavailableError, match="as many calls"):
        await shared.take()
    with pytest.raises(UpstreamUnavailableError, match="as many calls"):
        await waiting
    assert shared.waiting == 0
    place.give_back()
    assert shared.addresses[0].under_way == 0


async def test_whoever_leaves_the_line_takes_no_place_along() -> None:
    shared = balancer(1, most=1)
    place = await shared.take()
    tasks = [asyncio.create_task(shared.take()) for _ in range(3)]
    await asyncio.sleep(0)
    tasks[0].cancel()  # while it waits
    await asyncio.sleep(0)
    place.give_back()  # its place is tasks[1]'s now, which leaves before it can use it
    tasks[1].cancel()
    await asyncio.sleep(0)
    assert (await tasks[2]).address is place.address
    assert shared.addresses[0].under_way == 1


async def test_a_breaker_that_opens_sends_those_in_line_away() -> None:
    shared = balancer(1, most=2)
    held = [await shared.take() for _ in range(2)]
    waiting = asyncio.create_task(shared.take())
    await asyncio.sleep(0)
    for place in held:
        place.failed()
    held[0].give_back()
    with pytest.raises(UpstreamUnavailableError, match="keeps failing") as caught:
        await waiting
    assert caught.value.retry_after_s == 10.0
    with pytest.raises(UpstreamUnavailableError, match="keeps failing"):
        await shared.take()


async def test_a_conversation_keeps_its_address_and_addresses_share_conversations_by_weight() -> None:
    shared = balancer(3, 1)
    own: dict[str, set[str]] = {}
    for session in [f"session {number}" for number in range(400)] * 3:
        place = await shared.take(session=session)
        own.setdefault(session, set()).add(place.address.name)
        place.give_back()
    assert all(len(names) == 1 for names in own.values())
    at_first = sum(names == {"0"} for names in own.values())
    assert 260 < at_first < 340, "three quarters of 400, give or take four standard deviations"
    other_worker = balancer(3, 1)
    for session, names in list(own.items())[:20]:
        assert {(await other_worker.take(session=session)).address.name} == names


async def test_a_conversation_leaves_an_address_that_is_much_busier_or_out() -> None:
    shared = balancer(1, 1)
    places = [await shared.take(session="a") for _ in range(12)]
    assert Counter(place.address.name for place in places).most_common()[0][1] == 8, "four more than the other"
    own = places[0].address
    open_breaker(own)
    assert (await shared.take(session="a")).address is not own


class AnyCalls(RuleBasedStateMachine):
    """Calls are taken, waited for, cancelled and ended in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.clock = Clock()
        self.shared = self.run(self.make())
        self.held: list[Place] = []
        self.tasks: list[asyncio.Task[Place]] = []

    async def make(self) -> Balancer:
        return balancer(1, 2, most=2, clock=self.clock, max_waiting=3, wait_limit_s=100.0)

    def run(self, coroutine: Any) -> Any:
        return self.loop.run_until_complete(coroutine)

    def settle(self) -> None:
        self.run(asyncio.sleep(0))
        self.run(asyncio.sleep(0))
        for task in [task for task in self.tasks if task.done()]:
            self.tasks.remove(task)
            if not task.cancelled() and task.exception() is None:
                self.held.append(task.result())

    @rule()
    def ask(self) -> None:
        self.tasks.append(self.loop.create_task(self.shared.take()))
        self.settle()

    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        if self.tasks:
            data.draw(st.sampled_from(self.tasks)).cancel()
            self.settle()

    @rule(data=st.data(), end=st.sampled_from(["succeeded", "failed", "dropped"]), leaves=st.booleans())
    def end(self, data: st.DataObject, end: str, leaves: bool) -> None:
        if not self.held:
            return
        place = self.held.pop(data.draw(st.integers(0, len(self.held) - 1)))
        getattr(place, end)()
        place.give_back()
        if leaves and self.tasks:
            self.tasks[0].cancel()  # in the same turn of the loop in which it may have got the place
        self.settle()

    @rule(seconds=st.floats(0, 30))
    def pass_time(self, seconds: float) -> None:
        self.clock.now += seconds

    @invariant()
    def places_add_up(self) -> None:
        under_way = Counter(place.address.name for place in self.held)
        for address in self.shared.addresses:
            assert address.under_way == under_way[address.name] <= address.max_concurrent
        assert self.shared.waiting == len(self.tasks) <= 3

    @invariant()
    def no_one_waits_for_nothing(self) -> None:
        """Someone in line means that a call is under way, whose end will serve the line."""
        assert not self.tasks or self.held

    def teardown(self) -> None:
        for task in self.tasks:
            task.cancel()
        self.settle()
        self.loop.close()


TestAnyCalls = AnyCalls.TestCase
