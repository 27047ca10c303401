import hashlib
import sys

import numpy as np
import pytest

from turnout.encoders import static
from turnout.encoders.static import StaticEncoder, Vocabulary
from turnout.errors import ArtifactError, InvalidValueError
from turnout.types import Encoder

TEXTS = [
    "What is the capital of France?",
    "def f(xs):\n    return sorted(xs, key=lambda x: -x)",
    r"Evaluate $\int_0^1 \frac{1}{1+x^2} dx$",
    "写一首关于春天的诗",
    "Как приготовить борщ?",
    "🙂",
    "x" * 3_000,
    "Zyxxqh blorptangle 987654321",
]


@pytest.fixture(scope="module")
def encoder():
    return StaticEncoder()


def test_meets_the_protocol(encoder):
    assert isinstance(encoder, Encoder)
    assert encoder.encode([]).shape == (0, encoder.dim)
    assert encoder.identity == StaticEncoder().identity


def test_every_kind_of_text_has_a_vector_of_length_one(encoder):
    vectors = encoder.encode([*TEXTS, "", " \n\t"])
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), [1] * len(TEXTS) + [0, 0], atol=1e-5)


def test_texts_without_a_known_word_still_differ(encoder):
    vectors = encoder.encode(
        ["写一首关于春天的诗", "量子力学的基本原理", "Zyxxqh", "blorptangle", "987654321", "123454321"]
    )
    similarities = vectors @ vectors.T - np.eye(len(vectors))
    assert similarities.max() < 0.95


def test_batch_equals_singles_to_the_bit(encoder):
    singles = np.concatenate([encoder.encode([text]) for text in reversed(TEXTS)])[::-1]
    np.testing.assert_array_equal(encoder.encode(TEXTS), singles)


def test_meaning_brings_texts_together(encoder):
    near = [
        ("How do I cook pasta?", "recipe for boiling spaghetti"),
        ("Sort a list in Python", "order the elements of an array in code"),
        ("symptoms of a heart attack", "chest pain and other cardiac signs"),
        ("solve the equation for x", "algebra: find the unknown variable"),
    ]
    vectors = encoder.encode([text for pair in near for text in pair])
    similarities = vectors[::2] @ vectors[1::2].T
    assert (similarities.argmax(axis=1) == np.arange(len(near))).all()


def test_wrapped_texts_still_differ_by_their_question(encoder):
    wrapper = "You are a helpful assistant. Read the passage and answer with care. " * 300
    first, second = encoder.encode([f"{wrapper}What is the boiling point of water?", f"{wrapper}Who wrote Hamlet?"])
    assert not np.allclose(first, second, atol=1e-3)


def test_words_change_identity_with_settings(encoder):
    assert StaticEncoder(max_tokens=64).identity != encoder.identity


def test_max_tokens_out_of_range_is_refused():
    with pytest.raises(InvalidValueError, match="max_tokens must be at least 2, got 1"):
        StaticEncoder(max_tokens=1)


def test_damaged_weights_are_refused(tmp_path):
    path = tmp_path / "static.safetensors"
    content = bytearray(static.WEIGHTS.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ArtifactError, match=r"expected .*install turnout again"):
        static._load(path)


def test_the_shipped_file_is_small_and_the_one_that_is_named():
    content = static.WEIGHTS.read_bytes()
    assert hashlib.sha256(content).hexdigest() == static.WEIGHTS_SHA256
    assert len(content) < 8_000_000


def test_known_words_have_a_row_and_others_share_the_rows_of_their_letters():
    vocabulary = Vocabulary(["alpha", "beta"], n_buckets=16)
    assert vocabulary.features_of("Beta alpha BETA", max_tokens=10) == ([1, 0, 1], [])
    rows, shares = vocabulary.features_of("beta gamma alpha", max_tokens=10)
    assert rows[:2] == [1, 0]
    assert len(rows[2:]) == 5 + 4 + 3 == len(shares)  # <gamma> has 5 runs of 3, 4 of 4 and 3 of 5 letters
    assert min(rows[2:]) >= 2
    assert max(rows) < 18
    assert sum(shares) == pytest.approx(1)


def test_what_is_remembered_of_unknown_words_is_bounded(monkeypatch):
    monkeypatch.setattr(static, "_CACHED_TOKENS", 10)
    vocabulary = Vocabulary(["alpha"], n_buckets=16)
    first = vocabulary.features_of("unseen", max_tokens=10)
    for number in range(100):
        vocabulary.features_of(f"{number}", max_tokens=10)
    assert len(vocabulary._spelled) == 10
    assert vocabulary.features_of("unseen", max_tokens=10) == first


def test_an_unknown_word_is_remembered_in_few_bytes():
    vocabulary = Vocabulary(["cat"], n_buckets=1_000_000)
    vocabulary.features_of("abcdefghij" * 5, max_tokens=10)  # 50 letters, as many as are looked at, 140 runs of them
    (rows,) = vocabulary._spelled.values()
    assert len(rows) > 20
    assert sys.getsizeof(rows) < 8 * len(rows) + 200


def test_the_vector_is_the_weighted_sum_of_the_rows(encoder):
    text = "The quick brown zyxxqh"
    rows, shares = encoder._vocabulary.features_of(text, max_tokens=64)
    table = encoder._table.astype(np.float64) * encoder._scales[:, np.newaxis]
    total = np.array([1.0] * (len(rows) - len(shares)) + shares) @ table[rows]
    np.testing.assert_allclose(encoder.encode([text])[0], total / np.linalg.norm(total), atol=1e-5)
