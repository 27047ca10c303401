"""Why a request went where it went: the entry, the score against the threshold, what resembles it, the prices."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from turnout import registry
from turnout.calibration import Calibration
from turnout.config import Config, ModelConfig
from turnout.data.battles import Battles
from turnout.data.distinct_queries import DistinctQueries
from turnout.errors import InvalidValueError, LedgerError, TurnoutError
from turnout.gateway.ledger.database import Database
from turnout.gateway.ledger.feedback import Feedback, feedback_of
from turnout.gateway.ledger.reading import find_entry
from turnout.gateway.ledger.schema import open_ledger
from turnout.gateway.ledger.writing import Entry, query_sha256
from turnout.route import Route
from turnout.routers.base import Neighbor, RemembersQueries, Router, predict_for_pair
from turnout.types import Encoder, ModelPair

SHOWN = 5
"""How many resembling queries are shown."""


@dataclass(frozen=True)
class Explanation:
    """All that can be said of one decision."""

    entry: Entry
    feedback: list[Feedback]
    calibration_above: float | None = None
    """The share of the calibration's queries whose win rate was higher, in [0, 1]: how hard the query looked."""
    calibration_queries: int | None = None
    calibration_data: str | None = None
    win_rate_now: float | None = None
    """What the router says today, if it can be asked; it may have been trained anew since."""
    neighbors: list[tuple[Neighbor, str | None]] = field(default_factory=list)
    """Training queries that resemble the query, nearest first, with their texts where these are known."""
    neighbors_by: str | None = None
    """What found them: the router itself, or an encoder in a file of battles."""
    costs_usd: Mapping[str, float] = field(default_factory=dict)
    """What the same tokens would cost with each of the pair's models, at today's configuration."""
    notes: list[str] = field(default_factory=list)
    """What could not be said, and what it would take."""


def explain(
    database: Database,
    id: str,
    config: Config | None = None,
    *,
    query: str | None = None,
    battles: Battles | None = None,
) -> Explanation:
    """The explanation of a decision.

    Args:
        database: where the ledger is.
        id: the decision's id.
        config: for the router and the prices; without it the ledger alone speaks.
        query: the query's text, where the ledger does not hold it; it is checked against the ledger's hash.
        battles: what the router was trained on, to show which of them resemble the query.

    Raises:
        LedgerError: there is no ledger, or it holds no such decision.
        InvalidValueError: the query is another one.
    """
    with closing(open_ledger(database)) as connection:
        entry = find_entry(connection, id)
        if entry is None:
            raise LedgerError(
                f"The ledger {database.name} holds no decision '{id}'. A decision's id stands in its answer's header "
                "x-turnout-decision-id; the latest are listed by: turnout logs tail"
            )
        feedback = feedback_of(connection, id)
    query = _query_of(entry, query)
    found: dict[str, Any] = {"notes": []}
    router = None
    if config is not None:
        found["costs_usd"] = _costs(entry, config.models)
        router = _ask_router(entry, config, query, found)
    if query is None:
        found["notes"].append(
            "The ledger does not hold the query's text (query_text). Give it with --query to see what resembles it."
        )
    elif entry.side is not None:
        _find_neighbors(entry, query, router, battles, found)
    return Explanation(entry, feedback, **found)


def _query_of(entry: Entry, given: str | None) -> str | None:
    if given is None:
        return entry.query
    if entry.query_sha256 is not None and query_sha256(given) != entry.query_sha256:
        raise InvalidValueError(
            "This is not the query of that decision: its SHA-256 is another one. What the query of a conversation is "
            "stands in docs/how-to/gateway.md."
        )
    return given


def _costs(entry: Entry, models: Mapping[str, ModelConfig]) -> dict[str, float]:
    if entry.input_tokens is None or entry.output_tokens is None:
        return {}
    names = dict.fromkeys(name for name in (entry.strong, entry.weak, entry.model) if name is not None)
    prices = {name: models[name].price for name in names if name in models}
    return {
        name: price.cost_usd(entry.input_tokens, entry.output_tokens)
        for name, price in prices.items()
        if price is not None
    }


def _ask_router(entry: Entry, config: Config, query: str | None, found: dict[str, Any]) -> Router | None:
    if entry.side is None:
        return None
    route = config.routes.get(entry.route)
    if route is None:
        found["notes"].append(f"The configuration has no route '{entry.route}' (any more), so its router is not asked.")
        return None
    try:
        loaded = Route.load(route.router, threshold=0.0)
    except TurnoutError as error:
        found["notes"].append(f"The router '{route.router}' cannot be loaded: {error}")
        return None
    if loaded.calibration is not None and entry.win_rate is not None:
        found["calibration_above"] = share_above(loaded.calibration, entry.win_rate)
        found["calibration_queries"] = loaded.calibration.n_queries
        found["calibration_data"] = loaded.calibration.data
    if query is not None:
        found["win_rate_now"] = float(predict_for_pair(loaded.router, [query], route.pair).win_rates[0])
    return loaded.router


def share_above(calibration: Calibration, win_rate: float) -> float:
    """About which share of the calibration's queries had a higher win rate, in [0, 1].

    >>> share_above(Calibration.from_win_rates([0.1, 0.2, 0.3, 0.4], data="four"), 0.2)
    0.5
    """
    if win_rate < calibration.lowest:
        return 1.0
    # All thresholds but the last lie between win rates, so that the lowest one at or above ours parts the higher ones.
    above = int(np.searchsorted(-calibration.thresholds[:-1], -win_rate, side="right"))
    return int(calibration.n_strong[max(above - 1, 0)]) / calibration.n_queries


def _find_neighbors(
    entry: Entry, query: str, router: Router | None, battles: Battles | None, found: dict[str, Any]
) -> None:
    if battles is not None:
        encoder: Encoder = getattr(router, "encoder", None) or registry.load("encoder", "static")()
        pair = router.pair_ if router is not None else ModelPair(entry.strong or "", entry.weak or "")
        found["neighbors"] = nearest_battles(battles.for_pair(pair), query, encoder)
        found["neighbors_by"] = f"the encoder '{encoder.name}' in the battles given"
        return
    if router is None:
        return
    remembering: object = router
    if isinstance(remembering, RemembersQueries):
        found["neighbors"] = [(neighbor, None) for neighbor in remembering.neighbors(query, SHOWN)]
        found["neighbors_by"] = f"the router '{router.name}', which keeps no texts"
    else:
        found["notes"].append(
            f"The router '{router.name}' does not decide by single training queries. To see which of the battles it "
            "was trained on resemble the query, give them with --battles."
        )


def nearest_battles(
    battles: Battles, query: str, encoder: Encoder, n: int = SHOWN
) -> list[tuple[Neighbor, str | None]]:
    """The distinct queries of a pair's battles that resemble a query most, with their texts, nearest first."""
    known = DistinctQueries.of(battles)
    cosines = encoder.encode(known.texts) @ encoder.encode([query])[0]
    return [
        (Neighbor(float(cosines[row]), float(known.shares[row]), float(known.weights[row])), known.texts[row])
        for row in np.argsort(-cosines, kind="stable")[:n]
    ]
