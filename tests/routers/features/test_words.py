import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnout.routers.features.words import N_BUCKETS, HashedWords, words_of

QUERIES = ["the cat", "the cat sat", "the dog", "a bird"]


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


def test_what_occurs_n_times_counts_1_and_the_logarithm_of_n() -> None:
    _, values = words_of("sun sun sun")  # the word thrice, the pair twice
    expected = np.array([1 + math.log(3), 1 + math.log(2)])
    assert sorted(values, reverse=True) == pytest.approx(expected / np.linalg.norm(expected))


def test_both_ends_of_a_long_text_are_read() -> None:
    filler = "lorem ipsum " * 5_000
    assert set(words_of("zebra " + filler)[0]) != set(words_of(filler)[0])
    assert set(words_of(filler + " zebra")[0]) != set(words_of(filler)[0])


def test_what_two_queries_hold_is_known() -> None:
    words = HashedWords.of(QUERIES, most=10)
    assert len(words) == 3  # the, cat, "the cat"
    assert sorted(words.rarity) == pytest.approx([1 + math.log(5 / 4), 1 + math.log(5 / 3), 1 + math.log(5 / 3)])
    assert (np.diff(words.hashes) > 0).all()


def test_the_commonest_are_kept() -> None:
    assert HashedWords.of(QUERIES, most=1).rarity.tolist() == [1 + math.log(5 / 4)]
    assert len(HashedWords.of(QUERIES, most=0)) == len(HashedWords.of([], most=5)) == 0


def test_features_worked_by_hand() -> None:
    words = HashedWords.of(["one", "one", "two", "two", "two"], most=10)
    columns, values = words.features_of("TWO unknown one two")
    rare, common = 1 + math.log(6 / 3), 1 + math.log(6 / 4)
    raw = {rare: rare, common: (1 + math.log(2)) * common}
    expected = np.array([raw[rarity] for rarity in words.rarity[columns]])
    np.testing.assert_allclose(values, expected / np.linalg.norm(expected))


def test_a_query_of_unknown_words_has_no_features() -> None:
    columns, values = HashedWords.of(QUERIES, most=10).features_of("zebra \udc00")
    assert len(columns) == len(values) == 0
