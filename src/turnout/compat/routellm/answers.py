"""Answers as objects: `answer.choices[0].message.content`, as OpenAI's and LiteLLM's clients give them."""

from __future__ import annotations

from typing import Any

from turnout.types import JSON

_OFTEN_LEFT_OUT = frozenset(
    {
        "annotations", "audio", "content", "finish_reason", "function_call", "id", "logprobs", "name",
        "reasoning_content", "refusal", "role", "service_tier", "system_fingerprint", "tool_calls", "usage",
    }
)  # fmt: skip
"""Fields that providers leave out where they have nothing to say: None then, as in the clients."""


class Answer(dict[str, Any]):
    """A JSON object whose keys are attributes too.

    >>> Answer(choices=[{"message": {"content": "Paris."}}]).choices[0].message.content
    'Paris.'
    """

    def __getattr__(self, name: str) -> Any:
        if name in self:
            return _as_answer(self[name])
        if name in _OFTEN_LEFT_OUT:
            return None
        raise AttributeError(f"This answer has no '{name}'. It has: {', '.join(self)}.")

    def model_dump(self) -> dict[str, JSON]:
        """The plain dict."""
        return dict(self)


def _as_answer(value: Any) -> Any:
    if isinstance(value, dict):
        return value if isinstance(value, Answer) else Answer(value)
    return [_as_answer(item) for item in value] if isinstance(value, list) else value
