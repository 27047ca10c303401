"""Model names as LiteLLM writes them, `provider/model`, to an OpenAI-compatible address, a key and a name there."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from turnout.errors import ConfigError, InvalidValueError


@dataclass(frozen=True, slots=True)
class Provider:
    """A provider that speaks OpenAI's chat completions."""

    base_url: str | None
    """None if it has no address of its own: then the user gives one."""
    key_variables: tuple[str, ...] = ()
    """Environment variables of the key, the first that is set counts; empty if none is needed."""


PROVIDERS: Mapping[str, Provider] = MappingProxyType(
    {
        "anthropic": Provider("https://api.anthropic.com/v1", ("ANTHROPIC_API_KEY",)),
        "anyscale": Provider("https://api.endpoints.anyscale.com/v1", ("ANYSCALE_API_KEY",)),
        "deepseek": Provider("https://api.deepseek.com/v1", ("DEEPSEEK_API_KEY",)),
        "fireworks_ai": Provider(
            "https://api.fireworks.ai/inference/v1", ("FIREWORKS_AI_API_KEY", "FIREWORKS_API_KEY")
        ),
        "gemini": Provider("https://generativelanguage.googleapis.com/v1beta/openai", ("GEMINI_API_KEY",)),
        "groq": Provider("https://api.groq.com/openai/v1", ("GROQ_API_KEY",)),
        "hosted_vllm": Provider(None),
        "mistral": Provider("https://api.mistral.ai/v1", ("MISTRAL_API_KEY",)),
        "ollama": Provider("http://localhost:11434/v1"),
        "ollama_chat": Provider("http://localhost:11434/v1"),
        "openai": Provider("https://api.openai.com/v1", ("OPENAI_API_KEY",)),
        "openrouter": Provider("https://openrouter.ai/api/v1", ("OPENROUTER_API_KEY",)),
        "perplexity": Provider("https://api.perplexity.ai", ("PERPLEXITYAI_API_KEY", "PERPLEXITY_API_KEY")),
        "together_ai": Provider("https://api.together.xyz/v1", ("TOGETHERAI_API_KEY", "TOGETHER_API_KEY")),
        "xai": Provider("https://api.x.ai/v1", ("XAI_API_KEY",)),
    }
)
"""Prefix → provider."""


@dataclass(frozen=True, slots=True)
class ModelAddress:
    """Where a model answers, and what it is called there."""

    model: str
    base_url: str
    api_key: str | None = field(default=None, repr=False)


def address_of(name: str, *, api_base: str | None = None, api_key: str | None = None) -> ModelAddress:
    """The address of a model's name.

    Args:
        name: `provider/model`; a name without a known provider is OpenAI's, or for `claude-…` Anthropic's.
        api_base: overrides the provider's address, as do PROVIDER_API_BASE and OPENAI_BASE_URL.
        api_key: overrides the environment's.

    Raises:
        ConfigError: the environment variable of the key is not set.
        InvalidValueError: the provider does not speak OpenAI's protocol, or is not known.

    >>> address_of("ollama_chat/llama3", api_base="http://localhost:11434/v1")
    ModelAddress(model='llama3', base_url='http://localhost:11434/v1')
    """
    prefix, slash, rest = name.partition("/")
    if slash and prefix in PROVIDERS:
        model = rest
    elif slash and api_base is None:
        raise InvalidValueError(
            f"'{prefix}' in the model name '{name}' is no provider that can be called here. Known: "
            f"{', '.join(PROVIDERS)}. For another one that speaks OpenAI's protocol give api_base; the gateway can "
            'call any that LiteLLM knows (protocol = "litellm").'
        )
    else:
        prefix, model = ("anthropic" if name.startswith("claude") else "openai"), name
    provider = PROVIDERS[prefix]
    base_url = api_base or _base_from_environment(prefix) or provider.base_url
    if base_url is None:
        raise InvalidValueError(f"'{name}' has no address of its own: give api_base, or set {prefix.upper()}_API_BASE.")
    key = api_key or next((value for name in provider.key_variables if (value := os.environ.get(name))), None)
    if key is None and provider.key_variables and api_base is None:
        raise ConfigError(f"The environment variable {provider.key_variables[0]} is not set; '{name}' needs its key.")
    return ModelAddress(model, base_url, key)


def _base_from_environment(prefix: str) -> str | None:
    value = os.environ.get(f"{prefix.upper()}_API_BASE") or None
    if value is None and prefix == "openai":
        return os.environ.get("OPENAI_BASE_URL") or None
    if value is not None and prefix.startswith("ollama") and not value.rstrip("/").endswith("/v1"):
        return f"{value.rstrip('/')}/v1"  # LiteLLM's address of Ollama is its own protocol's
    return value
