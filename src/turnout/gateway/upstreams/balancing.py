"""Shares a model's calls out among its addresses, and lets each have only so many at once.

An address is a base_url and a key. A call goes to the one that has the fewest calls under way for its weight; where
several are equal they take turns by weight. A conversation has an address of its own, the same in every worker, since
prompt caches are kept by key or by machine; it goes elsewhere once that one has `PULL` calls more than another. Out
are those whose breaker is open and, as long as there are others, those that asked for a rest (429 with Retry-After) or
that this very call has failed at. If all are full the call waits in line, for a limited time and in a line of limited
length, so that one slow provider can hold neither every connection nor every request.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import math
import time
from collections import deque
from collections.abc import Callable, Sequence

from turnout.errors import UpstreamUnavailableError
from turnout.gateway.upstreams.breaker import Breaker
from turnout.gateway.upstreams.provider import ProviderClient

LONGEST_REST_S = 60.0
"""An address that asks for a longer rest is tried again all the same."""

PULL = 4.0
"""Calls under way for its weight by which a conversation's own address may be busier than the others."""

_logger = logging.getLogger(__name__)


class Address:
    """One of the places that answer for a model."""

    def __init__(
        self, name: str, client: ProviderClient, breaker: Breaker, *, weight: float = 1.0, max_concurrent: int
    ) -> None:
        self.name = name
        """For logs and metrics: the model's name, and its number from the second on."""
        self.client = client
        self.breaker = breaker
        self.weight = weight
        self.max_concurrent = max_concurrent
        self.under_way = 0
        self.rests_until = 0.0
        self.turn = 0.0
        """When, in shares of what all have had, it is to have its next turn."""


class Place:
    """A call's place at an address: taken, told how the call went, and given back once."""

    __slots__ = ("_balancer", "_ticket", "address")

    def __init__(self, balancer: Balancer, address: Address) -> None:
        self.address = address
        self._balancer = balancer
        self._ticket = address.breaker.begin()

    def succeeded(self) -> None:
        """The provider answered. What breaks afterwards may still be told as `failed`."""
        breaker = self.address.breaker
        reopened = breaker.state != "closed"
        breaker.succeeded(self._ticket)
        if reopened and breaker.state == "closed":
            _logger.info("the provider of '%s' answers again; its breaker has closed", self.address.name)

    def failed(self) -> bool:
        """The provider did not answer as it should; gives whether that has opened the breaker."""
        breaker = self.address.breaker
        before = breaker.times_opened
        breaker.failed(self._ticket)
        if breaker.times_opened == before:
            return False
        _logger.warning(
            "the provider of '%s' keeps failing; its breaker is open for %.0f s",
            self.address.name,
            breaker.opens_again_in_s(),
        )
        return True

    def dropped(self) -> None:
        """Our side broke the call off."""
        self.address.breaker.dropped(self._ticket)

    def rest(self, seconds: float) -> None:
        """The address asked to be left alone for so long."""
        self._balancer.rest(self.address, seconds)

    def give_back(self) -> None:
        """Let another have it."""
        self._balancer.give_back(self.address)


class Balancer:
    """The addresses of one model."""

    def __init__(
        self,
        addresses: Sequence[Address],
        *,
        max_waiting: int,
        wait_limit_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.addresses = tuple(addresses)
        self._max_waiting = max_waiting
        self._wait_limit_s = wait_limit_s
        self._clock = clock
        self._turn = 0.0
        self._line: deque[asyncio.Future[Place]] = deque()

    @property
    def waiting(self) -> int:
        """How many calls stand in line."""
        return len(self._line)

    async def take(
        self, avoid: Sequence[Address] = (), *, session: str | None = None, address: str | None = None
    ) -> Place:
        """A place for a call.

        Args:
            avoid: addresses that are taken only if there is no other.
            session: the conversation, which is kept at one address.
            address: the name of the one to take if it has a place, for what only it knows.

        Raises:
            UpstreamUnavailableError: the breakers of all addresses are open, or none had a place in time.
        """
        if not self._line and (free := self._free(avoid, session, address)) is not None:
            return self._place(free)
        if not any(address.breaker.allows() for address in self.addresses):
            raise self._all_open()
        if len(self._line) >= self._max_waiting:
            raise self._full()
        return await self._wait_in_line()

    def has_other(self, avoid: Sequence[Address]) -> bool:
        """Whether a call that failed at these addresses could go to another at once."""
        address = self._free(avoid)
        return address is not None and address not in avoid

    def give_back(self, address: Address) -> None:
        """A call at this address has ended."""
        address.under_way -= 1
        if self._line:
            self._serve_line()

    def rest(self, address: Address, seconds: float) -> None:
        """Prefer others for so long."""
        address.rests_until = max(address.rests_until, self._clock() + min(seconds, LONGEST_REST_S))

    def _free(self, avoid: Sequence[Address], session: str | None = None, wanted: str | None = None) -> Address | None:
        """The best address that has a place."""
        if len(self.addresses) == 1:
            (only,) = self.addresses
            return only if only.under_way < only.max_concurrent and only.breaker.allows() else None
        now = self._clock()
        own = None if session is None else max(self.addresses, key=lambda address: _draw(session, address))
        free = [
            address
            for address in self.addresses
            if address.under_way < address.max_concurrent and address.breaker.allows()
        ]
        return min(
            free,
            key=lambda address: (
                address in avoid,
                wanted is not None and address.name != wanted,
                address.rests_until > now,
                address.under_way / address.weight - (PULL if address is own else 0.0),
                max(address.turn, self._turn),
            ),
            default=None,
        )

    def _place(self, address: Address) -> Place:
        address.under_way += 1
        # Whoever had no turn for a while does not get all that were missed at once.
        self._turn = max(address.turn, self._turn)
        address.turn = self._turn + 1 / address.weight
        return Place(self, address)

    async def _wait_in_line(self) -> Place:
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[Place] = loop.create_future()
        self._line.append(turn)
        timer = loop.call_later(self._wait_limit_s, self._give_up, turn)
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                place = turn.result()
                place.dropped()
                place.give_back()
            elif turn in self._line:
                self._line.remove(turn)
            raise
        finally:
            timer.cancel()

    def _serve_line(self) -> None:
        while self._line:
            if self._line[0].done():
                self._line.popleft()
                continue
            address = self._free(())
            if address is None:
                if not any(address.breaker.allows() for address in self.addresses):
                    error = self._all_open()
                    while self._line:
                        if not (turn := self._line.popleft()).done():
                            turn.set_exception(error)
                return
            self._line.popleft().set_result(self._place(address))

    def _give_up(self, turn: asyncio.Future[Place]) -> None:
        if not turn.done():
            self._line.remove(turn)
            turn.set_exception(self._full())

    def _all_open(self) -> UpstreamUnavailableError:
        soonest = min(address.breaker.opens_again_in_s() for address in self.addresses)
        return UpstreamUnavailableError("The provider keeps failing and was not called.", retry_after_s=soonest)

    def _full(self) -> UpstreamUnavailableError:
        return UpstreamUnavailableError("The provider has as many calls under way as it may have.", retry_after_s=1.0)


def _draw(session: str, address: Address) -> float:
    """A number that is the largest of all for each address as often as its weight says (rendezvous hashing)."""
    digest = hashlib.blake2b(f"{session} {address.name}".encode(), digest_size=6).digest()
    return -address.weight / math.log((int.from_bytes(digest) + 0.5) / 2**48)
