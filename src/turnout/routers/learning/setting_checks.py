"""Settings out of their range, or of another type than they should be, named before anything is learned."""

from __future__ import annotations

import math

from turnout.errors import InvalidValueError


def check_whole(name: str, value: object, *, least: int, chosen: bool = False) -> None:
    """Raise InvalidValueError unless the setting is a whole number of at least `least`.

    Args:
        name: of the setting.
        value: what it was set to.
        least: the smallest that is allowed.
        chosen: whether it may be None, and is then chosen in `fit`.
    """
    if value is None and chosen:
        return
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise InvalidValueError(f"{name} must be a whole number, at least {least}{_or_none(chosen)}, got {value!r}.")


def check_at_least_0(name: str, value: object, *, chosen: bool = False) -> None:
    """Raise InvalidValueError unless the setting is a number of at least 0; see `check_whole`."""
    if value is None and chosen:
        return
    if not _is_finite(value) or not value >= 0:  # type: ignore[operator]
        raise InvalidValueError(f"{name} must be a number, at least 0{_or_none(chosen)}, got {value!r}.")


def check_above_0(name: str, value: object, *, chosen: bool = False) -> None:
    """Raise InvalidValueError unless the setting is a number above 0; see `check_whole`."""
    if value is None and chosen:
        return
    if not _is_finite(value) or not value > 0:  # type: ignore[operator]
        raise InvalidValueError(f"{name} must be a number above 0{_or_none(chosen)}, got {value!r}.")


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _or_none(chosen: bool) -> str:
    return ", or None to have it chosen" if chosen else ""
