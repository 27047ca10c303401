"""What a call may come to at most, before it is made."""

from __future__ import annotations

import re
from dataclasses import dataclass

from turnout.config import ModelConfig
from turnout.gateway.protocols.base import MOST, ModelRequest, largest_whole_number

DEFAULT_OUTPUT_TOKENS = 4_096
"""What an answer is thought to have at most, where neither the request nor the model's configuration says."""

IMAGE_TOKENS = 1_600
"""What an image or another file is counted as; providers count large pictures about so."""

BYTES_A_TOKEN = 3
"""English text has about four bytes a token, code and JSON about three; other scripts have more of both."""

_LARGE = 16_384
_FILE = re.compile(rb'"(?:data:[^",]{1,100},)?[A-Za-z0-9+/\\]{2000,}={0,2}"')


@dataclass(frozen=True, slots=True)
class WorstCase:
    """The most that one call is thought to read, write and cost."""

    input_tokens: int
    output_tokens: int
    usd: float
    """0 where the model has no price."""

    @property
    def tokens(self) -> int:
        """Read and written."""
        return self.input_tokens + self.output_tokens


def worst_case(request: ModelRequest, model: ModelConfig) -> WorstCase:
    """The worst case of a request at a model.

    The input is estimated from the body's length, high rather than low; the output is what the request allows, or else
    the most that the model writes.
    """
    input_tokens = estimated_input_tokens(request.raw)
    answers = largest_whole_number(request.body, "n", "best_of") or 1
    allowed = request.max_output_tokens()
    if allowed is None:
        allowed = model.max_output_tokens or DEFAULT_OUTPUT_TOKENS
    output_tokens = min(allowed * answers, MOST)
    usd = 0.0
    if model.price is not None:
        # All of it may go into a prompt cache, where that costs more than reading.
        cache_write = model.price.usd_per_million_cache_write_tokens or 0.0
        written = input_tokens if cache_write > model.price.usd_per_million_input_tokens else 0
        usd = model.price.cost_usd(input_tokens, output_tokens, cache_write_tokens=written)
    return WorstCase(input_tokens, output_tokens, usd)


def estimated_input_tokens(raw: bytes) -> int:
    """About how many tokens a body is to a model; files in base64 count as `IMAGE_TOKENS` each.

    >>> estimated_input_tokens(b'{"messages": [{"role": "user", "content": "Name a river."}]}')
    20
    """
    length, files = bytes_and_files(raw)
    return -(-length // BYTES_A_TOKEN) + files * IMAGE_TOKENS


def bytes_and_files(raw: bytes) -> tuple[int, int]:
    """How long a body is without its files in base64, and how many of those there are."""
    length, files = len(raw), 0
    if length > _LARGE:
        for match in _FILE.finditer(raw):
            files += 1
            length -= match.end() - match.start()
    return length, files
