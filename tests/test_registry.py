from importlib.metadata import EntryPoint

import pytest

from turnout import registry
from turnout.errors import InvalidValueError, UnknownNameError
from turnout.routers.base import Router


def test_built_in_routers_come_in_by_the_plugin_door() -> None:
    assert {"random", "always-strong", "always-weak", "knn", "mf"} <= set(registry.names("router"))
    assert issubclass(registry.load("router", "random"), Router)


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match=r"No router named 'randon'\. Did you mean 'random'\?"):
        registry.load("router", "randon")


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="No kind of plugin named 'rooter'. Did you mean 'router'?"):
        registry.names("rooter")


def test_two_packages_with_one_name_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    both = [EntryPoint("same", value, "turnout.routers") for value in ("one:Router", "two:Router")]
    monkeypatch.setattr(registry, "entry_points", lambda group: both)
    registry._entries.cache_clear()
    try:
        with pytest.raises(InvalidValueError, match="'same': one:Router and two:Router"):
            registry.names("router")
    finally:
        registry._entries.cache_clear()
