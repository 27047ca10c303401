"""What a router sees of a query besides its meaning: its form (length, numbers, signs, options) and its words.

Both are fixed functions of the text: nothing is learned, so that weights learned on different data can be added.
"""

from __future__ import annotations

import functools
import math
import re
import zlib

import numpy as np

from turnout.encoders.base import tokens_of
from turnout.types import FloatArray, IntArray

N_BUCKETS = 2**14
"""How many weights all words and pairs of words share."""

_LONGEST = 4_000  # characters: of a longer text both ends are read
_MAX_TOKENS = 256
_PAIRING = 1_000_003  # a prime: "a b" and "b a" fall into different buckets
_WORD = re.compile(r"[^\W\d_]+")
_CAPITALISED = re.compile(r"\b[A-Z]")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_DIGIT = re.compile(r"\d")
_SIGN = re.compile(r"[{}()\[\]<>=;_#\\/*+^|~`$]")
_OPTION = re.compile(r"(?m)^[ \t]*\(?[A-J][.)][ \t]")
_NUMERIC_OPTION = re.compile(r"[^A-Za-z]*\d[\d.,]*[^A-Za-z]{0,4}[A-Za-z/%°^]{0,6}")

_MEASURES: dict[str, tuple[float, float]] = {
    "characters, log": (5.5, 0.9),
    "words, log": (3.8, 0.8),
    "lines, log": (1.6, 0.9),
    "numbers, log": (1.1, 1.3),
    "numbers a word": (0.12, 0.22),
    "letters a word": (4.3, 0.8),
    "share of words of eight letters or more": (0.14, 0.09),
    "share of different words": (0.72, 0.17),
    "share of capitalised words": (0.18, 0.14),
    "share of digits": (0.04, 0.06),
    "share of signs": (0.04, 0.06),
    "signs, log": (1.6, 1.6),
    "share of characters beyond ASCII": (0.0, 0.03),
    "a question mark": (0.5, 0.5),
    "a blank or an open end": (0.1, 0.3),
    "options": (0.3, 0.45),
    "characters before the options, log": (5.2, 0.8),
    "characters an option, log": (1.3, 1.7),
    "share of numeric options": (0.14, 0.34),
    "mathematical markup": (0.25, 0.43),
    "digits of the longest number": (1.7, 2.5),
}
"""Measure → what it is centred on and scaled by: round numbers near the mean and the spread over many kinds of prompts.
"""

N_FORM = len(_MEASURES)
_CENTRE = np.array([centre for centre, _ in _MEASURES.values()])
_SCALE = np.array([scale for _, scale in _MEASURES.values()]) * math.sqrt(N_FORM)
_BOUND = 3.0 / math.sqrt(N_FORM)


def form_of(text: str) -> FloatArray:
    """The measures of a text's form, each within three of its spreads, shape (N_FORM,): a vector of length about 1."""
    if len(text) > _LONGEST:
        text = f"{text[: _LONGEST // 2]}\n{text[-_LONGEST // 2 :]}"
    words = _WORD.findall(text)
    numbers = _NUMBER.findall(text)
    options = _OPTION.split(text)
    listed = options[1:]
    n_characters, n_words, n_listed = max(len(text), 1), max(len(words), 1), max(len(listed), 1)
    n_signs = len(_SIGN.findall(text))
    end = text.rstrip()[-1:]
    measures = (
        math.log1p(len(text)),
        math.log1p(len(words)),
        math.log1p(text.count("\n") + 1),
        math.log1p(len(numbers)),
        len(numbers) / n_words,
        sum(map(len, words)) / n_words,
        sum(len(word) >= 8 for word in words) / n_words,
        len({word.lower() for word in words}) / n_words,
        len(_CAPITALISED.findall(text)) / n_words,
        len(_DIGIT.findall(text)) / n_characters,
        n_signs / n_characters,
        math.log1p(n_signs),
        0.0 if text.isascii() else 1 - len(text.encode("ascii", "ignore")) / n_characters,
        float("?" in text),
        float("__" in text or end in (":", ",")),
        min(len(listed), 10) / 10,
        math.log1p(len(options[0])),
        math.log1p(sum(map(len, listed)) / n_listed),
        sum(_NUMERIC_OPTION.fullmatch(option.strip()) is not None for option in listed) / n_listed,
        float("\\" in text or "$" in text),
        float(max(map(len, numbers), default=0)),
    )
    form: FloatArray = np.clip((np.array(measures) - _CENTRE) / _SCALE, -_BOUND, _BOUND)
    return form


def words_of(text: str) -> tuple[IntArray, FloatArray]:
    """(buckets, values) of a text's words and pairs of neighbouring words: a sparse vector of length 1 (or 0).

    What occurs n times counts 1 + log n. Of a text of more than 256 words and signs both ends are read.

    >>> buckets, values = words_of("to be or not to be")
    >>> len(buckets), float(np.round(values @ values, 6))
    (8, 1.0)
    """
    hashes = np.array(list(map(_hash, tokens_of(text, max_tokens=_MAX_TOKENS))), dtype=np.int64)
    pairs = hashes[:-1] * _PAIRING + hashes[1:]
    buckets, counts = np.unique(np.concatenate([hashes, pairs]) % N_BUCKETS, return_counts=True)
    values: FloatArray = 1.0 + np.log(counts)
    return buckets, values / math.sqrt(max(float(values @ values), 1.0))


@functools.lru_cache(maxsize=50_000)
def _hash(token: str) -> int:
    return zlib.crc32(token.encode("utf-8", "surrogatepass"))
