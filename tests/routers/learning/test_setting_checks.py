from collections.abc import Callable

import pytest

from turnout.errors import InvalidValueError
from turnout.routers.learning.setting_checks import check_above_0, check_at_least_0, check_whole


def test_good_settings_pass() -> None:
    check_whole("k", 1, least=1)
    check_whole("k", None, least=1, chosen=True)
    check_at_least_0("shrinkage", 0)
    check_at_least_0("shrinkage", None, chosen=True)
    check_above_0("strength", 0.1)
    check_above_0("strength", None, chosen=True)


@pytest.mark.parametrize("value", [0, 1.5, "ten", True, None, float("nan")])
def test_what_is_no_whole_number_is_named(value: object) -> None:
    with pytest.raises(InvalidValueError, match=r"^k must be a whole number, at least 1, got "):
        check_whole("k", value, least=1)


@pytest.mark.parametrize("value", ["much", False, float("inf"), float("nan"), -1, [1.0]])
@pytest.mark.parametrize("check", [check_at_least_0, check_above_0])
def test_what_is_no_number_is_named(check: Callable[..., None], value: object) -> None:
    with pytest.raises(InvalidValueError, match="^strength must be a number.*, or None to have it chosen, got "):
        check("strength", value, chosen=True)


def test_0_is_not_above_0() -> None:
    with pytest.raises(InvalidValueError, match="must be a number above 0, got 0"):
        check_above_0("strength", 0)
