from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnout.gateway.protocols.splice import provider_body, top_level_values

KEYS = st.sampled_from(["model", "mo\\del", 'a"model', "stream_options", "messages", "é", "", "x"])
LEAVES = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8) | st.just('"model": "x"')
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=10
)
BODIES = st.builds(
    lambda fields, model, place: dict([*(items := list(fields.items()))[:place], ("model", model), *items[place:]]),
    st.dictionaries(KEYS.filter(lambda key: key != "model"), VALUES, max_size=5),
    st.text(max_size=8),
    st.integers(0, 5),
)


@given(BODIES, st.text(max_size=8), st.sampled_from([None, 1]), st.booleans())
def test_only_the_models_name_changes_whatever_else_there_is(
    body: dict[str, Any], new: str, indent: int | None, ascii_only: bool
) -> None:
    raw = json.dumps(body, indent=indent, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    parsed = orjson.loads(raw)
    sent = json.loads(provider_body(raw, parsed, model=new, count_usage=False))
    assert sent == {**parsed, "model": new}
    assert list(sent) == list(parsed)


@given(BODIES, st.none() | VALUES)
def test_streams_are_told_to_count_tokens_and_keep_their_other_options(body: dict[str, Any], options: Any) -> None:
    if options is not None:
        body = {**body, "stream_options": options}
    raw = json.dumps(body).encode()
    sent = json.loads(provider_body(raw, orjson.loads(raw), model="m", count_usage=True))
    given_options = body.get("stream_options")
    kept = given_options if isinstance(given_options, dict) else {}
    assert sent == {**body, "model": "m", "stream_options": {**kept, "include_usage": True}}


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b'{"mod\\u0065l": "auto", "x": {"model": "y"}}', b'{"mod\\u0065l": "M", "x": {"model": "y"}}'),
        (b'{"x": {"model": "y"}, "model" :\n"auto"}', b'{"x": {"model": "y"}, "model" :\n"M"}'),
        (b'{"model": "auto", "model": "other"}', b'{"model": "M", "model": "M"}'),
        (b'{"a\\"model": "z", "model": "auto"}', b'{"a\\"model": "z", "model": "M"}'),
        (b'{"model":"a\\"b","n":1e400}', b'{"model":"M","n":1e400}'),
    ],
    ids=["escaped-name", "nested-name", "given-twice", "quote-before-name", "quote-in-value"],
)
def test_names_that_could_be_mistaken(raw: bytes, expected: bytes) -> None:
    assert provider_body(raw, json.loads(raw), model="M", count_usage=False) == expected


def test_options_that_already_ask_for_usage_are_left_alone() -> None:
    raw = b'{"model":"a","stream_options":{"include_usage":true , "x":1.0}}'
    assert provider_body(raw, json.loads(raw), model="a", count_usage=True) == raw


def test_top_level_values_are_found_behind_nesting_and_escapes() -> None:
    raw = b'{"a": {"b": [1, "}\\"]"]}, "c": "d,e" , "f": -1.5e3}'
    found = {key: [raw[start:end] for start, end in places] for key, places in top_level_values(raw).items()}
    assert found == {"a": [b'{"b": [1, "}\\"]"]}'], "c": [b'"d,e" '], "f": [b"-1.5e3"]}
