"""The names that clients may ask for, and what stands behind each: a route, or a model itself."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from turnout.calibration import Calibration
from turnout.chat_client import ConnectionPool
from turnout.config import Config, RouteConfig
from turnout.errors import ConfigError, TurnoutError
from turnout.gateway.choosing.scoring import Scorer, make_scorer
from turnout.gateway.errors import RequestError, unknown_model
from turnout.gateway.upstreams.model import UpstreamModel, load_model
from turnout.policy import Policy
from turnout.route import Route
from turnout.routers.base import Router, predict_for_pair, router_folder

_ROUTELLM_NAME = re.compile(r"router-(?P<router>.+?)-(?P<threshold>\d*\.?\d+(?:[eE][+-]?\d{1,3})?)\Z", re.ASCII)
_MAX_ROUTELLM_NAME = 200  # the pattern takes quadratic time, and the name goes into a header and the ledger
_MAX_WARNED = 1_000
_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LoadedRouter:
    """A fitted router that is ready to serve."""

    router: Router
    calibration: Calibration | None
    scorer: Scorer
    source: object
    """What it was loaded from, such that an equal source means the same router."""
    names: frozenset[str]
    """What `router-NAME-THRESHOLD` may call it: its folder's or shipped name, and its registered name."""


@dataclass(frozen=True, slots=True)
class ServedRoute:
    """A route, the scorer that asks its router, and the clients of its two models."""

    config: RouteConfig
    policy: Policy
    router: LoadedRouter
    strong: UpstreamModel
    weak: UpstreamModel


class Routes:
    """All names of one configuration."""

    def __init__(self, models: Mapping[str, UpstreamModel], routes: Mapping[str, ServedRoute]) -> None:
        self.models = models
        self.routes = routes
        self.known = frozenset((*routes, *models))
        """All names, but for those of the form `router-NAME-THRESHOLD`."""
        self._warned: set[tuple[str, float]] = set()

    def names(self) -> list[str]:
        """Routes first, then models, in the configuration's order."""
        return [*self.routes, *self.models]

    def find(self, name: str) -> ServedRoute | UpstreamModel:
        """What stands behind a name that a client asked for, or a RequestError with the nearest name."""
        found = self.routes.get(name) or self.models.get(name)
        if found is not None:
            return found
        if name.startswith("router-"):
            return self._find_routellm(name)
        raise unknown_model(name, self.names())

    def scorers(self) -> set[Scorer]:
        """What asks the routers."""
        return {route.router.scorer for route in self.routes.values()}

    def close(self, *, keep: Collection[Scorer] = ()) -> None:
        """Stop the routers' threads, but for those that others use."""
        for scorer in self.scorers().difference(keep):
            scorer.close()

    def _find_routellm(self, name: str) -> ServedRoute:
        match = _ROUTELLM_NAME.match(name) if len(name) <= _MAX_ROUTELLM_NAME else None
        by_router: dict[str, ServedRoute] = {}
        for served in self.routes.values():
            for known in served.router.names:
                by_router.setdefault(known, served)
        route = by_router.get(match["router"]) if match else None
        if match is None or route is None:
            known = ", ".join(sorted(f"router-{router}-THRESHOLD" for router in by_router)) or "none"
            raise RequestError(
                404,
                f"The model '{name[:200]}' does not exist here. Names of this form: {known} "
                "(THRESHOLD is a number, such as 0.5). "
                f"Other names: {', '.join(self.names())}.",
                code="model_not_found",
                param="model",
            )
        threshold = float(match["threshold"])
        self._warn_if_uncovered(name, match["router"], threshold, route.router.calibration)
        return replace(route, policy=replace(route.policy, threshold=threshold, route=name))

    def _warn_if_uncovered(self, name: str, router: str, threshold: float, calibration: Calibration | None) -> None:
        if calibration is None or calibration.covers(threshold):
            return
        if (router, threshold) in self._warned or len(self._warned) >= _MAX_WARNED:
            return
        self._warned.add((router, threshold))
        _logger.warning(_uncovered(f"the model name '{name}'", threshold, calibration, router))


