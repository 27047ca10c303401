"""The configuration file: TOML → frozen dataclasses. Unknown keys are errors; secrets are names of variables.

docs/reference/configuration.md lists every key. Nothing here reads a secret: `ModelConfig.api_key` looks it
up in the environment when the gateway is built.
"""

from __future__ import annotations

import difflib
import math
import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeVar, cast, get_args
from urllib.parse import urlsplit

from turnout.call_limits import Retries, TimeLimits
from turnout.errors import ConfigError, InvalidValueError
from turnout.pricing import Price
from turnout.query import QueryPolicy
from turnout.types import ModelPair

QueryText = Literal["full", "hash", "off"]
"""What the ledger keeps of a query: its text, a SHA-256 of it, or nothing."""

ProviderProtocol = Literal["openai", "anthropic", "litellm"]
"""What a provider speaks; `litellm` is any provider that the library of that name can call."""

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

_VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_NAME = re.compile(r"[\x21-\x7e]+\Z")
_HOST_NAME = re.compile(r"[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?\Z")
_LISTEN = re.compile(r"(?:\[(?P<address>[0-9a-fA-F.]*:[0-9a-fA-F:.]+)\]|(?P<host>[^\s:\[\]/]+)):(?P<port>[0-9]{1,5})\Z")
_LANGUAGE = re.compile(r"[a-z]{2,3}\Z")
_SECRET_KEYS = frozenset({"api_key", "key", "token", "secret", "password", "authorization"})


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
class UpstreamConfig:
    """How providers are called: time limits, retries and sizes."""

    limits: TimeLimits = field(default_factory=TimeLimits)
    retries: Retries = field(
        default_factory=lambda: Retries(
            most=1,
            statuses=frozenset({408, 429, 500, 502, 503, 504, 529}),
            first_wait_s=0.5,
            longest_wait_s=5.0,
        )
    )
    """For one model, before anyone else is asked."""
    max_connections: int = 1000
    max_concurrent: int = 500
    """Calls of one address at once."""
    max_waiting: int = 500
    """Calls of one model that wait for a place."""
    wait_limit_s: float = 5.0
    """How long each of them waits."""
    breaker_failures: int = 5
    """So many failures among the last twice as many calls open an address's breaker; 0 switches breakers off."""
    breaker_open_s: float = 10.0
    max_answer_bytes: int = 32 << 20
    max_event_bytes: int = 4 << 20


@dataclass(frozen=True, slots=True)
class LedgerConfig:
    """Where decisions are recorded, for how long, and how much of a query is kept."""

    path: Path | None = None
    """The SQLite file."""
    url_env: str | None = None
    """The environment variable that holds a `postgresql://` URL. Without a path and this there is no ledger."""
    query_text: QueryText = "hash"
    keep_days: float | None = None
    """Entries older than this are deleted; None keeps all."""

    def place(self, environment: Mapping[str, str] = os.environ) -> Path | str | None:
        """The file's path or the server's URL, or a ConfigError that names the variable that is not set."""
        if self.url_env is None:
            return self.path
        url = environment.get(self.url_env, "").strip()
        if not url.startswith(("postgresql://", "postgres://")):
            # What it holds may be a password.
            wrong = "does not hold a postgresql:// URL" if url else "is not set"
            raise ConfigError(
                f"[ledger]: the environment variable {self.url_env} (url_env) {wrong}. Set it to the database's "
                f"address, for example: export {self.url_env}=postgresql://USER:PASSWORD@HOST/DATABASE"
            )
        return url


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


