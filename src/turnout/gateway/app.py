"""The gateway as an ASGI application, built by a function: `build_app(config)`.

Run it with any ASGI server, or mount it inside another application: it starts itself with the server's lifespan,
or with its first request where no lifespan reaches it. Then await `shutdown()` at the end.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from turnout.chat_client import ConnectionPool
from turnout.config import Config, ServerConfig
from turnout.gateway.asgi import Receive, Scope, Send
from turnout.gateway.browsers import BrowserGuard
from turnout.gateway.choosing.chooser import Chooser
from turnout.gateway.choosing.routes import Routes, load_routes
from turnout.gateway.choosing.sessions import Sessions
from turnout.gateway.choosing.stored_responses import StoredResponses
from turnout.gateway.counters import Counters
from turnout.gateway.dispatch import Dispatcher
from turnout.gateway.endpoints.feedback import FeedbackEndpoint
from turnout.gateway.endpoints.health import Health
from turnout.gateway.endpoints.metrics import MetricsEndpoint
from turnout.gateway.endpoints.models import MODELS_PATH, ModelList
from turnout.gateway.endpoints.openapi import describe
from turnout.gateway.generation import Generation, needing_restart, reloadable
from turnout.gateway.ledger.calls import LedgerCalls
from turnout.gateway.ledger.place import open_database
from turnout.gateway.ledger.writing import Ledger
from turnout.gateway.observing.metrics_of_workers import FOLDER_VARIABLE
from turnout.gateway.observing.observers import Observers
from turnout.gateway.observing.request_metrics import watch_gateway
from turnout.gateway.observing.upstream_metrics import watch_upstreams
from turnout.gateway.protocols.base import ClientProtocol
from turnout.gateway.protocols.decision_only import DECISION_ONLY
from turnout.gateway.protocols.spoken import PROTOCOLS
from turnout.gateway.steps.access import Access, OpenAccess
from turnout.gateway.steps.calling import PersistentUpstream
from turnout.gateway.steps.keyed_access import KeyedAccess
from turnout.gateway.steps.pipeline import Pipeline
from turnout.gateway.steps.recording import LedgerRecorder, Recorder, ResponseRecorder, SessionRecorder, SideCounter
from turnout.routers.base import Router

_logger = logging.getLogger(__name__)


def build_app(
    config: Config,
    *,
    routers: Mapping[str, Router] | None = None,
    environment: Mapping[str, str] = os.environ,
) -> Gateway:
    """The gateway for a configuration, with its routers loaded and its keys read.

    Args:
        config: what `turnout.config.load_config` gives.
        routers: fitted routers by the name that routes use, for those that come from no folder.
        environment: where the providers' keys are looked up.

    Raises:
        ConfigError: a key's variable is not set, or a router cannot be loaded.
    """
    pool = ConnectionPool(max_connections=config.upstream.max_connections)
    routes = load_routes(config, pool, routers=routers, environment=environment)
    metrics_token = config.observe.metrics_token(environment)
    ledger = None
    if (place := config.ledger.place(environment)) is not None:
        ledger = Ledger(open_database(place), query_text=config.ledger.query_text, keep_days=config.ledger.keep_days)

    def load(config: Config, *, previous: Routes) -> Routes:
        # A function, since what a `partial` holds is shown by its repr, and the environment holds keys.
        return load_routes(config, pool, routers=routers, environment=environment, previous=previous)

    return Gateway(config, routes, pool, ledger, load, metrics_token=metrics_token)


class Gateway:
    """An ASGI application; see `build_app`."""

    def __init__(
        self,
        config: Config,
        routes: Routes,
        pool: ConnectionPool,
        ledger: Ledger | None,
        load: Callable[..., Routes],
        *,
        metrics_token: str | None = None,
    ) -> None:
        """Use `build_app`. `load` is `load_routes` for another configuration."""
        self._pool = pool
        self._load = load
        self._reloading = asyncio.Lock()
        self._starting: asyncio.Lock | None = None
        self._started = False
        self.draining = False
        """Whether the gateway is about to stop; it still answers, but is no longer ready."""
        self.ledger = ledger
        self.counters = Counters()
        self.access: Access = OpenAccess()
        self._calls: LedgerCalls | None = None
        if ledger is not None:
            self._calls = LedgerCalls(ledger.database)
            self.access = KeyedAccess(self._calls, require_keys=config.server.require_keys)
        memory = LedgerCalls(ledger.database) if ledger else None
        self.sessions = Sessions(memory, shared=config.is_shared)
        self.stored_responses = StoredResponses(memory, shared=config.is_shared)
        folder = os.environ.get(FOLDER_VARIABLE)
        self._observers = Observers(
            config.observe, names=lambda: self.routes.known, workers_folder=Path(folder) if folder else None
        )
        self.metrics = self._observers.metrics
        self._recorders: list[Recorder] = [
            SideCounter(self.counters),
            SessionRecorder(self.sessions),
            ResponseRecorder(self.stored_responses),
            *((LedgerRecorder(ledger),) if ledger else ()),
            *self._observers.recorders,
        ]
        self._generation = self._generation_of(config, routes)
        self._dispatcher = self._dispatcher_of(config, metrics_token)
        watch_gateway(self.metrics, self.counters, ledger, lambda: self._dispatcher.under_way)
        watch_upstreams(self.metrics, lambda: self.routes)

    def _dispatcher_of(self, config: Config, metrics_token: str | None) -> Dispatcher:
        metrics_host, _ = config.observe.metrics_listen or (None, 0)
        metrics_guard = BrowserGuard(ServerConfig(host=metrics_host or config.server.host))
        dispatcher = Dispatcher(lambda: self._generation.guard, metrics_guard, self.access)
        paths = dispatcher.paths
        for protocol in (*PROTOCOLS, DECISION_ONLY):
            paths.add("POST", protocol.path, partial(self._serve_model, protocol))
        models = ModelList(lambda: self.routes, self.access)
        paths.add("GET", MODELS_PATH, models.show_all)
        paths.add("GET", f"{MODELS_PATH}/", models.show_one)
        paths.add("GET", "/openapi.json", describe)
        if self._calls is not None:
            feedback = FeedbackEndpoint(self.access, self._calls, lambda: self.routes.models.keys())
            paths.add("POST", "/v1/feedback", feedback)
        health = Health(self.counters, self.ledger, is_draining=lambda: self.draining)
        for table in (paths, dispatcher.at_metrics_port):
            table.add("GET", "/healthz", health.show)
            table.add("GET", "/readyz", health.show_readiness)
        if config.observe.metrics:
            metrics = MetricsEndpoint(
                self.metrics, self._observers.of_workers, token=metrics_token, is_open=dispatcher.is_operators
            )
            (paths if metrics_host is None else dispatcher.at_metrics_port).add("GET", "/metrics", metrics)
        return dispatcher

    def paths(self) -> set[str]:
        """Where clients may ask, but for single models."""
        return self._dispatcher.paths.written_out()

    @property
    def metrics_port(self) -> int | None:
        """The port at which the gateway tells of itself and does nothing else, once it listens at one."""
        return self._dispatcher.metrics_port

    @metrics_port.setter
    def metrics_port(self, port: int) -> None:
        self._dispatcher.metrics_port = port

    @property
    def config(self) -> Config:
        """The configuration of the moment."""
        return self._generation.config

    @property
    def routes(self) -> Routes:
        """Its names, and what stands behind them."""
        return self._generation.routes

    def _generation_of(self, config: Config, routes: Routes) -> Generation:
        pipeline = Pipeline(
            routes,
            access=self.access,
            chooser=Chooser(self.counters, self.sessions, self.stored_responses, routes.models),
            upstream=self._observers.wrap(PersistentUpstream(routes.models, config.upstream.retries, self.counters)),
            recorders=self._recorders,
            counters=self.counters,
            max_body_bytes=config.server.max_body_bytes,
            forward_headers=config.server.forward_headers,
        )
        return Generation(config, routes, pipeline, BrowserGuard(config.server))

    async def reload(self, config: Config) -> None:
        """Serve another configuration from the next request on; those under way end with the one they began with.

        What cannot change while the gateway runs stays as it is, with a warning.

        Raises:
            ConfigError: it cannot be used, and nothing has changed.
        """
        async with self._reloading:
            old = self._generation
            if fixed := needing_restart(old.config, config):
                _logger.warning("%s: changes take effect when the gateway is started again", ", ".join(fixed))
                config = reloadable(old.config, config)
            # Loading takes a while; requests are served meanwhile.
            routes = await asyncio.to_thread(self._load, config, previous=old.routes)
            self._generation = self._generation_of(config, routes)
            old.retire(self._generation)
            self.counters.reloads += 1
            _logger.info("the configuration was read anew: %s", ", ".join(routes.names()))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http":
            if not self._started:
                await self.startup()
            await self._dispatcher.serve(scope, receive, send)
        else:
            raise ValueError(f"The gateway serves HTTP, not {scope['type']}.")

    async def startup(self) -> None:
        """Open the ledger and read the keys. Called by the server's lifespan, or by the first request."""
        if self._starting is None:
            self._starting = asyncio.Lock()
        async with self._starting:
            if self._started:
                return
            if self.ledger is not None:
                await asyncio.to_thread(self.ledger.start)
            await self.access.start()
            self._observers.start()
            self._warn_if_open()
            self._started = True

    def _warn_if_open(self) -> None:
        server, observe = self.config.server, self.config.observe
        if observe.metrics and not (server.is_loopback or observe.metrics_listen or observe.metrics_token_env):
            _logger.info("/metrics answers no one: give it metrics_listen or metrics_token_env under [observe]")
        if not (server.is_loopback or self.access.asks_for_keys):
            _logger.warning(
                "%s is not loopback and no key is asked for: whoever can reach it can spend what your providers' keys "
                "allow. Make a key for each client: turnout keys create",
                server.host,
            )

    def abandon(self) -> None:
        """The process that started the workers is gone: remove what it would have removed."""
        self._observers.abandon()

    async def shutdown(self) -> None:
        """Close all connections, stop the routers' threads, and write what the ledger still has to write."""
        await self._observers.share_last()
        await self._pool.aclose()
        self.routes.close()
        await self.sessions.aclose()
        await self.stored_responses.aclose()
        if self._started:
            await self.access.aclose()
        if self._calls is not None:
            await self._calls.aclose()
        if self.ledger is not None:
            await asyncio.to_thread(self.ledger.close)
        await self._observers.close()
        self._started = False

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                try:
                    await self.startup()
                except Exception as error:
                    await send({"type": "lifespan.startup.failed", "message": str(error)})
                    raise
                await send({"type": "lifespan.startup.complete"})
            elif message["type"] == "lifespan.shutdown":
                await self.shutdown()
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def _serve_model(self, protocol: ClientProtocol, scope: Scope, receive: Receive, send: Send) -> None:
        with self._generation.request() as pipeline:
            await pipeline.serve(protocol, scope, receive, send)
