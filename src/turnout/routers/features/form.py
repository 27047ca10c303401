"""The form of a query, whatever it is about: how long it is, how much of it is numbers or signs, how it asks.

Two sets of measures. Those of `form_of` have fixed scales, so that weights learned on different data can be added;
those of `form_features` are raw, for a router that learns their scales.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import numpy as np

from turnout.types import FloatArray

_WORD = re.compile(r"[^\W\d_]+")
_CAPITALISED = re.compile(r"\b[A-Z]")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_DIGITS = re.compile(r"\d+")
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
    """The measures of a text's form, each within three of its spreads, shape (N_FORM,): a vector of length about 1.

    Of a text of more than 4,000 characters both ends are read.
    """
    text = _ends(text, 4_000, between="\n")
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


FORM_FEATURES = (
    "log characters",
    "log words",
    "log lines",
    "log numbers",
    "mean word length",
    "share of digits",
    "share of code signs",
    "share of capitals",
    "share of characters beyond ASCII",
    "has a question mark",
    "log answer options",
)


def form_features(queries: Sequence[str]) -> FloatArray:
    """One row a query with the columns of FORM_FEATURES, each about between 0 and 10, shape (n_queries, 11).

    Of a query of more than 8,000 characters both ends are read.

    >>> dict(zip(FORM_FEATURES, form_features(["Is 7 prime?"])[0].round(2).tolist()))["has a question mark"]
    1.0
    """
    return np.array([_row(query) for query in queries], dtype=np.float64).reshape(len(queries), len(FORM_FEATURES))


def _row(query: str) -> list[float]:
    text = _ends(query, 8_000)
    n = max(len(text), 1)
    words = _WORD.findall(text)
    return [
        math.log1p(len(query)),
        math.log1p(len(words)),
        math.log1p(text.count("\n")),
        math.log1p(len(_DIGITS.findall(text))),
        min(sum(map(len, words)) / max(len(words), 1), 20.0),
        len(_DIGIT.findall(text)) / n,
        len(_SIGN.findall(text)) / n,
        sum(map(str.isupper, text)) / n,
        0.0 if text.isascii() else sum(character > "\x7f" for character in text) / n,
        float("?" in text),
        math.log1p(len(_OPTION.findall(text))),
    ]


def _ends(text: str, most: int, *, between: str = "") -> str:
    """The text, or if it has more characters, half as many from either end: the time is bounded."""
    return text if len(text) <= most else f"{text[: most // 2]}{between}{text[-(most // 2) :]}"
