from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from turnout.config import ModelConfig
from turnout.gateway.limits.worst_case import DEFAULT_OUTPUT_TOKENS, IMAGE_TOKENS, estimated_input_tokens, worst_case
from turnout.gateway.protocols.openai_chat import OPENAI_CHAT
from turnout.gateway.protocols.openai_embeddings import OPENAI_EMBEDDINGS
from turnout.pricing import Price

PRICED = ModelConfig("m", "http://a", price=Price(10, 30))
CAPPED = ModelConfig("m", "http://a", price=Price(10, 30), max_output_tokens=500)
FREE = ModelConfig("m", "http://a")


@pytest.mark.parametrize(
    ("model", "fields", "output_tokens"),
    [
        (PRICED, {}, DEFAULT_OUTPUT_TOKENS),
        (CAPPED, {}, 500),
        (CAPPED, {"max_tokens": 100}, 100),
        (CAPPED, {"max_completion_tokens": 7, "max_tokens": 100}, 100),
        (CAPPED, {"max_tokens": "1000"}, 1000),
        (CAPPED, {"max_tokens": 1e3, "best_of": 2}, 2000),
        (CAPPED, {"max_tokens": 1e308, "n": 2**63}, 10**9),
        (CAPPED, {"max_tokens": 100, "n": 3}, 300),
        (CAPPED, {"max_tokens": -5, "n": "many"}, 500),
    ],
)
def test_the_output_is_what_the_request_or_the_model_allows(
    model: ModelConfig, fields: dict[str, Any], output_tokens: int
) -> None:
    raw = json.dumps({"model": "m", "messages": [{"role": "user", "content": "Hi"}], **fields}).encode()
    worst = worst_case(OPENAI_CHAT.parse(raw), model)
    assert worst.output_tokens == output_tokens
    assert worst.input_tokens == -(-len(raw) // 3)
    assert worst.tokens == worst.input_tokens + output_tokens
    assert worst.usd == pytest.approx((worst.input_tokens * 10 + output_tokens * 30) / 1e6)


def test_a_model_without_a_price_costs_nothing() -> None:
    raw = json.dumps({"model": "m", "messages": [{"role": "user", "content": "Hi"}]}).encode()
    assert worst_case(OPENAI_CHAT.parse(raw), FREE).usd == 0


@pytest.mark.parametrize(("cache_write", "usd_per_million"), [(12.5, 12.5), (5.0, 10.0), (None, 10.0)])
def test_all_of_the_input_may_go_into_a_prompt_cache(cache_write: float | None, usd_per_million: float) -> None:
    model = ModelConfig("m", "http://a", price=Price(10, 30, usd_per_million_cache_write_tokens=cache_write))
    worst = worst_case(OPENAI_EMBEDDINGS.parse(b'{"model": "m", "input": "Hi"}'), model)
    assert worst.usd == pytest.approx(worst.input_tokens * usd_per_million / 1e6)


def test_embeddings_write_nothing() -> None:
    assert worst_case(OPENAI_EMBEDDINGS.parse(b'{"model": "m", "input": "Hi"}'), CAPPED).output_tokens == 0


@pytest.mark.parametrize("form", ["data:image/png;base64,{}", "{}"])
def test_pictures_count_by_the_piece_and_not_by_their_bytes(form: str) -> None:
    picture = form.format(base64.b64encode(bytes(range(256)) * 2_000).decode())
    text = "word " * 1_000
    raw = json.dumps({"a": picture, "b": text, "c": picture}).encode()
    rest = len(raw) - 2 * (len(picture) + 2)
    assert estimated_input_tokens(raw) == -(-rest // 3) + 2 * IMAGE_TOKENS


def test_long_text_is_no_picture() -> None:
    raw = json.dumps({"content": "A long story. " * 5_000}).encode()
    assert estimated_input_tokens(raw) == -(-len(raw) // 3)
