"""All protocols that clients may speak, each at its own path."""

from __future__ import annotations

from turnout.gateway.protocols.anthropic_messages import ANTHROPIC_MESSAGES, ANTHROPIC_TOKEN_COUNT
from turnout.gateway.protocols.base import ClientProtocol
from turnout.gateway.protocols.openai_chat import OPENAI_CHAT
from turnout.gateway.protocols.openai_embeddings import OPENAI_EMBEDDINGS
from turnout.gateway.protocols.openai_responses import OPENAI_RESPONSES

PROTOCOLS: tuple[ClientProtocol, ...] = (
    OPENAI_CHAT,
    OPENAI_RESPONSES,
    OPENAI_EMBEDDINGS,
    ANTHROPIC_MESSAGES,
    ANTHROPIC_TOKEN_COUNT,
)
