import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnout.routers.text_features import _MEASURES, N_BUCKETS, N_FORM, form_of, words_of


@given(st.text(max_size=300))
def test_every_text_has_a_form_within_three_spreads(text: str) -> None:
    form = form_of(text)
    assert form.shape == (N_FORM,)
    assert np.isfinite(form).all()
    assert np.abs(form).max() <= 3 / np.sqrt(N_FORM) + 1e-12


@given(st.text(max_size=300))
def test_words_are_a_vector_of_length_one_or_nothing(text: str) -> None:
    buckets, values = words_of(text)
    assert len(set(buckets.tolist())) == len(buckets) == len(values)
    assert all(0 <= bucket < N_BUCKETS for bucket in buckets)
    assert values @ values == pytest.approx(1.0 if text.split() else 0.0)


def test_case_and_white_space_do_not_change_words() -> None:
    first, second = words_of("Prove  it NOW"), words_of("prove it\nnow")
    assert np.array_equal(first[0], second[0])
    assert np.array_equal(first[1], second[1])


def test_the_order_of_words_counts() -> None:
    assert set(words_of("dog bites man")[0]) != set(words_of("man bites dog")[0])


def test_both_ends_of_a_long_text_are_read() -> None:
    filler = "lorem ipsum " * 5_000
    plain = form_of(filler + "one two three")
    assert not np.array_equal(plain, form_of(filler + "1 2 3"))
    assert not np.array_equal(plain, form_of("1 2 3" + filler + "one two three"))
    assert set(words_of("zebra " + filler)[0]) != set(words_of(filler)[0])
    assert set(words_of(filler + " zebra")[0]) != set(words_of(filler)[0])


def test_options_are_counted() -> None:
    bare = form_of("Which is a river?")
    listed = form_of("Which is a river?\nA. Rhine\nB. Alps\nC. Rome\nD. Oslo")
    options = list(_MEASURES).index("options")
    assert listed[options] - bare[options] == pytest.approx(4 / 10 / 0.45 / np.sqrt(N_FORM))
