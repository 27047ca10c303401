import time
from email.utils import formatdate

import pytest

from turnout.call_limits import Retries, TimeLimits, parse_retry_after
from turnout.errors import InvalidValueError


def test_waits_double_with_jitter_up_to_a_bound() -> None:
    retries = Retries(most=10, first_wait_s=1.0, longest_wait_s=5.0)
    for retry in range(10):
        waits = [retries.wait_s(retry, None) for _ in range(50)]
        assert all(wait is not None and 0 <= wait <= min(5.0, 2.0**retry) for wait in waits)
        assert len(set(waits)) > 1
    assert retries.wait_s(10, None) is None
    assert retries.wait_s(0, 6.0) is None


def test_limits_that_are_none_are_refused() -> None:
    with pytest.raises(InvalidValueError, match="connect_s"):
        TimeLimits(connect_s=0)
    with pytest.raises(InvalidValueError, match="at least 0"):
        Retries(most=-1)


def test_retry_after_takes_seconds_and_dates() -> None:
    in_ten_seconds = parse_retry_after(formatdate(time.time() + 10, usegmt=True))
    assert in_ten_seconds is not None
    assert 8 <= in_ten_seconds <= 10
    assert parse_retry_after("-5") == 0.0
    assert parse_retry_after("nan") is None
    assert parse_retry_after("inf") is None
