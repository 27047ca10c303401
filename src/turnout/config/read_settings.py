"""Reads the tables that set up the gateway: [server], [observe], [upstream] and [ledger]."""

from __future__ import annotations

import re
from pathlib import Path
from typing import cast, get_args

from turnout.call_limits import Retries, TimeLimits
from turnout.config.checks import host_and_port, one_of, variable_name
from turnout.config.ledger import LedgerConfig, QueryText
from turnout.config.server import NEVER_FORWARDED, ObserveConfig, ServerConfig
from turnout.config.table import Table
from turnout.config.upstream import UpstreamConfig
from turnout.errors import ConfigError

_HOST_NAME = re.compile(r"[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?\Z")


def read_server(table: Table) -> ServerConfig:
    """What `[server]` says."""
    default = ServerConfig()
    server = ServerConfig(
        host=table.text("host") or default.host,
        port=table.whole("port", default.port, least=0, most=65_535),
        max_body_bytes=table.whole("max_body_bytes", default.max_body_bytes),
        forward_headers=tuple(name.lower() for name in table.texts("forward_headers", default.forward_headers)),
        routing_limit_s=table.seconds("routing_limit_s", default.routing_limit_s),
        workers=table.whole("workers", default.workers, most=256),
        drain_delay_s=table.take("drain_delay_s", float) or 0.0,
        require_keys=table.truth("require_keys", default.require_keys),
        allowed_hosts=tuple(name.lower() for name in table.texts("allowed_hosts", default.allowed_hosts)),
    )
    table.finish()
    if server.drain_delay_s < 0:
        raise ConfigError(f"[server]: drain_delay_s must be at least 0, got {server.drain_delay_s:g}.")
    if refused := sorted(NEVER_FORWARDED.intersection(server.forward_headers)):
        raise ConfigError(
            f"[server]: forward_headers must not hold '{refused[0]}': credentials and the headers of a single "
            "connection are never forwarded."
        )
    for name in server.allowed_hosts:
        if not _HOST_NAME.match(name):
            raise ConfigError(
                f'{table.where}: allowed_hosts must be names such as "llm.example.com", without scheme, port and '
                f"path and without '*', got '{name}'."
            )
    return server


def read_observe(table: Table) -> ObserveConfig:
    """What `[observe]` says."""
    default = ObserveConfig()
    listen = table.text("metrics_listen")
    observe = ObserveConfig(
        metrics=table.truth("metrics", default.metrics),
        metrics_listen=None if listen is None else host_and_port(listen, f"{table.where}: metrics_listen"),
        metrics_token_env=variable_name(
            table.text("metrics_token_env"), table.where, "metrics_token_env", "TURNOUT_METRICS_TOKEN", "the token"
        ),
        traces=table.truth("traces", default.traces),
    )
    table.finish()
    return observe


def read_upstream(table: Table) -> UpstreamConfig:
    """What `[upstream]` says."""
    default = UpstreamConfig()
    upstream = UpstreamConfig(
        limits=TimeLimits(
            connect_s=table.seconds("connect_s", default.limits.connect_s),
            first_byte_s=table.seconds("first_byte_s", default.limits.first_byte_s),
            between_chunks_s=table.seconds("between_chunks_s", default.limits.between_chunks_s),
            whole_s=table.seconds("whole_s", default.limits.whole_s),
        ),
        retries=Retries(
            most=table.whole("max_retries", default.retries.most, least=0, most=10),
            statuses=default.retries.statuses,
            first_wait_s=default.retries.first_wait_s,
            longest_wait_s=table.seconds("longest_retry_wait_s", default.retries.longest_wait_s),
        ),
        max_connections=table.whole("max_connections", default.max_connections),
        max_concurrent=table.whole("max_concurrent", default.max_concurrent),
        max_waiting=table.whole("max_waiting", default.max_waiting, least=0),
        wait_limit_s=table.seconds("wait_limit_s", default.wait_limit_s),
        breaker_failures=table.whole("breaker_failures", default.breaker_failures, least=0, most=1_000),
        breaker_open_s=table.seconds("breaker_open_s", default.breaker_open_s),
        max_answer_bytes=table.whole("max_answer_bytes", default.max_answer_bytes),
        max_event_bytes=table.whole("max_event_bytes", default.max_event_bytes),
    )
    table.finish()
    return upstream


def read_ledger(table: Table, folder: Path) -> LedgerConfig:
    """What `[ledger]` says; a file's path starts at `folder`."""
    path = table.text("path")
    url_env = variable_name(table.text("url_env"), table.where, "url_env", "TURNOUT_LEDGER_URL", "the URL")
    query_text = table.text("query_text") or "hash"
    keep_days = table.take("keep_days", float)
    table.finish()
    one_of(query_text, get_args(QueryText), f"{table.where}: query_text")
    if path is not None and url_env is not None:
        raise ConfigError(f"{table.where}: give either path (a SQLite file) or url_env (PostgreSQL), not both.")
    if path is not None and path.startswith(("postgresql:", "postgres:")):
        raise ConfigError(
            f"{table.where}: path is a SQLite file. For PostgreSQL put the URL, which may hold a password, into an "
            'environment variable and name that variable: url_env = "TURNOUT_LEDGER_URL".'
        )
    if keep_days is not None and keep_days <= 0:
        raise ConfigError(f"{table.where}: keep_days must be above 0, got {keep_days:g}.")
    return LedgerConfig(
        path=None if path is None else folder / Path(path).expanduser(),
        url_env=url_env,
        query_text=cast("QueryText", query_text),
        keep_days=keep_days,
    )
