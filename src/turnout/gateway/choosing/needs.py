"""What a request needs of a model, and why a model cannot take it. Asked before any win rate counts.

What the configuration does not say of a model it is thought to be able to do. Tokens are estimated, since each model
counts its own: high (three bytes of the request a token, everything counted) to tell who surely has room, and low (ten
bytes a token) to tell who surely has none.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any

from turnout.config import ModelConfig
from turnout.gateway.choosing.language import possible_languages
from turnout.gateway.errors import RequestError
from turnout.gateway.limits.worst_case import BYTES_A_TOKEN, bytes_and_files, estimated_input_tokens
from turnout.gateway.protocols.base import ModelRequest

ROOM_FOR_ANSWER = 1_024
"""Tokens that are kept free for an answer where the client sets no limit."""

TOO_LONG = "has too small a context window"

_MOST_BYTES_A_TOKEN = 10
_MOST_SHOWN = 60
"""Characters of a field's name."""

_FILE_WORD = b"base64"
_IMAGE_WORDS = (b'"image_url"', b'"input_image"', b'"image"')
_IMAGE_TYPES = frozenset({"image_url", "input_image", "image"})
_TOOL_WORDS = (b'"tool_calls"', b'"tool_use"', b'"function_call"', b'"custom_tool_call"')


class Needs:
    """What one request needs; each need is looked for only when a model is asked about that lacks it."""

    def __init__(self, request: ModelRequest, query: str) -> None:
        self._request = request
        self._query = query

    def unmet_by(self, model: ModelConfig) -> str | None:
        """Why this model cannot take the request, or None. That it may be too long is said only if nothing else is."""
        if not model.tools and self.tools:
            return "takes no tools"
        if not model.images and self.images:
            return "takes no images"
        if not model.json_schema and self.json_schema:
            return "takes no json_schema"
        if model.languages and self.languages is not None and self.languages.isdisjoint(model.languages):
            return f"is not for this language ({' or '.join(sorted(self.languages))})"
        if (field := self._untranslatable(model)) is not None:
            # The name may be the client's own, and the reason goes into a header.
            is_plain = 0 < len(field) <= _MOST_SHOWN and field.isascii() and field.isprintable()
            shown = f"'{field}'" if is_plain else "a field"
            return f"cannot be given {shown}"
        if model.context_window is not None and not self._surely_fits(model.context_window):
            return TOO_LONG
        return None

    def may_fit(self, model: ModelConfig) -> bool:
        """Whether it cannot be ruled out that the request fits into this model's context window."""
        if model.context_window is None:
            return True
        length, _ = bytes_and_files(self._request.raw)
        return length // _MOST_BYTES_A_TOKEN + (self._request.max_output_tokens() or 1) <= model.context_window

    @property
    def tokens(self) -> int:
        """The high estimate of what is read and what may be written."""
        return estimated_input_tokens(self._request.raw) + self._output_tokens

    @cached_property
    def tools(self) -> bool:
        """Whether tools are offered, or were called before."""
        body, raw = self._request.body, self._request.raw
        return bool(body.get("tools") or body.get("functions")) or any(word in raw for word in _TOOL_WORDS)

    @cached_property
    def images(self) -> bool:
        """Whether there is an image anywhere in the conversation."""
        body = self._request.body
        return any(word in self._request.raw for word in _IMAGE_WORDS) and any(
            part.get("type") in _IMAGE_TYPES for key in ("messages", "input") for part in _parts(body.get(key))
        )

    @cached_property
    def json_schema(self) -> bool:
        """Whether the answer has to follow a JSON schema."""
        body = self._request.body
        text, output = body.get("text"), body.get("output_config")
        formats = (
            body.get("response_format"),
            text.get("format") if isinstance(text, dict) else None,
            output.get("format") if isinstance(output, dict) else body.get("output_format"),
        )
        return any(isinstance(found, dict) and found.get("type") == "json_schema" for found in formats)

    @cached_property
    def languages(self) -> frozenset[str] | None:
        """What the user may be writing in; None where that cannot be told."""
        return possible_languages(self._query)

    def _untranslatable(self, model: ModelConfig) -> str | None:
        """The field that cannot go over into the protocol of the provider, if that is another one."""
        try:
            if self._request.protocol.bridge_to(model).translates:
                self._request.made_for(model)  # the call will want it, too
        except RequestError as error:
            return error.param or ""
        return None

    def _surely_fits(self, context_window: int) -> bool:
        raw = self._request.raw
        # Looking for files takes a hundred times as long as looking for the word that stands before each.
        if _FILE_WORD not in raw and len(raw) // BYTES_A_TOKEN + 1 + self._output_tokens <= context_window:
            return True
        return self.tokens <= context_window

    @cached_property
    def _output_tokens(self) -> int:
        return self._request.max_output_tokens() or ROOM_FOR_ANSWER


def _parts(value: Any) -> Iterator[dict[str, Any]]:
    """Every object inside messages or items, without recursion: bodies may be nested as deep as they like."""
    waiting = [value]
    while waiting:
        found = waiting.pop()
        if isinstance(found, dict):
            yield found
            waiting += (part for part in found.values() if isinstance(part, dict | list))
        elif isinstance(found, list):
            waiting += (part for part in found if isinstance(part, dict | list))
