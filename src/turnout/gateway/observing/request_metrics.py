"""What Prometheus is told of requests, and of the gateway itself."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from dataclasses import asdict
from pathlib import Path

from turnout._version import __version__
from turnout.gateway.counters import Counters
from turnout.gateway.ledger.writing import Ledger
from turnout.gateway.metrics import Registry, only
from turnout.gateway.steps.account import Account

OTHER = "other"
"""The route of requests whose model name the configuration does not hold (`router-NAME-THRESHOLD`): clients make these
up, and each would be a series of its own."""

_STATM = Path("/proc/self/statm")  # Linux
_WIN_RATES = [n / 20 for n in range(1, 20)]
_ADDED_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5)
_UPSTREAM_S = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160, 320)


class RequestMetrics:
    """Counts each request when it has ended; a recorder."""

    def __init__(self, registry: Registry, names: Callable[[], Collection[str]]) -> None:
        """Args: the registry, and the names that may stand for themselves as a route."""
        self._names = names
        self._requests = registry.counter(
            "turnout_requests_total", "Requests for which a model was chosen.", ("route", "model", "status")
        )
        self._decisions = registry.counter(
            "turnout_decisions_total", "Routed requests, by the side they went to.", ("route", "side")
        )
        self._errors = registry.counter(
            "turnout_errors_total", "Requests that failed, by what failed.", ("model", "error")
        )
        self._input = registry.counter("turnout_input_tokens_total", "Tokens that models read.", ("route", "model"))
        self._output = registry.counter("turnout_output_tokens_total", "Tokens that models wrote.", ("route", "model"))
        self._spent = registry.counter("turnout_spent_usd_total", "US dollars that answers cost.", ("route", "model"))
        self._strong = registry.counter(
            "turnout_all_strong_usd_total",
            "US dollars that the same tokens would have cost at the strong model; of routed requests.",
            ("route", "model"),
        )
        self._win_rate = registry.histogram("turnout_win_rate", "What routers estimated.", _WIN_RATES, ("route",))
        self._added = registry.histogram(
            "turnout_added_seconds", "What the gateway added to the provider's time.", _ADDED_S
        )
        self._first_byte = registry.histogram(
            "turnout_upstream_first_byte_seconds", "Until a provider began to answer.", _UPSTREAM_S, ("model",)
        )
        self._upstream = registry.histogram(
            "turnout_upstream_seconds", "Until a provider's answer was complete.", _UPSTREAM_S, ("model",)
        )

    def record(self, account: Account) -> None:
        """Count it."""
        choice, usage, decision = account.choice, account.usage, account.choice.decision
        route = choice.asked_for if choice.asked_for in self._names() else OTHER
        model = account.model.name
        pair = (route, model)
        self._requests.add((route, model, str(account.status)))
        if account.error is not None:
            self._errors.add((model, account.error))
        if decision is not None:
            self._decisions.add((route, decision.side))
            if decision.win_rate == decision.win_rate:
                self._win_rate.observe((route,), decision.win_rate)
        if usage is not None:
            self._input.add(pair, usage.input_tokens)
            self._output.add(pair, usage.output_tokens)
            if (usd := account.cost_usd()) is not None:
                self._spent.add(pair, usd)
            if (strong_usd := account.cost_usd_if_strong()) is not None:
                self._strong.add(pair, strong_usd)
        upstream_s = account.upstream_latency_s()
        if upstream_s is not None:
            self._upstream.observe((model,), upstream_s)
            self._added.observe((), max(0.0, account.latency_s() - upstream_s))
            if (first_byte_s := account.upstream_first_byte_s()) is not None:
                self._first_byte.observe((model,), first_byte_s)


def watch_gateway(registry: Registry, counters: Counters, ledger: Ledger | None, under_way: Callable[[], int]) -> None:
    """Add what the gateway itself knows: its counters, its ledger's queue, its process."""
    registry.gauge("turnout_info", "The version that runs.", lambda: [((__version__,), 1)], ("version",))
    registry.gauge("turnout_requests_under_way", "Requests that have not ended.", lambda: only(under_way()))
    registry.counted("turnout_events_total", "What happened, by name.", lambda: only(asdict(counters)), ("event",))
    if ledger is not None:
        registry.gauge("turnout_ledger_queue", "Entries that wait to be written.", lambda: only(ledger.queued))
        registry.counted("turnout_ledger_written_total", "Entries written.", lambda: only(ledger.written))
        registry.counted("turnout_ledger_dropped_total", "Entries lost.", lambda: only(ledger.dropped))
        registry.counted(
            "turnout_ledger_refused_total", "Entries that the database cannot hold.", lambda: only(ledger.refused)
        )
        registry.counted(
            "turnout_ledger_failures_total",
            "Times that the ledger could not be written.",
            lambda: only(ledger.failures),
        )
        registry.gauge(
            "turnout_ledger_failing",
            "In how many workers the ledger cannot be written at present.",
            lambda: only(int(ledger.failing)),
        )
        registry.distribution(
            "turnout_ledger_delay_seconds", "From a request's end until its entry was written.", ledger.delays
        )
    registry.counted("process_cpu_seconds_total", "Processor time of this process.", lambda: only(_cpu_s()))
    if _STATM.exists():
        registry.gauge("process_resident_memory_bytes", "Memory of this process.", lambda: only(_memory_bytes()))


def _cpu_s() -> float:
    times = os.times()
    return times.user + times.system


def _memory_bytes() -> int:
    return int(_STATM.read_bytes().split()[1]) * os.sysconf("SC_PAGE_SIZE")
