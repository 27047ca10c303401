from collections.abc import Mapping, Sequence
from typing import Any, Literal

import pytest

from turnout import registry
from turnout.cli.settings import parse_settings
from turnout.errors import InvalidValueError


class Thing:
    def __init__(
        self,
        *,
        size: int = 1,
        rate: float | None = None,
        wide: bool = False,
        model: str = "",
        key: str | None = None,
        kind: Literal["a", "b"] = "a",
        parts: Sequence[Literal["x", "y"]] = ("x",),
        table: Mapping[str, int] | None = None,
        free: Any = None,
    ) -> None: ...


@pytest.mark.parametrize(
    ("pair", "value"),
    [
        ("size=3", 3),
        ("rate=2", 2),
        ("rate=1e-3", 0.001),
        ("rate=null", None),
        ("rate=None", None),
        ("wide=true", True),
        ("model=gpt-4o", "gpt-4o"),
        ("model=3.5", "3.5"),
        ("model=a=b", "a=b"),
        ("key=None", None),
        ("kind=b", "b"),
        ('parts=["y", "x"]', ["y", "x"]),
        ('table={"a": 1}', {"a": 1}),
        ("free=[1, null]", [1, None]),
    ],
)
def test_a_value_is_read_as_what_the_setting_is(pair: str, value: object) -> None:
    (read,) = parse_settings("thing", Thing, [pair]).values()
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(
    ("pair", "problem"),
    [
        ("size=big", "size of the thing must be a whole number, got big"),
        (f"size={'9' * 5000}", "size of the thing must be a whole number, got 999"),
        (f"size={'[' * 100_000}", "size of the thing must be a whole number, got [[["),
        ("size=1.5", "size of the thing must be a whole number, got 1.5"),
        ("size=true", "size of the thing must be a whole number, got true"),
        ("size=None", "size of the thing must be a whole number, got None"),
        ("rate=[1]", "rate of the thing must be a number or None, got [1]"),
        ("wide=1", "wide of the thing must be true or false, got 1"),
        ("kind=c", "kind of the thing must be a or b, got c"),
        ("parts=x", "parts of the thing must be a list in JSON, each x or y, got x"),
        ('parts=["z"]', "parts of the thing must be a list in JSON, each x or y"),
        ("table=3", "table of the thing must be an object in JSON or None, got 3"),
    ],
)
def test_a_value_of_another_type_is_refused_with_what_is_expected(pair: str, problem: str) -> None:
    with pytest.raises(InvalidValueError) as refused:
        parse_settings("thing", Thing, [pair])
    assert problem in str(refused.value)


def test_annotations_that_cannot_be_read_check_nothing() -> None:
    def plugin(size: int = 1) -> None: ...

    plugin.__annotations__ = {"size": "NowhereToBeFound"}
    assert parse_settings("plugin", plugin, ["size=abc"]) == {"size": "abc"}


@pytest.mark.parametrize("name", ["knn", "linear", "mf", "sw", "cluster", "conditional-bt", "irt"])
def test_no_setting_of_a_router_takes_any_text(name: str) -> None:
    router_class = registry.load("router", name)
    settings = set(router_class.__init__.__annotations__) - {"encoder", "return"}
    assert settings
    for setting in settings:
        with pytest.raises(InvalidValueError, match=f"{setting} of the router"):
            parse_settings(f"router '{name}'", router_class, [f"{setting}=any text"])
