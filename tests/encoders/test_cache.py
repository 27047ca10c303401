import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import numpy as np
import pytest

from turnout.encoders.cache import CachedEncoder
from turnout.encoders.hashing import HashingEncoder
from turnout.errors import ArtifactError, InvalidValueError
from turnout.types import Encoder


class CountingEncoder(HashingEncoder):
    def __init__(self, **settings):
        super().__init__(**settings)
        self.asked = []

    def encode(self, texts):
        self.asked += texts
        return super().encode(texts)


def test_keeps_name_identity_dim_and_vectors_of_the_encoder_within():
    inner = HashingEncoder(dim=16)
    cached = CachedEncoder(inner)
    assert isinstance(cached, Encoder)
    assert (cached.name, cached.identity, cached.dim) == (inner.name, inner.identity, inner.dim)
    texts = ["a", "b", "a", ""]
    np.testing.assert_array_equal(cached.encode(texts), inner.encode(texts))
    np.testing.assert_array_equal(cached.encode(texts), inner.encode(texts))
    assert cached.encode([]).shape == (0, 16)


def test_several_may_open_a_new_file_together(tmp_path):
    for number in range(50):
        with ThreadPoolExecutor(4) as threads:
            path = tmp_path / f"{number}.sqlite3"
            list(threads.map(lambda path: CachedEncoder(HashingEncoder(dim=8), path=path), [path] * 4))


def test_no_text_is_encoded_twice():
    inner = CountingEncoder()
    cached = CachedEncoder(inner)
    cached.encode(["a", "b", "a"])
    cached.encode(["b", "c"])
    assert inner.asked == ["a", "b", "c"]
    assert (cached.hits, cached.misses) == (2, 3)


def test_what_was_used_longest_ago_leaves_first():
    inner = CountingEncoder()
    cached = CachedEncoder(inner, capacity=2)
    for text in ["a", "b", "a", "c", "a", "b"]:
        cached.encode([text])
    assert inner.asked == ["a", "b", "c", "b"]


def test_a_batch_larger_than_the_cache_is_answered_whole():
    cached = CachedEncoder(HashingEncoder(dim=16), capacity=1)
    texts = [str(n) for n in range(50)]
    np.testing.assert_array_equal(cached.encode(texts), HashingEncoder(dim=16).encode(texts))


def test_changing_an_answer_does_not_change_the_cache():
    cached = CachedEncoder(HashingEncoder(dim=16))
    cached.encode(["a"])[:] = 7
    np.testing.assert_array_equal(cached.encode(["a"]), HashingEncoder(dim=16).encode(["a"]))


def test_the_file_outlives_the_encoder(tmp_path):
    path = tmp_path / "folder" / "vectors.sqlite3"
    texts = [f"text {n}" for n in range(1_200)]
    first = CachedEncoder(CountingEncoder(), path=path)
    expected = first.encode(texts)
    first.close()
    inner = CountingEncoder()
    second = CachedEncoder(inner, path=path)
    np.testing.assert_array_equal(second.encode(texts), expected)
    assert inner.asked == []
    second.close()


def test_encoders_sharing_a_file_do_not_mix(tmp_path):
    path = tmp_path / "vectors.sqlite3"
    one, two = CachedEncoder(HashingEncoder(seed=1), path=path), CachedEncoder(HashingEncoder(seed=2), path=path)
    one.encode(["hello"])
    np.testing.assert_array_equal(two.encode(["hello"]), HashingEncoder(seed=2).encode(["hello"]))
    one.close()
    two.close()


def test_the_file_holds_no_text(tmp_path):
    path = tmp_path / "vectors.sqlite3"
    cached = CachedEncoder(HashingEncoder(), path=path)
    cached.encode(["my secret question"])
    cached.close()
    assert b"secret" not in path.read_bytes()


def test_a_damaged_file_is_named(tmp_path):
    path = tmp_path / "vectors.sqlite3"
    path.write_bytes(b"this is no database" * 100)
    with pytest.raises(ArtifactError, match=r"vectors\.sqlite3: not a cache of vectors.*Name another file"):
        CachedEncoder(HashingEncoder(), path=path)
    assert path.read_bytes() == b"this is no database" * 100


def test_a_folder_is_no_place_for_vectors(tmp_path):
    with pytest.raises(ArtifactError, match="vectors cannot be kept there.*Name another file"):
        CachedEncoder(HashingEncoder(), path=tmp_path)


def test_a_file_that_others_keep_locked_is_not_called_damaged(tmp_path, monkeypatch):
    monkeypatch.setattr("turnout.encoders.cache._BUSY_S", 0.01)
    path = tmp_path / "vectors.sqlite3"
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(ArtifactError, match=r"vectors cannot be kept there \(database is locked\)") as caught:
            CachedEncoder(HashingEncoder(), path=path)
    assert "delete" not in str(caught.value)


def test_a_stored_vector_of_another_length_is_an_error(tmp_path):
    path = tmp_path / "vectors.sqlite3"
    cached = CachedEncoder(HashingEncoder(dim=16), path=path)
    cached.encode(["a"])
    cached.close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE vectors SET vector = x'00000000'")
    connection.close()
    damaged = CachedEncoder(HashingEncoder(dim=16), path=path)
    with pytest.raises(ArtifactError, match="has 1 numbers, expected 16"):
        damaged.encode(["a"])
    damaged.close()


def test_threads_share_one_cache(tmp_path):
    cached = CachedEncoder(HashingEncoder(dim=16), capacity=40, path=tmp_path / "vectors.sqlite3")
    texts = [str(n) for n in range(100)]
    expected = HashingEncoder(dim=16).encode(texts)

    def ask(start):
        order = [(start + n) % 100 for n in range(100)]
        return np.array_equal(cached.encode([texts[n] for n in order]), expected[order])

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, range(32)))
    cached.close()


def test_negative_capacity_is_refused():
    with pytest.raises(InvalidValueError, match="capacity must be at least 0, got -1"):
        CachedEncoder(HashingEncoder(), capacity=-1)
