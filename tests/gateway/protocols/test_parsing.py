"""Whatever a client sends, parsing and translating it end with a result or with a 400, never otherwise."""

from __future__ import annotations

import re
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from turnout.config import ModelConfig
from turnout.gateway.choosing.needs import Needs
from turnout.gateway.errors import RequestError
from turnout.gateway.protocols.base import ClientProtocol
from turnout.gateway.protocols.openai_chat import OPENAI_CHAT
from turnout.gateway.protocols.spoken import PROTOCOLS
from turnout.query import query_of

PROVIDERS = [
    ModelConfig("a", "http://a/v1", upstream_model="provider/a"),
    ModelConfig("b", "http://b/v1", upstream_model="provider/b", protocol="anthropic"),
    ModelConfig("c", "http://c/v1", upstream_model="provider/c", native_responses=True),
    ModelConfig("d", "", upstream_model="provider/d", protocol="litellm"),
]
WORDS = re.findall(
    r"\w+",
    """
    model messages input role content type text user assistant system tool tool_calls tool_use tool_result
    tool_call_id tool_use_id function function_call function_call_output name arguments id call_id output image
    image_url source url base64 media_type data stream stream_options include_usage max_tokens tools tool_choice
    auto response_format json_schema schema output_config format thinking instructions input_text output_text
    input_image parameters input_schema temperature stop reasoning effort include n logit_bias file file_data
    document message
    """,
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 2**62),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=4),
)
LIKELY = st.one_of(st.sampled_from(WORDS), SCALARS)
KEYS = st.one_of(st.sampled_from(WORDS), st.text(max_size=3))
VALUES = st.recursive(
    LIKELY,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=4)),
    max_leaves=12,
)
# Objects that look like turns and parts get further in than any others.
PARTS = st.fixed_dictionaries({}, optional=dict.fromkeys(("type", "text", "source", "image_url", "input"), VALUES))
TURNS = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant", "tool", "system"])},
    optional={
        "content": st.one_of(st.text(max_size=4), st.lists(PARTS, max_size=3), VALUES),
        "tool_calls": VALUES,
        "type": VALUES,
        "tool_call_id": VALUES,
    },
)
BODIES = st.fixed_dictionaries(
    {"model": st.sampled_from(["auto", 'a\u00e9\\"', "x"])},
    optional={
        "messages": st.one_of(st.lists(TURNS, min_size=1, max_size=3), VALUES),
        "input": st.one_of(st.text(max_size=4), st.lists(TURNS, max_size=3), VALUES),
        **dict.fromkeys(
            (
                "max_tokens",
                "tools",
                "tool_choice",
                "response_format",
                "text",
                "include",
                "reasoning",
                "system",
                "instructions",
                "output_config",
                "stop",
                "new",
            ),
            VALUES,
        ),
        "stream": st.booleans(),
        "stream_options": VALUES,
    },
)


def check_refusal(protocol: ClientProtocol, error: RequestError) -> None:
    """It is a 400 that names a field, unless the body is no JSON object, and can be told in the client's words."""
    assert error.status == 400
    assert error.param is not None or error.code in ("invalid_json", "invalid_type")
    assert orjson.loads(protocol.error_body(error))["error"]["message"]


def handled(protocol: ClientProtocol, raw: bytes) -> bool:
    """Whether all that is done before a provider is called works on this body, as far as it must."""
    try:
        request = protocol.parse(raw)
    except RequestError as error:
        check_refusal(protocol, error)
        return False
    assert isinstance(query_of(request.turns()), str)
    limit = request.max_output_tokens()
    assert limit is None or limit >= 0
    for model in PROVIDERS:
        reason = Needs(request, "").unmet_by(model) or ""
        assert re.fullmatch(r"[ -~]*", reason), "it goes into a header"
        try:
            body = protocol.bridge_to(model).body(request, model)
        except RequestError as error:
            check_refusal(protocol, error)
            continue
        assert orjson.loads(body)["model"] == model.upstream_model
    return True


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda protocol: protocol.name)
@settings(max_examples=60)
@given(raw=st.one_of(st.binary(max_size=40), VALUES.map(orjson.dumps)))
def test_rubbish(protocol: ClientProtocol, raw: bytes) -> None:
    handled(protocol, raw)


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda protocol: protocol.name)
@settings(max_examples=150)
@given(body=BODIES)
def test_what_looks_like_a_request(protocol: ClientProtocol, body: dict[str, Any]) -> None:
    handled(protocol, orjson.dumps(body))


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda protocol: protocol.name)
def test_a_plain_request_gets_through(protocol: ClientProtocol) -> None:
    turns = [{"role": "user", "content": "Hi"}]
    fields = {"input": turns} if protocol.name in ("responses", "embeddings") else {"messages": turns}
    assert handled(protocol, orjson.dumps({"model": "auto", **fields}))


def test_a_body_for_a_provider_is_made_once_until_it_is_let_go() -> None:
    request = OPENAI_CHAT.parse(b'{"model": "auto", "messages": [{"role": "user", "content": "Hi"}]}')
    first, again = request.made_for(PROVIDERS[0]), request.made_for(PROVIDERS[0])
    assert first is again
    assert request.made_for(PROVIDERS[1])[1] != first[1], "each model has its own"
    request.forget_made()
    assert request.made_for(PROVIDERS[0]) is not first
