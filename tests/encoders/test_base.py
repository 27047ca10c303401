import time

import numpy as np

from turnout.encoders.base import tokens_of, unit_rows


def test_words_numbers_signs_and_other_scripts_are_tokens():
    assert tokens_of(r"\frac{1}{2} Übung snake_case 量子 ∑", max_tokens=100) == [
        "\\", "frac", "{", "1", "}", "{", "2", "}", "übung", "snake", "_", "case", "量子", "∑",
    ]  # fmt: skip


def test_a_long_text_keeps_both_ends():
    text = " ".join(f"w{n}" for n in range(100_000))
    tokens = tokens_of(text, max_tokens=10)
    assert tokens == ["w", "0", "w", "1", "w", "99997", "w", "99998", "w", "99999"]


def test_a_huge_text_takes_no_longer_than_a_long_one():
    start = time.process_time()
    tokens_of("word " * 10_000_000, max_tokens=1024)
    assert time.process_time() - start < 0.5


def test_unit_rows_does_not_depend_on_the_batch():
    vectors = np.random.default_rng(0).normal(size=(257, 192)).astype(np.float32)
    singles = np.concatenate([unit_rows(row[np.newaxis]) for row in vectors])
    np.testing.assert_array_equal(unit_rows(vectors), singles)


def test_ascii_texts_are_cut_like_any_other():
    text = "Prove that f_1(x) >= 10**3 for ALL x; then\treturn {'a': 1.5e-3}\x0b\x1c#!"
    assert tokens_of(text, max_tokens=100) == tokens_of(f"{text} é", max_tokens=100)[:-1]