@dataclass(frozen=True, slots=True)
class AddressConfig:
    """One of the places that answer for a model."""

    base_url: str
    api_key_env: str | None
    weight: float = 1.0
    """Its share of the calls, beside those of the others."""


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """One model at one provider."""

    name: str
    """What clients and routes call it."""
    base_url: str
    """Empty only where LiteLLM knows the address."""
    api_key_env: str | None = None
    """The environment variable that holds the key; None for a provider that wants none."""
    upstream_model: str = ""
    """What the provider calls it; the same as `name` unless said."""
    price: Price | None = None
    context_window: int | None = None
    max_output_tokens: int | None = None
    """The most that it writes. Anthropic's protocol wants a limit: this one, where a client gives none."""
    protocol: ProviderProtocol = "openai"
    native_responses: bool = False
    """Whether an OpenAI-compatible provider has /responses itself; elsewhere they become chat completions."""
    tools: bool = True
    """What it can take; requests that need what it cannot take go elsewhere."""
    images: bool = True
    json_schema: bool = True
    languages: tuple[str, ...] = ()
    """The only ones that it is good at (ISO 639-1); empty for all."""
    addresses: tuple[AddressConfig, ...] = ()
    """Further places that answer for it, beside its base_url and api_key_env."""
    cache_lifetime_s: float = 300.0
    """How long its provider keeps a prompt cache after it was last used."""
    max_concurrent: int | None = None
    """Calls of each of its addresses at once, if other than for all providers."""
    fallbacks: tuple[str, ...] = ()
    """Models to try in this order where it fails."""

    @property
    def is_openai(self) -> bool:
        """Whether this is OpenAI itself, which no longer takes some fields that others still want.

        >>> ModelConfig("gpt-4o", "https://api.openai.com/v1").is_openai
        True
        """
        host = urlsplit(self.base_url).hostname or ""
        return host == "api.openai.com" or host.endswith((".api.openai.com", ".openai.azure.com"))

    def api_key(self, environment: Mapping[str, str] = os.environ, *, variable: str | None = None) -> str | None:
        """The key from the environment, or a ConfigError that names the variable that is not set.

        `variable` is that of another address's key, if not of the first one's.
        """
        variable = variable or self.api_key_env
        if variable is None:
            return None
        key = environment.get(variable, "").strip()
        if not key:
            raise ConfigError(
                f"[models.{self.name}]: the environment variable {variable} (api_key_env) is not set. "
                f"Set it to the provider's key, for example: export {variable}=..."
            )
        if not key.isprintable():
            raise ConfigError(
                f"[models.{self.name}]: the environment variable {variable} holds a line break or "
                "another character that no key has."
            )
        return key


@dataclass(frozen=True, slots=True)
class RouteConfig:
    """A model name that clients may ask for: a router, a pair and an operating point."""

    name: str
    router: str
    """A shipped router's name, or a folder (taken relative to the configuration file)."""
    pair: ModelPair
    threshold: float | None = None
    strong_fraction: float | None = None
    """Exactly one of the two is set."""
    query: QueryPolicy = "conversation"
    fallbacks: tuple[str, ...] = ()
    """Models to try in this order where the chosen one and its own fallbacks fail; the pair's may be among them."""
    sticky: bool = True
    """Whether a conversation may stay with strong although its win rate says weak."""
    strip_boilerplate: bool = True
    """Whether the router is spared what programs put into user turns."""


