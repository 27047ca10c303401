"""The stand-in provider, driven by the official client."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest
from openai import AsyncOpenAI, BadRequestError

from turnout.demo.models import PAPER_PAIR
from turnout.demo.stand_in import answer_text, stand_in_models, stand_in_provider
from turnout.types import ModelPair

MESSAGES: Any = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": [{"type": "text", "text": "Name a river."}]},
]
SAID = answer_text("gpt-4o", "Name a river.")


async def test_a_plain_answer_says_that_it_is_a_stand_in_and_counts_its_tokens() -> None:
    async with stand_in_provider() as address, AsyncOpenAI(base_url=address, api_key="any") as client:
        answer = await client.chat.completions.create(model="gpt-4o", messages=MESSAGES)
    assert answer.choices[0].message.content == SAID
    assert "no model was asked" in SAID
    assert (answer.model, answer.choices[0].finish_reason) == ("gpt-4o", "stop")
    assert answer.usage is not None
    # 9 and 13 characters read, 107 written, 4 to a token and each text rounded up.
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (3 + 4, -(-len(SAID) // 4))


async def test_a_stream_says_the_same_and_counts_only_if_asked_to() -> None:
    async with stand_in_provider() as address, AsyncOpenAI(base_url=address, api_key="any") as client:
        for options in ({}, {"stream_options": {"include_usage": True}}):
            chunks = [
                chunk
                async for chunk in await client.chat.completions.create(
                    model="gpt-4o", messages=MESSAGES, stream=True, **options
                )
            ]
            texts = [choice.delta.content or "" for chunk in chunks for choice in chunk.choices]
            assert "".join(texts) == SAID
            assert len(texts) > 10
            assert [chunk.usage.completion_tokens for chunk in chunks if chunk.usage] == (
                [-(-len(SAID) // 4)] if options else []
            )


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"model": "x"}', b'{"model": "x", "messages": ["hello"]}'])
async def test_a_body_that_is_not_a_request_is_an_openai_shaped_error(body: bytes) -> None:
    async with (
        stand_in_provider() as address,
        aiohttp.ClientSession() as http,
        http.post(f"{address}/chat/completions", data=body) as answer,
    ):
        assert answer.status == 400
        assert (await answer.json())["error"]["type"] == "invalid_request_error"


async def test_the_official_client_sees_that_error() -> None:
    async with stand_in_provider() as address, AsyncOpenAI(base_url=address, api_key="any") as client:
        with pytest.raises(BadRequestError, match="must be JSON with 'model' and 'messages'"):
            await client.chat.completions.create(model="x", messages=["hello"])  # type: ignore[list-item]


async def test_the_models_have_the_names_of_one_pair_and_the_prices_of_another() -> None:
    async with stand_in_models(ModelPair("big", "small"), PAPER_PAIR) as (strong, weak):
        assert (strong.name, weak.name) == ("big", "small")
        assert strong.price.usd_per_million_output_tokens == 30
        assert weak.price.usd_per_million_output_tokens == 0.24
