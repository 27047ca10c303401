import numpy as np
import pytest

from turnout.encoders.hashing import HashingEncoder
from turnout.errors import InvalidValueError
from turnout.types import Encoder


def test_meets_the_protocol():
    assert isinstance(HashingEncoder(), Encoder)


def test_rows_have_length_one_and_an_empty_text_is_zero():
    vectors = HashingEncoder(dim=32).encode(["Prove it.", "", " \n", "def f(x): return x"])
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), [1, 0, 0, 1], atol=1e-6)


def test_no_texts_give_no_rows():
    assert HashingEncoder(dim=32).encode([]).shape == (0, 32)


def test_batch_equals_singles_to_the_bit():
    encoder = HashingEncoder()
    texts = ["What is 2 + 2?", "naïve café", "x" * 5000, "量子力学とは何ですか"]
    singles = np.concatenate([HashingEncoder().encode([text]) for text in texts])
    np.testing.assert_array_equal(encoder.encode(texts), singles)


def test_vectors_are_the_same_on_every_machine():
    vector = HashingEncoder(dim=8).encode(["Which number is prime?"])[0]
    expected = [0.04272, 0.632286, -0.180963, 0.0, -0.585608, -0.180963, 0.015767, -0.435556]
    np.testing.assert_allclose(vector, expected, atol=1e-6)


def test_similar_texts_are_nearer_than_others():
    a, b, c = HashingEncoder().encode(
        ["Sort a list of numbers in Python", "How do I sort lists in python?", "Who painted the Mona Lisa"]
    )
    assert a @ b > a @ c + 0.2


def test_another_seed_gives_other_vectors_and_another_identity():
    one, two = HashingEncoder(seed=1), HashingEncoder(seed=2)
    assert one.identity != two.identity
    assert not np.array_equal(one.encode(["hello"]), two.encode(["hello"]))


def test_one_string_is_refused():
    with pytest.raises(InvalidValueError, match=r"write \[text\]"):
        HashingEncoder().encode("hello")


def test_bad_dim_is_refused():
    with pytest.raises(InvalidValueError, match="dim must be at least 1, got 0"):
        HashingEncoder(dim=0)