@dataclass(frozen=True, slots=True)
class Config:
    """A whole configuration file."""

    models: Mapping[str, ModelConfig]
    routes: Mapping[str, RouteConfig]
    server: ServerConfig = field(default_factory=ServerConfig)
    upstream: UpstreamConfig = field(default_factory=UpstreamConfig)
    ledger: LedgerConfig = field(default_factory=LedgerConfig)
    observe: ObserveConfig = field(default_factory=ObserveConfig)

    @property
    def is_shared(self) -> bool:
        """Whether other processes may write to the same ledger."""
        return self.server.workers > 1 or self.ledger.url_env is not None


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what listens there.

    >>> is_loopback("127.0.0.1"), is_loopback("0.0.0.0")
    (True, False)
    """
    return host in ("localhost", "::1") or host.startswith("127.")


def host_and_port(text: str, name: str) -> tuple[str, int]:
    """Where to listen, from HOST:PORT, an IPv6 address in brackets; port 0 takes a free one.

    Raises:
        ConfigError: it is something else; `name` is what the message calls it.

    >>> host_and_port("127.0.0.1:9400", "it"), host_and_port("[::]:9400", "it")
    (('127.0.0.1', 9400), ('::', 9400))
    """
    match = _LISTEN.match(text)
    if match is None or int(match["port"]) > 65_535:
        raise ConfigError(f"{name} must be HOST:PORT, such as 127.0.0.1:9400 or [::1]:9400, got '{text}'.")
    return match["address"] or match["host"], int(match["port"])


def load_config(path: str | Path) -> Config:
    """The configuration in a TOML file, checked as far as one can without loading routers or reading secrets.

    Raises:
        ConfigError: names the file, the table and the key, and for an unknown key the nearest known one.
    """
    path = Path(path)
    try:
        text = path.read_bytes().decode("utf-8-sig")  # editors on Windows like to write a byte order mark
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror}).") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text.") from error
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not TOML: {error}.") from error
    try:
        return parse_config(content, folder=path.parent)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def parse_config(content: Mapping[str, Any], *, folder: Path = Path()) -> Config:
    """The configuration in a parsed TOML document; relative paths start at `folder`."""
    table = _Table(content, "the top level")
    server = _server(table.table("server"))
    upstream = _upstream(table.table("upstream"))
    if "log" in content:
        raise ConfigError("The table [log] is called [ledger].")
    ledger = _ledger(table.table("ledger"), folder)
    observe = _observe(table.table("observe"))
    models = {name: _model(name, part) for name, part in table.tables("models").items()}
    for model in models.values():
        _fallbacks(model.fallbacks, models, f"[models.{model.name}]")
    routes = {name: _route(name, part, models, folder) for name, part in table.tables("routes").items()}
    table.finish()
    if server.require_keys and ledger.path is None and ledger.url_env is None:
        raise ConfigError("[server]: require_keys needs a ledger to keep the keys in. Give [ledger] a path.")
    if not models:
        raise ConfigError("There is no model. Add one: [models.NAME] with base_url.")
    if both := sorted(models.keys() & routes.keys()):
        raise ConfigError(f"'{both[0]}' is both a model and a route. Clients ask for either by name: rename one.")
    return Config(models=models, routes=routes, server=server, upstream=upstream, ledger=ledger, observe=observe)


Value = TypeVar("Value", str, int, float)


class _Table:
    """One TOML table: each key is taken once, with its type checked; what is left over is unknown."""

    def __init__(self, content: Any, where: str) -> None:
        if not isinstance(content, dict):
            raise ConfigError(f"{where} must be a table, got {_describe(content)}.")
        self._content: dict[str, Any] = dict(content)
        self.where = where
        self._known: list[str] = []

    def take(self, key: str, kind: type[Value]) -> Value | None:
        """The key's value, or None where it is absent."""
        self._known.append(key)
        if key not in self._content:
            return None
        value = self._content.pop(key)
        # A whole number will do where a number is asked for; True is a number in Python, but not in TOML.
        kinds = (int, float) if kind is float else (kind,)
        if not isinstance(value, kinds) or isinstance(value, bool):
            raise ConfigError(f"{self.where}: {key} must be {_KIND_NAMES[kind]}, got {_describe(value)}.")
        if isinstance(value, float) and not math.isfinite(value):
            raise ConfigError(f"{self.where}: {key} must be a finite number, got {value}.")
        return kind(value)

    def text(self, key: str) -> str | None:
        value = self.take(key, str)
        if value is not None and not value.strip():
            raise ConfigError(f"{self.where}: {key} must not be empty.")
        return value

    def required_text(self, key: str) -> str:
        value = self.text(key)
        if value is None:
            raise ConfigError(f"{self.where}: {key} is missing.{self._slip(key)}")
        return value

    def whole(self, key: str, default: int, *, least: int = 1, most: int | None = None) -> int:
        value = self.take(key, int)
        if value is None:
            return default
        if value < least or (most is not None and value > most):
            between = f"at least {least}" if most is None else f"from {least} to {most}"
            raise ConfigError(f"{self.where}: {key} must be {between}, got {value}.")
        return value

    def seconds(self, key: str, default: float) -> float:
        value = self.take(key, float)
        if value is None:
            return default
        if value <= 0:
            raise ConfigError(f"{self.where}: {key} must be a number of seconds above 0, got {value:g}.")
        return value

    def truth(self, key: str, default: bool) -> bool:
        self._known.append(key)
        value = self._content.pop(key, default)
        if not isinstance(value, bool):
            raise ConfigError(f"{self.where}: {key} must be true or false, got {_describe(value)}.")
        return value

    def texts(self, key: str, default: tuple[str, ...]) -> tuple[str, ...]:
        self._known.append(key)
        if key not in self._content:
            return default
        value = self._content.pop(key)
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise ConfigError(f"{self.where}: {key} must be a list of texts, got {_describe(value)}.")
        return tuple(value)

    def table(self, key: str) -> _Table:
        self._known.append(key)
        return _Table(self._content.pop(key, {}), f"[{key}]")

    def tables(self, key: str) -> dict[str, _Table]:
        self._known.append(key)
        content = self._content.pop(key, {})
        if not isinstance(content, dict):
            raise ConfigError(f"{key} must be tables named [{key}.NAME], got {_describe(content)}.")
        for name in content:
            if not _NAME.match(name):
                raise ConfigError(
                    f"[{key}]: the name '{name}' cannot be sent in a header. Use printable ASCII without spaces."
                )
        return {name: _Table(part, f"[{key}.{name}]") for name, part in content.items()}

    def list_of_tables(self, key: str) -> list[_Table]:
        self._known.append(key)
        value = self._content.pop(key, [])
        if not isinstance(value, list):
            raise ConfigError(f"{self.where}: {key} must be a list of tables, got {_describe(value)}.")
        return [_Table(part, f"{self.where}: {key}[{number}]") for number, part in enumerate(value)]

    def finish(self) -> None:
        """Refuse whatever no one took."""
        for key in self._content:
            # The value may be a secret, so it is never shown.
            if key.lower() in _SECRET_KEYS and "api_key_env" in self._known:
                raise ConfigError(
                    f"{self.where}: '{key}' is not a key: secrets do not belong in this file. Put the provider's "
                    'key into an environment variable and name that variable: api_key_env = "OPENAI_API_KEY".'
                )
            nearest = difflib.get_close_matches(key, self._known, n=1)
            hint = f" Did you mean '{nearest[0]}'?" if nearest else ""
            raise ConfigError(f"{self.where}: unknown key '{key}'.{hint} Known: {', '.join(sorted(self._known))}.")

    def _slip(self, key: str) -> str:
        nearest = difflib.get_close_matches(key, self._content, n=1)
        return f" Is '{nearest[0]}' meant to be it?" if nearest else ""


