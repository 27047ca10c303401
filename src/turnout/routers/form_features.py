"""The form of a query, whatever it is about: how long it is, how much of it is numbers or code, how it asks."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import numpy as np

from turnout.types import FloatArray

_READ = 8_000  # characters, half of them from either end: the time is bounded
_WORD = re.compile(r"[^\W\d_]+")
_NUMBER = re.compile(r"\d+")
_CODE = re.compile(r"[{}()\[\]<>=;_#\\/*+^|~`$]")
_OPTION = re.compile(r"^\s*\(?[A-J][.)]\s", re.MULTILINE)

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

    >>> dict(zip(FORM_FEATURES, form_features(["Is 7 prime?"])[0].round(2).tolist()))["has a question mark"]
    1.0
    """
    return np.array([_row(query) for query in queries], dtype=np.float64).reshape(len(queries), len(FORM_FEATURES))


def _row(query: str) -> list[float]:
    text = query if len(query) <= _READ else query[: _READ // 2] + query[-_READ // 2 :]
    n = max(len(text), 1)
    words = _WORD.findall(text)
    return [
        math.log1p(len(query)),
        math.log1p(len(words)),
        math.log1p(text.count("\n")),
        math.log1p(len(_NUMBER.findall(text))),
        min(sum(map(len, words)) / max(len(words), 1), 20.0),
        sum(map(str.isdigit, text)) / n,
        len(_CODE.findall(text)) / n,
        sum(map(str.isupper, text)) / n,
        0.0 if text.isascii() else sum(character > "\x7f" for character in text) / n,
        float("?" in text),
        math.log1p(len(_OPTION.findall(text))),
    ]
