"""How long a call may take, when it is worth another try, and how long to wait before that."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime

from turnout.errors import InvalidValueError


@dataclass(frozen=True, slots=True)
class TimeLimits:
    """How long a provider may take, in seconds, for each step of a call."""

    connect_s: float = 5.0
    """To accept a connection."""
    first_byte_s: float = 300.0
    """To begin an answer. A plain answer begins only when all of it is written, hence minutes."""
    between_chunks_s: float = 60.0
    """From one piece of an answer to the next."""
    whole_s: float = 900.0
    """From first to last, retries included."""

    def __post_init__(self) -> None:
        for name in ("connect_s", "first_byte_s", "between_chunks_s", "whole_s"):
            if not getattr(self, name) > 0:
                raise InvalidValueError(f"{name} must be a number of seconds above 0, got {getattr(self, name)}.")


@dataclass(frozen=True, slots=True)
class Retries:
    """When a call is tried again: only before the first byte of an answer, so nothing is said twice.

    A refused or broken connection always counts as worth a retry; an HTTP status does if it is listed.
    """

    most: int = 2
    statuses: frozenset[int] = frozenset({408, 429, 500, 502, 503, 504})
    first_wait_s: float = 0.5
    longest_wait_s: float = 30.0

    def __post_init__(self) -> None:
        if self.most < 0:
            raise InvalidValueError(f"most must be at least 0 retries, got {self.most}.")

    def wait_s(self, retry: int, retry_after_s: float | None) -> float | None:
        """Seconds to wait before this retry (counted from 0), or None if it is not worth waiting.

        What the provider asks for is kept to, with up to a tenth more so that clients spread out; if it is
        longer than `longest_wait_s` there is no retry. Otherwise the wait doubles, with full jitter.
        """
        if retry >= self.most:
            return None
        if retry_after_s is not None:
            return retry_after_s * random.uniform(1.0, 1.1) if retry_after_s <= self.longest_wait_s else None
        return random.uniform(0.0, min(self.longest_wait_s, self.first_wait_s * 2**retry))


def parse_retry_after(value: str | None) -> float | None:
    """Seconds from a Retry-After header, which holds seconds or a date; None if it holds neither.

    >>> parse_retry_after("1.5"), parse_retry_after("soon"), parse_retry_after(None)
    (1.5, None, None)
    """
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            date = parsedate_to_datetime(value)
        except ValueError:
            return None
        seconds = date.replace(tzinfo=date.tzinfo or UTC).timestamp() - time.time()
    return max(0.0, seconds) if seconds == seconds and seconds != float("inf") else None