_KIND_NAMES: dict[type, str] = {str: "text", int: "a whole number", float: "a number"}


def _describe(value: Any) -> str:
    names: dict[type, str] = {**_KIND_NAMES, bool: "true or false", list: "a list", dict: "a table"}
    return names.get(type(value), type(value).__name__)


def _server(table: _Table) -> ServerConfig:
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


def _upstream(table: _Table) -> UpstreamConfig:
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


def _ledger(table: _Table, folder: Path) -> LedgerConfig:
    path = table.text("path")
    url_env = _variable(table.text("url_env"), table.where, "url_env", "TURNOUT_LEDGER_URL", "the URL")
    query_text = table.text("query_text") or "hash"
    keep_days = table.take("keep_days", float)
    table.finish()
    _one_of(query_text, get_args(QueryText), f"{table.where}: query_text")
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


def _observe(table: _Table) -> ObserveConfig:
    default = ObserveConfig()
    listen = table.text("metrics_listen")
    observe = ObserveConfig(
        metrics=table.truth("metrics", default.metrics),
        metrics_listen=None if listen is None else host_and_port(listen, f"{table.where}: metrics_listen"),
        metrics_token_env=_variable(
            table.text("metrics_token_env"), table.where, "metrics_token_env", "TURNOUT_METRICS_TOKEN", "the token"
        ),
        traces=table.truth("traces", default.traces),
    )
    table.finish()
    return observe


def _model(name: str, table: _Table) -> ModelConfig:
    protocol = table.text("protocol") or "openai"
    _one_of(protocol, get_args(ProviderProtocol), f"{table.where}: protocol")
    url = table.text("base_url") if protocol == "litellm" else table.required_text("base_url")
    model = ModelConfig(
        name=name,
        base_url=_base_url(url, table.where) if url else "",
        api_key_env=_variable(table.text("api_key_env"), table.where, "api_key_env", "OPENAI_API_KEY", "the key"),
        upstream_model=table.text("upstream_model") or name,
        price=_price(table),
        context_window=table.whole("context_window", 0, least=1) or None,
        max_output_tokens=table.whole("max_output_tokens", 0, least=1) or None,
        protocol=cast("ProviderProtocol", protocol),
        tools=table.truth("tools", True),
        images=table.truth("images", True),
        json_schema=table.truth("json_schema", True),
        languages=table.texts("languages", ()),
        cache_lifetime_s=table.seconds("cache_lifetime_s", 300.0),
        max_concurrent=table.whole("max_concurrent", 0, least=1) or None,
        fallbacks=table.texts("fallbacks", ()),
    )
    addresses = tuple(_address(part, model) for part in table.list_of_tables("addresses"))
    for language in model.languages:
        if not _LANGUAGE.match(language):
            raise ConfigError(f"{table.where}: languages must be ISO 639-1 codes such as \"en\", got '{language}'.")
    native = table.truth("native_responses", model.protocol == "openai" and model.is_openai)
    table.finish()
    if native and protocol != "openai":
        raise ConfigError(f'{table.where}: native_responses is for protocol = "openai" alone, got "{protocol}".')
    return replace(model, native_responses=native, addresses=addresses)


