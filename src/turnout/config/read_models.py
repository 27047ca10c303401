"""Reads [models.NAME]: addresses, prices, what a model can take."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import cast, get_args

from turnout.config.checks import base_url_of, one_of, variable_name
from turnout.config.models import AddressConfig, ModelConfig, ProviderProtocol
from turnout.config.table import Table
from turnout.errors import ConfigError, InvalidValueError
from turnout.pricing import Price

_LANGUAGE = re.compile(r"[a-z]{2,3}\Z")


def read_model(name: str, table: Table) -> ModelConfig:
    """The model in `[models.NAME]`."""
    protocol = table.text("protocol") or "openai"
    one_of(protocol, get_args(ProviderProtocol), f"{table.where}: protocol")
    url = table.text("base_url") if protocol == "litellm" else table.required_text("base_url")
    model = ModelConfig(
        name=name,
        base_url=base_url_of(url, table.where) if url else "",
        api_key_env=variable_name(table.text("api_key_env"), table.where, "api_key_env", "OPENAI_API_KEY", "the key"),
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


def _address(table: Table, model: ModelConfig) -> AddressConfig:
    url = table.text("base_url")
    variable = variable_name(table.text("api_key_env"), table.where, "api_key_env", "SECOND_OPENAI_API_KEY", "the key")
    weight = table.take("weight", float)
    table.finish()
    if url is None and variable is None:
        raise ConfigError(f"{table.where}: give another base_url or another api_key_env, or both.")
    if weight is not None and weight <= 0:
        raise ConfigError(f"{table.where}: weight must be above 0, got {weight:g}.")
    # A key is for the address that it was issued by, so another address does not get the model's.
    key = variable if variable is not None or url is not None else model.api_key_env
    return AddressConfig(base_url_of(url, table.where) if url else model.base_url, key, weight or 1.0)


def _price(table: Table) -> Price | None:
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
