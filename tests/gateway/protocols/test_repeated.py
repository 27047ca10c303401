"""What is decided on and what is forwarded are the same request, even where a body gives a field twice."""

from __future__ import annotations

import json
import time
import timeit
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from provider_answers import MESSAGE_TEXT, RESPONSE_TEXT
from running_gateway import Start
from scripted_provider import Provider, answer, plain

from turnout.gateway.protocols import base, openai_embeddings, openai_responses
from turnout.gateway.protocols.repeated import READ, repeated_field

EASY = '[{"role": "user", "content": "an easy one"}]'
HARD = '[{"role": "user", "content": "a hard one"}]'
KEYS = st.sampled_from(["n", "model", "text", "seed", 'a"n', "n\\", "é", "n:"])
VALUES = st.recursive(
    st.none() | st.sampled_from(["n", '"n": 1', '\\"n": ', "text"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (f'{{"model": "small", "model": "auto", "messages": {EASY}}}', "model"),
        (f'{{"model": "auto", "messages": {EASY}, "messages": {HARD}}}', "messages"),
        (f'{{"model": "auto", "max_tokens": 9, "messages": {EASY}, "max_tokens" : 1}}', "max_tokens"),
        (f'{{"model": "auto", "messages": {EASY}, "stream": false, "str\\u0065am": false}}', "stream"),
        (f'{{"\\u006dodel": "small", "model": "auto", "messages": {EASY}}}', "model"),
    ],
    ids=["model", "messages", "max_tokens", "escaped-second", "escaped-first"],
)
async def test_a_field_that_is_read_and_given_twice_is_refused_by_name(
    provider: Provider, start: Start, body: str, field: str
) -> None:
    gateway = await start()
    status, _, said = await gateway.post(body.encode())
    assert (status, said["error"]["code"], said["error"]["param"]) == (400, "repeated_field", field)
    assert f"'{field}' is given twice" in said["error"]["message"]
    assert not provider.requests, "nothing was spent"


async def test_other_fields_are_the_providers_business_and_pass_to_the_byte(provider: Provider, start: Start) -> None:
    gateway = await start()
    nested = '"metadata": {"model": 1, "model": 2, "stream": 3}'
    body = f'{{"model": "auto", "seed": 1, "messages": {EASY}, "seed": 2.0, {nested}}}'.encode()
    status, _, _ = await gateway.post(body)
    assert status == 200
    assert provider.requests[0].raw == body.replace(b'"auto"', b'"small"')


def escaped(text: str, which: Callable[[int], bool]) -> str:
    """JSON's way to write a text, with those letters as escapes of which `which` says so by their place."""
    return "".join(
        f"\\u{ord(letter):04x}" if which(place) else json.dumps(letter)[1:-1] for place, letter in enumerate(text)
    )


@given(
    st.lists(st.tuples(KEYS, VALUES), max_size=6),
    st.sampled_from([lambda place: False, lambda place: place == 0, lambda place: place % 2 == 1, lambda place: True]),
)
def test_a_field_is_found_exactly_if_it_stands_twice_at_the_top(
    fields: list[tuple[str, Any]], which: Callable[[int], bool]
) -> None:
    def written(value: Any) -> str:
        if isinstance(value, str):
            return f'"{escaped(value, which)}"'
        if isinstance(value, dict):
            return "{" + ", ".join(f"{written(key)}: {written(inner)}" for key, inner in value.items()) + "}"
        return f"[{', '.join(map(written, value))}]" if isinstance(value, list) else json.dumps(value)

    raw = ("{" + ", ".join(f"{written(key)}: {written(value)}" for key, value in fields) + "}").encode()
    names = [key for key, _ in fields]
    repeated = {name for name in names if names.count(name) > 1 and name in READ}
    found = repeated_field(raw, orjson.loads(raw))
    assert (found in repeated) if repeated else (found is None), raw


def test_a_long_text_of_escapes_costs_no_more_than_reading_it() -> None:
    raw = b'{"n": 1, "text": "' + rb"\u0061" * 400_000 + b'"}'
    body = orjson.loads(raw)

    def least_s(work: Callable[[], object]) -> float:
        return min(timeit.repeat(work, timer=time.process_time, number=1, repeat=5))

    assert repeated_field(raw, body) is None
    assert least_s(lambda: repeated_field(raw, body)) < 15 * least_s(lambda: orjson.loads(raw))


class Noting(dict[str, Any]):
    """A body that notes which of its fields are read."""

    noted: set[str]

    def get(self, key: Any, default: Any = None) -> Any:
        self.noted.add(key)
        return super().get(key, default)

    def __getitem__(self, key: Any) -> Any:
        self.noted.add(key)
        return super().__getitem__(key)

    def __contains__(self, key: Any) -> bool:
        self.noted.add(key)
        return super().__contains__(key)


async def test_whatever_is_read_of_a_body_is_among_the_fields_that_may_stand_only_once(
    provider: Provider, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted: set[str] = set()

    def noting(raw: bytes) -> Noting:
        body = Noting(orjson.loads(raw))
        body.noted = noted
        return body

    for module in (base, openai_responses, openai_embeddings):
        monkeypatch.setattr(module, "parse_object", noting)
    lacking = {
        "base_url": provider.base_url,
        "tools": False,
        "images": False,
        "json_schema": False,
        "context_window": 9_999,
    }
    models = {
        "chat": {"base_url": provider.base_url},
        "weak": lacking,
        "anthropic": {"base_url": provider.base_url, "protocol": "anthropic"},
        "weak-anthropic": {**lacking, "protocol": "anthropic"},
        "native": {"base_url": provider.base_url, "native_responses": True},
        "weak-native": {**lacking, "native_responses": True},
    }
    pairs = {"a": ("chat", "weak"), "b": ("anthropic", "weak-anthropic"), "c": ("native", "weak-native")}
    routes = {
        name: {"router": "fake", "strong": strong, "weak": weak, "threshold": 0.5}
        for name, (strong, weak) in pairs.items()
    }
    gateway = await start(models=models, routes=routes)
    turns = json.loads(EASY)
    for path, reply, body in (
        ("chat/completions", answer(), {"model": "a", "messages": turns}),
        ("messages", MESSAGE_TEXT, {"model": "b", "messages": turns, "max_tokens": 9}),
        ("responses", RESPONSE_TEXT, {"model": "c", "input": turns}),
        ("responses", RESPONSE_TEXT, {"model": "c", "input": "an easy one"}),
        ("embeddings", {"data": [], "usage": {}}, {"model": "chat", "input": "an easy one"}),
    ):
        provider.default = plain(reply)
        async with gateway.http.post(f"{gateway.url}/{path}", json=body) as response:
            assert response.status == 200, await response.text()
    assert {"model", "messages", "input", "max_tokens", "text", "tools", "user", "store"} <= noted
    assert noted <= READ
