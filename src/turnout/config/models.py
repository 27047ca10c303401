"""One model at one provider, and the addresses that answer for it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from turnout.errors import ConfigError
from turnout.pricing import Price

ProviderProtocol = Literal["openai", "anthropic", "litellm"]
"""What a provider speaks; `litellm` is any provider that the library of that name can call."""


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
