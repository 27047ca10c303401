"""Which test queries a router may have met in training: the same text, a near copy, or one that says the same.

The paper drops an evaluation item whose embedding has a cosine of 0.95 or more to a training item's (section 4.1).
That number belongs to its embedding. Ours are set for each encoder by `benchmarks/duplicate_threshold.py`, and near
copies are found by the words that two texts share, whatever the encoder.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Literal

import numpy as np

from turnout.data.split import same_text
from turnout.errors import EmptyDataError, InvalidValueError, UnknownNameError
from turnout.types import JSON, BoolArray, Encoder, FloatArray, IntArray

DUPLICATE_COSINE: Mapping[str, float] = {"openai": 0.95, "static": 0.99}
"""Encoder → the cosine from which two texts count as saying the same. `openai` is the paper's; the others are where at
most one in a hundred MMLU questions would be taken for another MMLU question."""

RUN_WORDS = 5
"""A near copy shares runs of this many words."""
SHARED_RUNS = 0.5
"""It shares at least this part of the runs of the shorter text."""
COMMON_RUN = 10
"""Runs that stand in more training texts than this are a template's ("which of the following is true of the"), and say
nothing about copying."""

Kind = Literal["same text", "near copy", "similar"]
_WORD = re.compile(r"\w+")
_SIMILARITIES_AT_ONCE = 2**22


@dataclass(frozen=True)
class Match:
    """A test query, and the training query that it may have been met as."""

    row: int
    """The test query's."""
    training_row: int
    kind: Kind
    score: float
    """1 for the same text; the part of runs shared by a near copy; the cosine of a similar text."""


def find_contaminated(
    queries: Sequence[str],
    training_queries: Sequence[str],
    *,
    encoder: Encoder | None = None,
    threshold: float | None = None,
) -> list[Match]:
    """The test queries that training has met, in order of their rows; each once, by its closest kind of match.

    Args:
        queries: the test's.
        training_queries: those that a router learned from.
        encoder: whose cosine tells similar texts; None looks for the same text and near copies only, which is what
            is right between two parts of one benchmark.
        threshold: the cosine from which texts are similar; by default the encoder's own (`DUPLICATE_COSINE`).

    Raises:
        UnknownNameError: no threshold is known for the encoder, and none is given.
        InvalidValueError: the threshold is outside (0, 1].

    >>> found = find_contaminated(["Name a river.", "Name a lake."], ["name a RIVER", "Name a mountain."])
    >>> [(match.row, match.kind) for match in found]
    [(0, 'same text')]
    """
    cosine = None if encoder is None else duplicate_cosine(encoder, threshold)
    matches: dict[int, Match] = {}
    words = {" ".join(_words(text)): row for row, text in enumerate(training_queries)}
    for row, text in enumerate(queries):
        if (training_row := words.get(" ".join(_words(text)))) is not None:
            matches[row] = Match(row, training_row, "same text", 1.0)
    for match in _near_copies(queries, training_queries):
        matches.setdefault(match.row, match)
    if encoder is not None and cosine is not None and len(queries) and len(training_queries):
        similarity, nearest = nearest_cosine(encoder, queries, training_queries)
        for row in np.flatnonzero(similarity >= cosine).tolist():
            matches.setdefault(row, Match(row, int(nearest[row]), "similar", float(similarity[row])))
    return [matches[row] for row in sorted(matches)]


def duplicate_cosine(encoder: Encoder, threshold: float | None = None) -> float:
    """The threshold given, or the encoder's own. Errors as `find_contaminated`."""
    if threshold is None:
        if encoder.name not in DUPLICATE_COSINE:
            raise UnknownNameError("encoder with a known threshold for duplicates", encoder.name, DUPLICATE_COSINE)
        return DUPLICATE_COSINE[encoder.name]
    if not 0 < threshold <= 1:
        raise InvalidValueError(f"The threshold is a cosine in (0, 1], got {threshold:g}.")
    return threshold


