import math

import numpy as np
import pytest

from turnout.routers.hashed_words import HashedWords

QUERIES = ["the cat", "the cat sat", "the dog", "a bird"]


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
