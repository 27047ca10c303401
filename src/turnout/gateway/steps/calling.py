"""The seam for calling a model, and the way of calling it that does not give up at the first failure.

A model is tried at its best address, and again, at another one if there is another, as long as nothing has begun to
come back. Then come its fallbacks, in order, each in the same way; those that cannot take the request are passed over,
and so are those that cost more than what a key with a budget has set aside. What the client sees in the end is the last
thing that a provider did.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Protocol

from turnout.call_limits import Retries, parse_retry_after
from turnout.errors import UpstreamError, UpstreamTimeoutError, UpstreamUnavailableError, UpstreamUnreachableError
from turnout.gateway.choosing.needs import Needs
from turnout.gateway.counters import Counters
from turnout.gateway.errors import RequestError, from_upstream
from turnout.gateway.limits.worst_case import worst_case
from turnout.gateway.protocols.base import LARGE_BYTES
from turnout.gateway.steps.account import Account
from turnout.gateway.upstreams.balancing import LONGEST_REST_S, Address, Place
from turnout.gateway.upstreams.model import UpstreamModel
from turnout.gateway.upstreams.provider import ProviderAnswer

DOES_NOT_SERVE_US = frozenset({401, 402, 403, 404})
"""Refusals that another try will not change, but another model may: a key, an account or a name is wrong."""

BROKEN = frozenset({408, 500, 502, 503, 504, 529})
"""Statuses that count as failures of the address. 429 does not: it works, and says so."""

_logger = logging.getLogger(__name__)


class Upstream(Protocol):
    """Gets an answer to a request from one of the models that may give it."""

    def open(self, account: Account, headers: Mapping[str, str]) -> AbstractAsyncContextManager[ProviderAnswer]:
        """`async with upstream.open(account, headers) as answer`: an answer that has begun, whatever its status.

        Sets `account.model` and `account.bridge` to what is tried, and `account.called`. Only before an answer has
        begun may something else be tried. Leaving the block early tells the provider to stop.

        Raises:
            RequestError: the request cannot be put to the model.
            UpstreamError: no answer began.
        """
        ...


class PersistentUpstream:
    """Calls the chosen model, again if need be, and then its fallbacks."""

    def __init__(self, models: Mapping[str, UpstreamModel], retries: Retries, counters: Counters) -> None:
        self.models = models
        self.retries = retries
        self.counters = counters

    def open(self, account: Account, headers: Mapping[str, str]) -> Calls:
        """The first answer that nothing better can be had for."""
        return Calls(self, account, headers)


class Calls:
    """All calls for one request, of which one is open at a time."""

    def __init__(self, upstream: PersistentUpstream, account: Account, headers: Mapping[str, str]) -> None:
        self._upstream = upstream
        self._account = account
        self._headers = headers
        self._place: Place | None = None
        self._call: AbstractAsyncContextManager[ProviderAnswer] | None = None
        self._kept: tuple[UpstreamModel, ProviderAnswer] | None = None

    async def __aenter__(self) -> ProviderAnswer:
        try:
            return await self._first_answer()
        finally:
            self._account.request.forget_made()

    async def _first_answer(self) -> ProviderAnswer:
        account = self._account
        self._end = time.monotonic() + account.model.whole_limit_s
        error: UpstreamError | None = None
        candidates = self._candidates()
        model: UpstreamModel | None = account.model
        while model is not None:
            account.model = model
            try:
                answer = await self._try(model)
                following = None
                if _is_worth_another_try(answer.status, self._upstream.retries):
                    following = next(candidates, None)
                if following is None or self._left_s() <= 0:
                    return answer
                code = f"upstream_status_{answer.status}"
                await self._keep(model, answer)
            except RequestError:
                # Only the chosen model's protocol is the client's business.
                if model is account.choice.model:
                    raise
                model = next(candidates, None)
                continue
            except UpstreamError as failure:
                following = next(candidates, None) if self._left_s() > 0 else None
                # That a fallback was not called at all says less than how the model before it failed.
                if error is None or not isinstance(failure, UpstreamUnavailableError):
                    error = failure
                    failed = model
                code = from_upstream(failure, model.name).code or ""
            if following is not None:
                self._note_fallback(model, code, following)
            model = following
        if self._kept is not None and (error is None or isinstance(error, UpstreamUnavailableError)):
            account.model, answer = self._kept
            account.bridge = account.request.protocol.bridge_to(account.model.config)
            return answer
        assert error is not None
        account.model = failed
        raise error

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, UpstreamError):
            self._failed(self._place)
        await self._leave(kind, error, trace)

    async def _try(self, model: UpstreamModel) -> ProviderAnswer:
        """The first answer of this model that is not worth a retry."""
        account, retries = self._account, self._upstream.retries
        request = account.request
        if len(request.raw) >= LARGE_BYTES:
            await asyncio.to_thread(request.made_for, model.config)
        account.bridge, body = request.made_for(model.config)
        tried: list[Address] = []
        name = account.choice.session
        session = name.id if name is not None and len(model.balancer.addresses) > 1 else None
        at = account.choice.address if model is account.choice.model else None
        while True:
            try:
                self._place = place = await model.balancer.take(tried, session=session, address=at)
            except UpstreamUnavailableError:
                self._upstream.counters.unavailable += 1
                raise
            tried.append(place.address)
            try:
                answer = await self._open(place, body, account.bridge.path)
            except UpstreamError as error:
                wait_s = None
                if isinstance(error, UpstreamUnreachableError) or _never_connected(error):
                    wait_s = self._wait_s(model, tried, None)
                if wait_s is None:
                    raise
            else:
                status = answer.status
                if not _is_worth_another_try(status, retries):
                    return answer
                retry_after_s = parse_retry_after(answer.headers.get("Retry-After"))
                may_recover = status in retries.statuses and answer.headers.get("x-should-retry") != "false"
                if not may_recover:
                    place.rest(LONGEST_REST_S)
                elif retry_after_s:
                    place.rest(retry_after_s)
                wait_s = self._wait_s(model, tried, retry_after_s)
                if wait_s is None or not (may_recover or model.balancer.has_other(tried)):
                    return answer
                await self._leave(None, None, None)
            self._upstream.counters.retries += 1
            if wait_s > 0:
                await asyncio.sleep(wait_s)

    async def _open(self, place: Place, body: bytes, path: str) -> ProviderAnswer:
        account = self._account
        within_s = None
        if account.called is None:
            account.called = time.perf_counter()
        else:
            within_s = max(0.001, self._left_s())
        account.tries += 1
        call = place.address.client.open(body, path=path, headers=self._headers, within_s=within_s)
        try:
            answer = await call.__aenter__()
        except UpstreamError:
            self._failed(place)
            await self._leave(None, None, None)
            raise
        except BaseException:
            place.dropped()
            await self._leave(None, None, None)
            raise
        self._call = call
        account.address = place.address.name
        if answer.status in BROKEN:
            self._failed(place)
        else:
            place.succeeded()
        return answer

    def _wait_s(self, model: UpstreamModel, tried: list[Address], retry_after_s: float | None) -> float | None:
        """How long to wait before this model is tried again; None if it is not worth it."""
        retries = self._upstream.retries
        if model.balancer.has_other(tried):
            return 0.0 if len(tried) <= retries.most and self._left_s() > 0 else None
        wait_s = retries.wait_s(len(tried) - 1, retry_after_s)
        return None if wait_s is None or wait_s >= self._left_s() else wait_s

    def _candidates(self) -> Iterator[UpstreamModel]:
        """The models to fall back on, in order, each once."""
        account = self._account
        choice = account.choice
        seen = {choice.model.name}
        needs: Needs | None = None
        for name in (*choice.model.config.fallbacks, *choice.fallbacks):
            model = self._upstream.models[name]
            if name in seen or (choice.held_by and name not in choice.held_by):
                continue
            seen.add(name)
            needs = needs or Needs(account.request, choice.query)
            if needs.unmet_by(model.config) is None and _is_covered(model, account):
                yield model

    def _left_s(self) -> float:
        return self._end - time.monotonic()

    def _note_fallback(self, model: UpstreamModel, code: str, following: UpstreamModel) -> None:
        account = self._account
        self._upstream.counters.fallbacks += 1
        what = f"'{model.name}' {code}"
        account.fell_back = what if account.fell_back is None else f"{account.fell_back}, {what}"
        _logger.warning(
            "decision %s: '%s' failed (%s); trying '%s'", account.choice.id, model.name, code, following.name
        )

    async def _keep(self, model: UpstreamModel, answer: ProviderAnswer) -> None:
        """Read a refusal to its end, in case no one else gives anything better."""
        try:
            try:
                self._kept = (model, _KeptAnswer(answer.status, answer.headers, await answer.read()))
            except BaseException as error:
                await self._leave(type(error), error, error.__traceback__)
                raise
            await self._leave(None, None, None)
        except UpstreamError:
            pass  # then it is not kept

    def _failed(self, place: Place | None) -> None:
        if place is not None and place.failed():
            self._upstream.counters.breakers_opened += 1

    async def _leave(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the call that is open and give its place back."""
        place, self._place = self._place, None
        call, self._call = self._call, None
        try:
            if call is not None:
                await call.__aexit__(kind, error, trace)
        except UpstreamError:  # a time limit ran out in the middle of the answer
            self._failed(place)
            raise
        finally:
            if place is not None:
                place.give_back()


class _KeptAnswer:
    """A refusal that was read already."""

    def __init__(self, status: int, headers: Mapping[str, str], content: bytes) -> None:
        self.status = status
        self.headers = headers
        self._content = content

    async def read(self) -> bytes:
        """The whole body."""
        return self._content

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body in one piece."""
        yield self._content

    async def drain(self) -> None:
        """Nothing is left to read."""


def _is_worth_another_try(status: int, retries: Retries) -> bool:
    """Whether another address or another model may do better."""
    return status in retries.statuses or status in DOES_NOT_SERVE_US


def _never_connected(error: UpstreamError) -> bool:
    """Whether it took too long to connect: then nothing was sent, and another try is safe."""
    return isinstance(error, UpstreamTimeoutError) and error.limit == "connect_s"


def _is_covered(model: UpstreamModel, account: Account) -> bool:
    """Whether what was set aside for the chosen model covers this one."""
    key = account.caller.key
    if key is None or (key.limits.usd_per_day is None and key.limits.usd_per_month is None):
        return True
    reserved = worst_case(account.request, account.choice.model.config)
    return worst_case(account.request, model.config).usd <= reserved.usd
