"""The path of every request for a model, whatever its protocol, one step a line and one file a step.

authenticate (access) → read the body (asgi) → parse (protocols/) → admit (access) → choose a model (choosing)
→ reserve its worst cost (access) → call it (calling) → pass its answer on (passing) → settle (access) → record
(recording). `Account` carries what is known from step to step.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence

import orjson

from turnout.errors import UpstreamError
from turnout.gateway.asgi import (
    JSON_TYPE,
    ClientLeft,
    Departures,
    Receive,
    Scope,
    Send,
    read_body,
    refuse_body,
    send_whole,
)
from turnout.gateway.choosing.chooser import Chooser
from turnout.gateway.choosing.routes import Routes
from turnout.gateway.counters import Counters
from turnout.gateway.errors import RequestError, from_upstream, internal_error, not_routed, stopping
from turnout.gateway.protocols.base import LARGE_BYTES, ClientProtocol
from turnout.gateway.protocols.decision_only import DECISION_ONLY
from turnout.gateway.protocols.usage import Usage
from turnout.gateway.steps.access import Access
from turnout.gateway.steps.account import CLIENT_LEFT, Account
from turnout.gateway.steps.calling import Upstream
from turnout.gateway.steps.decision import decision_object
from turnout.gateway.steps.passing import Passing
from turnout.gateway.steps.recording import Recorder
from turnout.gateway.upstreams.model import UpstreamModel

_logger = logging.getLogger(__name__)


class Pipeline:
    """Answers requests for models. The seams are its arguments."""

    def __init__(
        self,
        routes: Routes,
        *,
        access: Access,
        chooser: Chooser,
        upstream: Upstream,
        recorders: Sequence[Recorder],
        counters: Counters,
        max_body_bytes: int,
        forward_headers: tuple[str, ...],
    ) -> None:
        self._routes = routes
        self._access = access
        self._chooser = chooser
        self._upstream = upstream
        self._recorders = tuple(recorders)
        self._counters = counters
        self._max_body_bytes = max_body_bytes
        self._departures = Departures()
        self._forward_headers = frozenset(name.encode() for name in forward_headers)

    async def serve(self, protocol: ClientProtocol, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; one for the decision alone goes the same way as far as there is no call in it."""
        account = await self._choose(protocol, scope, receive, send)
        if account is None:
            return
        passing = Passing(account, send)
        try:
            try:
                # A budget may turn the decision around, or refuse.
                await self._access.reserve(account)
            except RequestError as error:
                self._counters.refused += 1
                await passing.fail(error)
            else:
                if protocol is DECISION_ONLY:
                    await self._tell(account, send)
                else:
                    await self._answer(account, passing, scope, receive)
        finally:
            if not account.is_closed:
                self._record(account)

    async def _choose(self, protocol: ClientProtocol, scope: Scope, receive: Receive, send: Send) -> Account | None:
        """Every step up to the choice; None if one of them refused, and the client was told."""
        arrived, started = time.time(), time.perf_counter()
        self._counters.requests += 1
        try:
            caller = self._access.authenticate(scope)
            raw = await read_body(scope, receive, limit=self._max_body_bytes)
        except RequestError as error:
            self._counters.refused += 1
            await refuse_body(receive, send, error, protocol.error_body(error))
            return None
        try:
            is_large = len(raw) >= LARGE_BYTES
            request = await asyncio.to_thread(protocol.parse, raw) if is_large else protocol.parse(raw)
            self._access.admit(caller, request)
            target = self._routes.find(request.model)
            if not protocol.routed and not isinstance(target, UpstreamModel):
                raise not_routed(request.model, protocol.path, self._routes.models)
            choice = await self._chooser.choose(target, request, scope, caller)
        except RequestError as error:
            self._counters.refused += 1
            await send_whole(send, error.status, (JSON_TYPE, *error.headers), protocol.error_body(error))
            return None
        return Account(caller, request, choice, arrived, started)

    def _close(self, account: Account) -> None:
        """Settle and record, once."""
        if not account.is_closed:
            account.is_closed = True
            self._access.settle(account)
            self._record(account)

    def _record(self, account: Account) -> None:
        for recorder in self._recorders:
            recorder.record(account)

    async def _tell(self, account: Account, send: Send) -> None:
        """What was decided. It is recorded with the tokens that it used: none."""
        try:
            account.model = account.choice.model
            account.status, account.usage = 200, Usage(0, 0)
            await send_whole(send, 200, (JSON_TYPE, *account.headers()), orjson.dumps(decision_object(account)))
        finally:
            self._close(account)

    async def _answer(self, account: Account, passing: Passing, scope: Scope, receive: Receive) -> None:
        try:
            async with self._departures.watch(receive) as watch:
                try:
                    account.model = account.choice.model
                    async with self._upstream.open(account, self._forwarded(scope)) as answer:
                        await passing.answer(answer, watch)
                        # The client has it all, and may ask again, or this process be killed, while the provider
                        # takes its time to end the connection's answer.
                        self._close(account)
                        await answer.drain()
                except RequestError as error:
                    self._counters.refused += 1
                    watch.end()
                    await passing.fail(error)
                except UpstreamError as error:
                    self._counters.upstream_failures += 1
                    _logger.warning("decision %s, model '%s': %s", account.choice.id, account.model.name, error)
                    account.answered = account.answered or time.perf_counter()
                    watch.end()
                    await passing.fail(from_upstream(error, account.model.name))
        except asyncio.CancelledError:
            # The server stops and waits no longer; the client is told, and the ledger, that this was not all.
            await passing.fail(stopping())
            raise
        except (ClientLeft, OSError):
            account.status, account.error = CLIENT_LEFT, account.error or "client_left"
            self._counters.clients_left += 1
            raise ClientLeft from None
        except Exception:
            _logger.exception("decision %s: the gateway failed", account.choice.id)
            await passing.fail(internal_error())
        finally:
            if account.answered is None and account.called is not None:
                account.answered = time.perf_counter()
            self._close(account)

    def _forwarded(self, scope: Scope) -> dict[str, str]:
        """The client's headers that its provider gets to see: none but those that the configuration names."""
        return {
            name.decode("latin-1"): value.decode("latin-1")
            for name, value in scope["headers"]
            if name in self._forward_headers
        }
