import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnout.routers.features.form import _MEASURES, FORM_FEATURES, N_FORM, form_features, form_of


@given(st.text(max_size=300))
def test_every_text_has_a_form_within_three_spreads(text: str) -> None:
    form = form_of(text)
    assert form.shape == (N_FORM,)
    assert np.isfinite(form).all()
    assert np.abs(form).max() <= 3 / np.sqrt(N_FORM) + 1e-12


def test_both_ends_of_a_long_text_are_read() -> None:
    filler = "lorem ipsum " * 5_000
    plain = form_of(filler + "one two three")
    assert not np.array_equal(plain, form_of(filler + "1 2 3"))
    assert not np.array_equal(plain, form_of("1 2 3" + filler + "one two three"))


def test_every_measure_by_hand() -> None:
    text = "Compute 3.5 + 12 apples, Bob?\nA. 15\nB. none\n"
    listed = ["15\n", "none\n"]
    measured = {
        "characters, log": math.log1p(44),
        "words, log": math.log1p(6),  # Compute, apples, Bob, A, B, none
        "lines, log": math.log1p(4),
        "numbers, log": math.log1p(3),  # 3.5, 12, 15
        "numbers a word": 3 / 6,
        "letters a word": (7 + 6 + 3 + 1 + 1 + 4) / 6,
        "share of words of eight letters or more": 0,
        "share of different words": 1,
        "share of capitalised words": 4 / 6,
        "share of digits": 6 / 44,
        "share of signs": 1 / 44,
        "signs, log": math.log1p(1),
        "share of characters beyond ASCII": 0,
        "a question mark": 1,
        "a blank or an open end": 0,
        "options": 2 / 10,
        "characters before the options, log": math.log1p(30),
        "characters an option, log": math.log1p(sum(map(len, listed)) / 2),
        "share of numeric options": 1 / 2,
        "mathematical markup": 0,
        "digits of the longest number": 3,
    }
    assert list(measured) == list(_MEASURES)
    scaled = [(measured[name] - centre) / scale for name, (centre, scale) in _MEASURES.items()]
    assert form_of(text) == pytest.approx(np.clip(scaled, -3, 3) / math.sqrt(N_FORM))


def test_options_are_counted() -> None:
    bare = form_of("Which is a river?")
    listed = form_of("Which is a river?\nA. Rhine\nB. Alps\nC. Rome\nD. Oslo")
    options = list(_MEASURES).index("options")
    assert listed[options] - bare[options] == pytest.approx(4 / 10 / 0.45 / np.sqrt(N_FORM))


def raw_form_of(query: str) -> dict[str, float]:
    return dict(zip(FORM_FEATURES, form_features([query])[0].tolist(), strict=True))


def test_a_question_with_options() -> None:
    form = raw_form_of("Is 17 or 21 prime?\nA. 17\nB. 21")
    assert form["has a question mark"] == 1
    assert form["log answer options"] == pytest.approx(math.log1p(2))
    assert form["log lines"] == pytest.approx(math.log1p(2))
    assert form["log numbers"] == pytest.approx(math.log1p(4))
    assert form["share of digits"] == pytest.approx(8 / 30)


def test_code_and_scripts_are_told_apart() -> None:
    assert raw_form_of("def f(x): return x[0] == {}")["share of code signs"] > 0.2
    assert raw_form_of("write a poem")["share of code signs"] == 0
    assert raw_form_of("你好")["share of characters beyond ASCII"] == 1
    assert raw_form_of("SHOUT")["share of capitals"] == 1


def test_long_texts_are_read_at_both_ends_and_measured_whole() -> None:
    form = raw_form_of("7" * 10_000 + "a" * 100_000 + "?")
    assert form["log characters"] == pytest.approx(math.log1p(110_001))
    assert form["share of digits"] == 0.5
    assert form["has a question mark"] == 1


def test_nothing_is_all_zeros() -> None:
    np.testing.assert_array_equal(form_features([""]), np.zeros((1, len(FORM_FEATURES))))
    assert form_features([]).shape == (0, len(FORM_FEATURES))
