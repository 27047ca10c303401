"""A configured model, and the clients that call it at its addresses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count

from turnout.call_limits import Retries
from turnout.chat_client import ChatClient, ConnectionPool
from turnout.config import AddressConfig, Config, ModelConfig
from turnout.errors import ConfigError, MissingExtraError
from turnout.gateway.upstreams.balancing import Address, Balancer
from turnout.gateway.upstreams.breaker import Breaker
from turnout.gateway.upstreams.provider import ProviderClient


@dataclass(frozen=True, slots=True)
class UpstreamModel:
    """A configured model and the addresses that answer for it."""

    config: ModelConfig
    balancer: Balancer
    whole_limit_s: float
    """How long an answer may take from first to last, retries included."""
    api_keys: tuple[bytes, ...]
    """Kept to strike them out of a provider's error, should one repeat them."""

    @property
    def name(self) -> str:
        """What clients and routes call it."""
        return self.config.name

    @property
    def client(self) -> ProviderClient:
        """One of its clients, for what they have in common."""
        return self.balancer.addresses[0].client

    def __repr__(self) -> str:
        return f"UpstreamModel({self.name!r})"


def load_model(
    model: ModelConfig, config: Config, pool: ConnectionPool, environment: Mapping[str, str]
) -> UpstreamModel:
    """The model with a client, a breaker and a limit for each of its addresses.

    Raises:
        ConfigError: a key's variable is not set, or the library that is to call it is not there.
    """
    upstream = config.upstream
    first = AddressConfig(model.base_url, model.api_key_env)
    addresses, keys = [], []
    for number, place in zip(count(1), (first, *model.addresses), strict=False):
        key = model.api_key(environment, variable=place.api_key_env) if place.api_key_env else None
        if key:
            keys.append(key.encode())
        addresses.append(
            Address(
                model.name if number == 1 else f"{model.name}#{number}",
                _client(model, place.base_url, key, config, pool),
                Breaker(failures=upstream.breaker_failures, open_s=upstream.breaker_open_s),
                weight=place.weight,
                max_concurrent=model.max_concurrent or upstream.max_concurrent,
            )
        )
    balancer = Balancer(addresses, max_waiting=upstream.max_waiting, wait_limit_s=upstream.wait_limit_s)
    return UpstreamModel(model, balancer, upstream.limits.whole_s, tuple(keys))


def _client(model: ModelConfig, base_url: str, key: str | None, config: Config, pool: ConnectionPool) -> ProviderClient:
    if model.protocol == "litellm":
        return _litellm_client(model, base_url, key, config)
    return ChatClient(
        base_url,
        api_key=key,
        protocol="anthropic" if model.protocol == "anthropic" else "openai",
        pool=pool,
        limits=config.upstream.limits,
        retries=Retries(most=0),  # `calling` retries, at other addresses too
        max_answer_bytes=config.upstream.max_answer_bytes,
        max_event_bytes=config.upstream.max_event_bytes,
    )


def _litellm_client(model: ModelConfig, base_url: str, key: str | None, config: Config) -> ProviderClient:
    # The library takes seconds to import, so only whoever uses it does.
    from turnout.gateway.upstreams.litellm_client import LiteLLMClient

    try:
        return LiteLLMClient(
            base_url=base_url,
            api_key=key,
            limits=config.upstream.limits,
            max_event_bytes=config.upstream.max_event_bytes,
        )
    except MissingExtraError as error:
        raise ConfigError(f"[models.{model.name}]: {error}") from error
