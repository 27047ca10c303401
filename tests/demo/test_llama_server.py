"""The real local models behind the real gateway, where the extra is installed and the weights were pulled."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import aiohttp
import pytest
from openai import AsyncOpenAI
from running_gateway import KeywordRouter

from turnout import ModelPair, Policy, Route
from turnout.demo.local_models import LOCAL_MODELS
from turnout.demo.models import PAPER_PAIR
from turnout.demo.run import ask_all, demo_gateway

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        find_spec("xllamacpp") is None or not all(model.files.is_pulled for model in LOCAL_MODELS),
        reason="needs turnout[local-models] and: turnout demo --local-models --pull",
    ),
]


async def test_both_answer_through_the_gateway_and_only_to_it(tmp_path: Path) -> None:
    from turnout.demo.llama_server import local_models

    router = KeywordRouter()
    router.pair_ = ModelPair("big", "small")
    route = Route(router, Policy(router.pair_, threshold=0.5))
    queries = ["Is this hard? What is the capital of Italy?", "Say hello.", "Name a hard stone.", "What is 2 + 3?"]
    async with local_models(PAPER_PAIR) as (strong, weak):
        async with demo_gateway(route, strong, weak, tmp_path / "ledger.sqlite3") as (app, address):
            report = await ask_all(app, address, queries, max_tokens=24)
            async with AsyncOpenAI(base_url=address, api_key="any", max_retries=0) as client:
                answer = await client.chat.completions.create(
                    model=weak.name, messages=[{"role": "user", "content": "What is 2 + 3?"}], max_tokens=24
                )
        async with (
            aiohttp.ClientSession() as http,
            http.post(f"{weak.base_url}/chat/completions", json={"messages": []}) as refused,
        ):
            assert refused.status == 401
    assert [row.model for row in report.rows] == ["SmolLM2-135M", "Gemma-3-270M"] * 2
    for row in report.rows:
        assert row.answer.strip()
        assert 0 < row.output_tokens <= 24
        assert row.cost_usd > 0
    assert "5" in report.rows[3].answer
    assert "\n" not in (answer.choices[0].message.content or "")


async def test_servers_that_are_stopped_at_once_do_stop() -> None:
    from turnout.demo.llama_server import local_models

    for _ in range(3):
        async with local_models(PAPER_PAIR):
            pass
