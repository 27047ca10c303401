"""Where the gateway listens, what it takes from clients, and what it tells those who watch it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from turnout.errors import ConfigError

NEVER_FORWARDED = frozenset(
    {
        "authorization",
        "connection",
        "content-length",
        "content-type",
        "cookie",
        "expect",
        "host",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "accept-encoding",
        "api-key",
        "x-api-key",
    }
)
"""Request headers that no configuration can forward: credentials, hop-by-hop headers, and what we set."""


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """Where the gateway listens, and what it takes from a client."""

    host: str = "127.0.0.1"
    port: int = 8400
    max_body_bytes: int = 20 << 20
    forward_headers: tuple[str, ...] = (
        "anthropic-beta",
        "idempotency-key",
        "openai-beta",
        "openai-organization",
        "openai-project",
        "traceparent",
        "tracestate",
        "x-client-request-id",
    )
    """The client's headers that reach a provider, lower case."""
    routing_limit_s: float = 2.0
    """How long a slow router may take for one query before the request goes to strong without it."""
    workers: int = 1
    """Processes that share the port."""
    drain_delay_s: float = 0.0
    """How long it goes on listening, but says that it is not ready, once it is told to stop."""
    require_keys: bool = False
    """Whether a key is asked for even while none was ever made; once there is one, it always is."""
    allowed_hosts: tuple[str, ...] = ()
    """Names that the gateway goes by, lower case, beside localhost and loopback addresses.

    On loopback no others are answered, so that no web page can reach it through a name of its own.
    """

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the gateway."""
        return is_loopback(self.host)


@dataclass(frozen=True, slots=True)
class ObserveConfig:
    """What the gateway tells those who watch it."""

    metrics: bool = True
    """Whether GET /metrics answers Prometheus."""
    metrics_listen: tuple[str, int] | None = None
    """The host and port at which it does, instead of where clients ask."""
    metrics_token_env: str | None = None
    """The environment variable that holds the token which is asked for. Without it and without an address of its own,
    /metrics answers on loopback alone."""
    traces: bool = False
    """Whether spans are sent over OTLP (extra `otel`); where to is OpenTelemetry's OTEL_EXPORTER_OTLP_ENDPOINT."""

    def metrics_token(self, environment: Mapping[str, str] = os.environ) -> str | None:
        """The token from the environment, or a ConfigError that names the variable that is not set."""
        if self.metrics_token_env is None:
            return None
        token = environment.get(self.metrics_token_env, "").strip()
        if not token:
            raise ConfigError(
                f"[observe]: the environment variable {self.metrics_token_env} (metrics_token_env) is not set. Set it "
                "to the token that Prometheus is to bear."
            )
        return token


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what listens there.

    >>> is_loopback("127.0.0.1"), is_loopback("0.0.0.0")
    (True, False)
    """
    return host in ("localhost", "::1") or host.startswith("127.")
