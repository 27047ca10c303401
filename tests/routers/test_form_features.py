import math

import numpy as np
import pytest

from turnout.routers.form_features import FORM_FEATURES, form_features


def form_of(query: str) -> dict[str, float]:
    return dict(zip(FORM_FEATURES, form_features([query])[0].tolist(), strict=True))


def test_a_question_with_options() -> None:
    form = form_of("Is 17 or 21 prime?\nA. 17\nB. 21")
    assert form["has a question mark"] == 1
    assert form["log answer options"] == pytest.approx(math.log1p(2))
    assert form["log lines"] == pytest.approx(math.log1p(2))
    assert form["log numbers"] == pytest.approx(math.log1p(4))
    assert form["share of digits"] == pytest.approx(8 / 30)


def test_code_and_scripts_are_told_apart() -> None:
    assert form_of("def f(x): return x[0] == {}")["share of code signs"] > 0.2
    assert form_of("write a poem")["share of code signs"] == 0
    assert form_of("你好")["share of characters beyond ASCII"] == 1
    assert form_of("SHOUT")["share of capitals"] == 1


def test_long_texts_are_read_at_both_ends_and_measured_whole() -> None:
    form = form_of("7" * 10_000 + "a" * 100_000 + "?")
    assert form["log characters"] == pytest.approx(math.log1p(110_001))
    assert form["share of digits"] == 0.5
    assert form["has a question mark"] == 1


def test_nothing_is_all_zeros() -> None:
    np.testing.assert_array_equal(form_features([""]), np.zeros((1, len(FORM_FEATURES))))
    assert form_features([]).shape == (0, len(FORM_FEATURES))