def load_routes(
    config: Config,
    pool: ConnectionPool,
    *,
    routers: Mapping[str, Router] | None = None,
    environment: Mapping[str, str] = os.environ,
    previous: Routes | None = None,
) -> Routes:
    """Load every router, read every key, settle every threshold.

    Args:
        config: the configuration.
        pool: the connections that all clients share.
        routers: fitted routers by the name that the configuration's routes use, instead of folders.
        environment: where the keys are looked up.
        previous: routes whose routers are used again where their files have not changed.

    Raises:
        ConfigError: a key's variable is not set, or a router cannot be loaded or has no calibration to read
            a strong fraction from.
    """
    models = {name: load_model(model, config, pool, environment) for name, model in config.models.items()}
    loaded: dict[str, LoadedRouter] = {}
    before = {served.router.source: served.router for served in previous.routes.values()} if previous else {}
    routes = {}
    for name, route in config.routes.items():
        if route.router not in loaded:
            given = (routers or {}).get(route.router)
            source = _source(route, given, config.server.routing_limit_s)
            loaded[route.router] = before.get(source) or _load_router(
                route, given, source, limit_s=config.server.routing_limit_s
            )
        router = loaded[route.router]
        policy = Policy(route.pair, _threshold(route, router.calibration), route=name)
        routes[name] = ServedRoute(
            route, policy, router, strong=models[route.pair.strong], weak=models[route.pair.weak]
        )
        _say_whose_win_rates(name, route, router.router)
    return Routes(models, routes)


def _source(route: RouteConfig, given: Router | None, limit_s: float) -> object:
    """The router itself, or its folder's files with their sizes and times."""
    if given is not None:
        return id(given), limit_s
    try:
        folder = router_folder(route.router)
        files = sorted((file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in folder.iterdir())
    except (OSError, TurnoutError):
        return object()  # loading it will say what is wrong
    return str(folder), tuple(files), limit_s


def _load_router(route: RouteConfig, given: Router | None, source: object, *, limit_s: float) -> LoadedRouter:
    calibration = None
    router = given
    if router is None:
        try:
            loaded = Route.load(route.router, threshold=0.0)
        except TurnoutError as error:
            raise ConfigError(f"[routes.{route.name}]: {error}") from error
        router, calibration = loaded.router, loaded.calibration
    names = frozenset({Path(route.router).name, router.name})
    scorer = make_scorer(router, name=Path(route.router).name, limit_s=limit_s)
    return LoadedRouter(router, calibration, scorer, source, names)


def _threshold(route: RouteConfig, calibration: Calibration | None) -> float:
    if route.threshold is not None:
        if calibration is not None and not calibration.covers(route.threshold):
            _logger.warning(_uncovered(f"[routes.{route.name}]", route.threshold, calibration, route.router))
        return route.threshold
    if calibration is None:
        raise ConfigError(
            f"[routes.{route.name}]: the router '{route.router}' has no calibration, so strong_fraction says nothing "
            f"about its thresholds. Run: turnout calibrate {route.router}, or give a threshold."
        )
    assert route.strong_fraction is not None
    return calibration.operating_point(route.strong_fraction).threshold


def _uncovered(where: str, threshold: float, calibration: Calibration, router: str) -> str:
    return (
        f"{where}: the threshold {threshold:g} lies outside the win rates that the router '{router}' was seen to "
        f"give ({calibration.lowest:.4g} to {calibration.highest:.4g}), so all queries go one way. Thresholds do not "
        f"carry over between routers. To find one run: turnout calibrate {router}"
    )


def _say_whose_win_rates(name: str, route: RouteConfig, router: Router) -> None:
    try:
        scored = predict_for_pair(router, ["Name a river."], route.pair)
    except Exception:
        return  # make_scorer has logged that it fails
    if scored.fell_back:
        _logger.info(
            "[routes.%s]: the router was trained for %s, and its win rates for that pair are used for %s",
            name,
            scored.pair,
            route.pair,
        )
