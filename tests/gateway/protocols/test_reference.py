"""docs/reference/gateway-protocols.md says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from turnout.config import ModelConfig
from turnout.gateway.errors import RequestError
from turnout.gateway.protocols.base import ClientProtocol
from turnout.gateway.protocols.spoken import PROTOCOLS
from turnout.gateway.protocols.translating.chat_to_messages import request as chat_to_messages
from turnout.gateway.protocols.translating.messages_to_chat import request as messages_to_chat
from turnout.gateway.protocols.translating.responses_to_chat import request as responses_to_chat

PAGE = (Path(__file__).parents[3] / "docs/reference/gateway-protocols.md").read_text(encoding="utf-8")
PROVIDERS = [
    ModelConfig("m", "http://a/v1"),
    ModelConfig("m", "http://a/v1", native_responses=True),
    ModelConfig("m", "http://a/v1", protocol="anthropic"),
    ModelConfig("m", "", protocol="litellm"),
]


@pytest.mark.parametrize(
    ("heading", "translation"),
    [
        ("Chat completions to Anthropic", chat_to_messages),
        ("Messages to OpenAI", messages_to_chat),
        ("Responses to chat completions", responses_to_chat),
    ],
)
def test_what_is_left_out_is_listed(heading: str, translation: object) -> None:
    section = PAGE.split(f"## {heading}")[1].split("\n## ")[0]
    (listed,) = re.findall(r"^Left out: (.*?)\.\n", section, re.MULTILINE | re.DOTALL)
    assert set(re.findall(r"`(\w+)`", listed)) == translation._LEFT_OUT  # type: ignore[attr-defined]


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda protocol: protocol.name)
def test_the_matrix_says_what_carries_each_protocol(protocol: ClientProtocol) -> None:
    (row,) = re.findall(rf"^\| \w+ `POST {protocol.path}` \| (.*) \|$", PAGE, re.MULTILINE)
    for cell, model in zip(row.split(" | "), PROVIDERS, strict=True):
        try:
            found = "translated" if protocol.bridge_to(model).translates else "passed"
        except RequestError as error:
            found = str(error.status)
        assert cell.removesuffix(" to the library") == found
