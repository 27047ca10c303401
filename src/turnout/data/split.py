"""Seeded splits by distinct query text: the same query is never on both sides."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from turnout.errors import InvalidValueError
from turnout.types import BoolArray, IntArray


def split_rows(
    queries: Sequence[str],
    fractions: Sequence[float],
    *,
    source: Sequence[str] | None = None,
    seed: int = 0,
) -> list[IntArray]:
    """Row indices of each part, in ascending order.

    Distinct query texts are dealt to the parts at random, source by source, so that each part holds about its
    fraction of every source. Texts that differ only in white space or case count as one.

    Args:
        queries: n texts.
        fractions: the size of each part, above 0, with a sum of 1.
        source: where each query comes from; None means one source. A text that several sources share goes with
            the first.
        seed: equal seeds give equal splits.

    Raises:
        InvalidValueError: fractions that are not above 0 or do not add up to 1.

    >>> train, test = split_rows(["a", "b", "a", "c"], [0.5, 0.5], seed=1)
    >>> sorted([*train.tolist(), *test.tolist()])
    [0, 1, 2, 3]
    """
    if not fractions or not all(part > 0 for part in fractions) or abs(sum(fractions) - 1) > 1e-9:
        raise InvalidValueError(f"fractions must be above 0 and add up to 1, got {list(fractions)}.")
    sources = [""] * len(queries) if source is None else source
    rows_of_text: dict[str, list[int]] = {}
    texts_of_source: dict[str, list[str]] = {}
    for row, query in enumerate(queries):
        text = same_text(query)
        if text not in rows_of_text:
            texts_of_source.setdefault(sources[row], []).append(text)
        rows_of_text.setdefault(text, []).append(row)
    parts: list[list[int]] = [[] for _ in fractions]
    bounds = np.cumsum(fractions)[:-1]
    random = np.random.default_rng(seed)
    for name in sorted(texts_of_source):
        texts = texts_of_source[name]
        order = random.permutation(len(texts))
        for part, chosen in zip(parts, np.split(order, np.rint(bounds * len(texts)).astype(int)), strict=True):
            part.extend(row for index in chosen for row in rows_of_text[texts[index]])
    return [np.array(sorted(part), dtype=np.int64) for part in parts]


def sample_rows(queries: Sequence[str], n_distinct: int, *, seed: int = 0) -> tuple[IntArray, IntArray]:
    """(sampled, rest): rows of `n_distinct` random distinct texts, and all other rows; both ascending.

    Raises:
        InvalidValueError: there are fewer distinct texts, or none would be left.
    """
    texts = sorted({same_text(query) for query in queries})
    if len(texts) < 2:
        raise InvalidValueError(f"{len(texts)} distinct queries are too few to learn from some and test on others.")
    if not 0 < n_distinct < len(texts):
        raise InvalidValueError(
            f"A sample (golden labels) must have from 1 to {len(texts) - 1} of the {len(texts)} distinct queries, got "
            f"{n_distinct}."
        )
    chosen = set(np.random.default_rng(seed).permutation(len(texts))[:n_distinct].tolist())
    sampled_texts = {texts[index] for index in chosen}
    mask = np.array([same_text(query) in sampled_texts for query in queries])
    return np.flatnonzero(mask), np.flatnonzero(~mask)


def same_text(query: str) -> str:
    """What two queries must share to count as the same: their text without case and runs of white space."""
    return " ".join(query.casefold().split())


def fingerprints(queries: Sequence[str]) -> IntArray:
    """64 bits of a hash of each distinct query, sorted: enough to tell later whether a query was among them.

    What `same_text` holds for the same has one fingerprint. That any two of a million different queries share theirs
    has a chance of three in a hundred million.

    >>> len(fingerprints(["Name a river.", "name  a river.", "Name a lake."]))
    2
    """
    return np.unique([_fingerprint(query) for query in queries]) if len(queries) else np.empty(0, dtype=np.int64)


def seen_rows(queries: Sequence[str], seen: IntArray) -> BoolArray:
    """Whether each query's fingerprint is among those seen, shape (n,)."""
    return np.isin(np.array([_fingerprint(query) for query in queries], dtype=np.int64), seen)


def _fingerprint(query: str) -> np.int64:
    digest = hashlib.blake2b(same_text(query).encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return np.int64(int.from_bytes(digest, "little", signed=True))
