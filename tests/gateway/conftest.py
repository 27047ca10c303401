"""Fixtures: a scripted provider, and a gateway in front of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from running_gateway import KeywordRouter, RunningGateway, Start, running
from scripted_provider import Provider

from turnout import ModelPair, Router


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    async with Provider() as provider:
        yield provider


@pytest.fixture
async def start(provider: Provider, tmp_path: Path) -> AsyncIterator[Start]:
    """Start a gateway in front of the provider: route 'auto' between 'big' and 'small', threshold 0.5.

    Keyword arguments add to or replace the configuration's tables; `router` replaces the router.
    """
    async with AsyncExitStack() as stack:

        async def start(*, router: Router | None = None, **tables: dict[str, Any]) -> RunningGateway:
            config: dict[str, Any] = {
                "ledger": {"path": "ledger.sqlite3", "query_text": "full", **tables.pop("ledger", {})},
                "upstream": {"longest_retry_wait_s": 0.05, **tables.pop("upstream", {})},
                "models": {
                    "big": {
                        "base_url": provider.base_url,
                        "api_key_env": "PROVIDER_KEY",
                        "upstream_model": "provider/big-1",
                        "usd_per_million_input_tokens": 10.0,
                        "usd_per_million_output_tokens": 30.0,
                    },
                    "small": {
                        "base_url": provider.base_url,
                        "usd_per_million_input_tokens": 1.0,
                        "usd_per_million_output_tokens": 2.0,
                    },
                },
                "routes": {"auto": {"router": "fake", "strong": "big", "weak": "small", "threshold": 0.5}},
            } | tables
            fake = router or KeywordRouter()
            if not hasattr(fake, "pair_"):
                fake.pair_ = ModelPair("big", "small")
            return await stack.enter_async_context(running(config, tmp_path, {"fake": fake}))

        yield start