def nearest_cosine(
    encoder: Encoder, queries: Sequence[str], training_queries: Sequence[str]
) -> tuple[FloatArray, IntArray]:
    """(similarity, row): each query's highest cosine to a training query, and to which; shapes (n_queries,).

    Raises:
        EmptyDataError: there is no training query.
    """
    if not len(training_queries):
        raise EmptyDataError("There is no training query to compare with.")
    ours, theirs = encoder.encode(queries), encoder.encode(training_queries).T
    step = max(1, _SIMILARITIES_AT_ONCE // theirs.shape[1])
    similarity, row = np.empty(len(queries)), np.empty(len(queries), dtype=np.int64)
    for start in range(0, len(queries), step):
        part = ours[start : start + step] @ theirs
        row[start : start + step] = part.argmax(axis=1)
        similarity[start : start + step] = part.max(axis=1)
    return np.clip(similarity, -1.0, 1.0), row


@dataclass(frozen=True)
class Similarity:
    """How near a test set is to training data: the mean of each query's highest cosine (paper, table 5)."""

    mean: float
    n_queries: int
    by_slice: Mapping[str, tuple[int, float]]
    """Slice → (queries, mean), nearest first."""
    encoder: str
    """The encoder's identity: cosines of two encoders do not compare."""

    def to_json(self) -> dict[str, JSON]:
        """As a JSON object."""
        slices = {name: {"queries": n, "mean": mean} for name, (n, mean) in self.by_slice.items()}
        return {"mean": self.mean, "queries": self.n_queries, "slices": slices, "encoder": self.encoder}


def dataset_similarity(
    encoder: Encoder, queries: Sequence[str], training_queries: Sequence[str], *, slices: Sequence[str] | None = None
) -> Similarity:
    """The mean over test queries of the highest cosine to a training query, overall and by slice.

    Raises:
        EmptyDataError: there is no query on one of the sides.
    """
    if not len(queries):
        raise EmptyDataError("There is no test query to compare.")
    nearest, _ = nearest_cosine(encoder, queries, training_queries)
    members: dict[str, list[int]] = defaultdict(list)
    for row, name in enumerate(slices or []):
        if name:
            members[name].append(row)
    means = {name: (len(rows), float(nearest[rows].mean())) for name, rows in members.items()}
    ordered = dict(sorted(means.items(), key=lambda entry: -entry[1][1]))
    return Similarity(float(nearest.mean()), len(queries), ordered, encoder.identity)


def kept_rows(n_queries: int, matches: Sequence[Match]) -> BoolArray:
    """Which queries have no match, shape (n_queries,)."""
    kept = np.ones(n_queries, dtype=bool)
    kept[[match.row for match in matches]] = False
    return kept


def _near_copies(queries: Sequence[str], training_queries: Sequence[str]) -> Iterator[Match]:
    ours = [_runs(text) for text in queries]
    asked_for = {run for runs in ours for run in runs}
    sizes: list[int] = []  # how many runs each training text has that are no template's
    met: list[Set[int]] = []
    for text in training_queries:
        runs = _runs(text)
        sizes.append(len(runs))
        met.append(runs & asked_for)
    counts = Counter(run for runs in met for run in runs)
    rows_with: dict[int, list[int]] = defaultdict(list)
    for training_row, runs in enumerate(met):
        for run in runs:
            if counts[run] <= COMMON_RUN:
                rows_with[run].append(training_row)
            else:
                sizes[training_row] -= 1
    for row, runs in enumerate(ours):
        telling = [run for run in runs if counts[run] <= COMMON_RUN]
        shared = Counter(training_row for run in telling for training_row in rows_with.get(run, ()))
        parts = {other: n / min(len(telling), sizes[other]) for other, n in shared.items()}
        # One run that is shared says little of a text that has but one: a short phrase stands in many texts.
        if parts and len(telling) > 1 and max(parts.values()) >= SHARED_RUNS:
            best = max(parts, key=lambda other: (parts[other], -other))
            yield Match(row, best, "near copy", parts[best])


def _runs(text: str) -> Set[int]:
    """Hashes of the runs of words; a short text is one run."""
    words = [word for word in _words(text) if len(word) > 1 or word.isdigit()]  # without the letters before options
    size = min(RUN_WORDS, len(words))
    return {hash(tuple(words[start : start + size])) for start in range(len(words) - size + 1)} if words else set()


def _words(text: str) -> list[str]:
    return _WORD.findall(same_text(text))