def _address(table: _Table, model: ModelConfig) -> AddressConfig:
    url = table.text("base_url")
    variable = _variable(table.text("api_key_env"), table.where, "api_key_env", "SECOND_OPENAI_API_KEY", "the key")
    weight = table.take("weight", float)
    table.finish()
    if url is None and variable is None:
        raise ConfigError(f"{table.where}: give another base_url or another api_key_env, or both.")
    if weight is not None and weight <= 0:
        raise ConfigError(f"{table.where}: weight must be above 0, got {weight:g}.")
    # A key is for the address that it was issued by, so another address does not get the model's.
    key = variable if variable is not None or url is not None else model.api_key_env
    return AddressConfig(_base_url(url, table.where) if url else model.base_url, key, weight or 1.0)


def _fallbacks(names: tuple[str, ...], models: Mapping[str, ModelConfig], where: str) -> None:
    for name in names:
        _one_of(name, models, f"{where}: fallbacks")


def _price(table: _Table) -> Price | None:
    keys = ("usd_per_million_input_tokens", "usd_per_million_output_tokens")
    values = [table.take(key, float) for key in keys]
    cached = table.take("usd_per_million_cached_input_tokens", float)
    cache_write = table.take("usd_per_million_cache_write_tokens", float)
    if all(value is None for value in (*values, cached, cache_write)):
        return None
    for key, value in zip(keys, values, strict=True):
        if value is None:
            raise ConfigError(f"{table.where}: {key} is missing: a price needs both.")
    usd_in, usd_out = cast("list[float]", values)
    try:
        return Price(usd_in, usd_out, cached, cache_write)
    except InvalidValueError as error:
        raise ConfigError(f"{table.where}: {error}") from error


def _route(name: str, table: _Table, models: Mapping[str, ModelConfig], folder: Path) -> RouteConfig:
    router = table.required_text("router")
    strong = table.required_text("strong")
    weak = table.required_text("weak")
    threshold = table.take("threshold", float)
    strong_fraction = table.take("strong_fraction", float)
    query = table.text("query") or "conversation"
    strip_boilerplate = table.truth("strip_boilerplate", True)
    fallbacks = table.texts("fallbacks", ())
    sticky = table.truth("sticky", True)
    table.finish()
    _fallbacks(fallbacks, models, table.where)
    _one_of(query, get_args(QueryPolicy), f"{table.where}: query")
    for key, model in (("strong", strong), ("weak", weak)):
        _one_of(model, models, f"{table.where}: {key}")
    if (threshold is None) == (strong_fraction is None):
        raise ConfigError(
            f"{table.where}: give either threshold or strong_fraction (the share of queries for the strong "
            f"model, in [0, 1]), {'not both' if threshold is not None else 'for example strong_fraction = 0.3'}."
        )
    if strong_fraction is not None and not 0 <= strong_fraction <= 1:
        hint = f" For {strong_fraction:g} % write {strong_fraction / 100:g}." if strong_fraction <= 100 else ""
        raise ConfigError(f"{table.where}: strong_fraction must be in [0, 1], got {strong_fraction:g}.{hint}")
    try:
        pair = ModelPair(strong=strong, weak=weak)
    except InvalidValueError as error:
        raise ConfigError(f"{table.where}: {error}") from error
    in_folder = folder / Path(router).expanduser()
    return RouteConfig(
        name=name,
        router=str(in_folder) if in_folder.exists() else router,
        pair=pair,
        threshold=threshold,
        strong_fraction=strong_fraction,
        query=cast("QueryPolicy", query),
        strip_boilerplate=strip_boilerplate,
        fallbacks=fallbacks,
        sticky=sticky,
    )


def _one_of(value: str, known: Iterable[str], where: str) -> None:
    known = list(known)
    if value not in known:
        nearest = difflib.get_close_matches(value, known, n=1)
        hint = f" Did you mean '{nearest[0]}'?" if nearest else ""
        raise ConfigError(f"{where} must be one of {', '.join(known) or '(none)'}, got '{value}'.{hint}")


def _variable(name: str | None, where: str, key: str, example: str, secret: str) -> str | None:
    # What does not look like a variable's name may be the secret itself, so it is not shown.
    if name is not None and not _VARIABLE_NAME.match(name):
        raise ConfigError(
            f"{where}: {key} must be the name of an environment variable, such as {example} "
            f"(letters, digits and _), and not {secret} itself."
        )
    return name


def _base_url(url: str, where: str) -> str:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or any(character.isspace() for character in url):
        raise ConfigError(f'{where}: base_url must be an address such as "https://api.openai.com/v1".')
    if parts.username or parts.password:
        raise ConfigError(f"{where}: base_url must hold no user or password. Use api_key_env.")
    if parts.query or parts.fragment:
        raise ConfigError(f"{where}: base_url must end with a path such as /v1, without '?' or '#'.")
    return url.rstrip("/")
