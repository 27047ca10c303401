"""The breaker against a clock of our own, by example and by whatever hypothesis comes up with."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from turnout.gateway.upstreams.breaker import Breaker


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def opened(failures: int = 2, open_s: float = 10.0) -> tuple[Breaker, Clock]:
    clock = Clock()
    breaker = Breaker(failures=failures, open_s=open_s, clock=clock)
    for _ in range(failures):
        breaker.failed(breaker.begin())
    return breaker, clock


def test_it_opens_once_half_of_the_last_calls_failed() -> None:
    breaker = Breaker(failures=2, open_s=10.0, clock=Clock())
    for failed in (True, False, False, False, True, False, False):
        (breaker.failed if failed else breaker.succeeded)(breaker.begin())
        assert breaker.state == "closed"
    breaker.failed(breaker.begin())
    assert (breaker.state, breaker.allows(), breaker.times_opened) == ("open", False, 1)


def test_one_call_probes_at_a_time() -> None:
    breaker, clock = opened()
    clock.now = 9.9
    assert not breaker.allows()
    clock.now = 10.0
    assert (breaker.state, breaker.allows()) == ("half-open", True)
    breaker.begin()
    assert (breaker.state, breaker.allows()) == ("half-open", False)


def test_a_probe_that_works_closes_it_and_is_all_that_is_remembered() -> None:
    breaker, clock = opened()
    clock.now = 10.0
    breaker.succeeded(breaker.begin())
    assert breaker.state == "closed"
    breaker.failed(breaker.begin())
    assert breaker.state == "closed", "an old failure counted"


def test_each_probe_that_fails_doubles_the_wait_up_to_a_limit() -> None:
    breaker, clock = opened()
    waits = []
    for _ in range(8):
        waits.append(breaker.opens_again_in_s())
        clock.now += waits[-1]
        breaker.failed(breaker.begin())
    assert waits == [10, 20, 40, 80, 160, 320, 320, 320]


def test_a_probe_whose_client_leaves_lets_another_probe_at_once() -> None:
    breaker, clock = opened()
    clock.now = 10.0
    breaker.dropped(breaker.begin())
    assert breaker.allows()


def test_calls_that_began_before_it_opened_have_no_say() -> None:
    clock = Clock()
    breaker = Breaker(failures=2, open_s=10.0, clock=clock)
    tickets = [breaker.begin() for _ in range(4)]
    breaker.failed(tickets[0])
    breaker.failed(tickets[1])
    breaker.succeeded(tickets[2])
    assert breaker.state == "open"
    clock.now = 10.0
    probe = breaker.begin()
    breaker.failed(tickets[3])
    assert breaker.state == "half-open"
    breaker.succeeded(probe)
    assert breaker.state == "closed"


def test_zero_failures_switch_it_off() -> None:
    breaker = Breaker(failures=0, open_s=10.0)
    for _ in range(100):
        breaker.failed(breaker.begin())
    assert breaker.state == "closed"


class AnyCalls(RuleBasedStateMachine):
    """Calls begin, end and are dropped in any order, while time passes."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.breaker = Breaker(failures=3, open_s=10.0, clock=self.clock)
        self.under_way: list[int] = []
        self.probes: set[int] = set()

    @precondition(lambda self: self.breaker.allows())
    @rule()
    def begin(self) -> None:
        is_probe = self.breaker.state == "half-open"
        ticket = self.breaker.begin()
        self.under_way.append(ticket)
        if is_probe:
            self.probes.add(ticket)

    @precondition(lambda self: self.under_way)
    @rule(data=st.data(), end=st.sampled_from(["succeeded", "failed", "dropped"]))
    def end(self, data: st.DataObject, end: str) -> None:
        ticket = self.under_way.pop(data.draw(st.integers(0, len(self.under_way) - 1)))
        before = self.breaker.state
        getattr(self.breaker, end)(ticket)
        if ticket in self.probes:
            self.probes.discard(ticket)
            expected = {"succeeded": "closed", "failed": "open", "dropped": "half-open"}
            assert self.breaker.state == expected[end]
        elif before != "closed":
            assert self.breaker.state == before

    @rule(seconds=st.floats(0, 400))
    def wait(self, seconds: float) -> None:
        self.clock.now += seconds

    @invariant()
    def no_more_than_one_probes(self) -> None:
        assert len(self.probes) <= 1
        assert not (self.probes and self.breaker.allows())

    @invariant()
    def it_never_stays_shut(self) -> None:
        if not self.probes and not self.breaker.allows():
            assert 0 < self.breaker.opens_again_in_s() <= 320


TestAnyCalls = AnyCalls.TestCase
