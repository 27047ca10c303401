"""Queries → token ids: a fixed beginning and end around as much of the query as fits. No torch in here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from turnout.errors import InvalidValueError, MissingExtraError
from turnout.types import FloatArray, IntArray

Keep = Literal["start", "end", "both"]
"""Which part of a query that is too long is kept; `both` keeps its start and its end in equal parts."""

_CHARACTERS_PER_TOKEN = 32
"""Of a huge text only this many characters for each token that fits are read, at the end or ends that are kept."""


class TextTokens:
    """Turns queries into token ids, each between the same first and last ids and at most `max_tokens` long."""

    def __init__(
        self,
        tokenizer_json: str,
        *,
        max_tokens: int,
        keep: Keep = "start",
        before: str | None = None,
        after: str | None = None,
        joined: bool = False,
    ) -> None:
        """See the class.

        Args:
            tokenizer_json: the content of a `tokenizer.json`.
            max_tokens: the length limit, fixed ids included.
            keep: which part of a long query is kept.
            before: text to put before each query; it may hold special tokens.
            after: text to put after it, in place of the closing special tokens (a causal model goes on from there).
            joined: whether the query is encoded in one piece with the text that stands between it and the nearest
                special tokens before and after it, as whoever encodes a whole prompt at once does: tokens may then
                reach over its ends. A query that has to be cut is encoded by itself.
        """
        try:
            from tokenizers import Tokenizer
        except ImportError as error:
            raise MissingExtraError("tokenizers", extra="minilm", purpose="Turning queries into tokens") from error
        if keep not in ("start", "end", "both"):
            raise InvalidValueError(f"keep must be 'start', 'end' or 'both', got '{keep}'.")
        self._tokenizer = Tokenizer.from_str(tokenizer_json)
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        opening, closing = self._special_ids()
        self.first = opening + (self._encode(before) if before else [])
        self.last = closing if after is None else self._encode(after)
        self._beside = self._beside_query(before or "", after or "") if joined else None
        # From here on, what looks like a special token is text: no query can forge a label or end the prompt.
        self._tokenizer.encode_special_tokens = True
        self.room = max_tokens - len(self.first) - len(self.last)
        self.keep = keep
        if self.room < 1:
            raise InvalidValueError(
                f"max_tokens must be above {len(self.first) + len(self.last)} to leave room for the query, "
                f"got {max_tokens}."
            )

    def ids(self, queries: Sequence[str]) -> list[list[int]]:
        """The token ids of each query."""
        texts = [self._readable(q) for q in queries]
        encodings = self._tokenizer.encode_batch(texts, add_special_tokens=False)
        alone = [self.first + self._cut(encoding.ids) + self.last for encoding in encodings]
        if self._beside is None:
            return alone
        first, left, right, last = self._beside
        whole = self._tokenizer.encode_batch([left + text + right for text in texts], add_special_tokens=False)
        joined = [first + encoding.ids + last for encoding in whole]
        fits = [len(encoding.ids) <= self.room for encoding in encodings]
        return [one if fit else other for one, other, fit in zip(joined, alone, fits, strict=True)]

    def _beside_query(self, before: str, after: str) -> tuple[list[int], str, str, list[int]]:
        """(first ids, text left of the query, text right of it, last ids), parted at the nearest special tokens."""
        special = {token for token, added in self._tokenizer.get_added_tokens_decoder().items() if added.special}
        opening, _ = self._special_ids()
        head, tail = (self._tokenizer.encode(text, add_special_tokens=False) for text in (before, after))
        start = max(
            (end for token, (_, end) in zip(head.ids, head.offsets, strict=True) if token in special), default=0
        )
        stop = min(
            (begin for token, (begin, _) in zip(tail.ids, tail.offsets, strict=True) if token in special),
            default=len(after),
        )
        return opening + self._encode(before[:start]), before[start:], after[:stop], self._encode(after[stop:])

    def _special_ids(self) -> tuple[list[int], list[int]]:
        probe = "a"
        bare: list[int] = self._encode(probe)
        full: list[int] = self._tokenizer.encode(probe).ids
        start = next((i for i in range(len(full)) if full[i : i + len(bare)] == bare), 0)
        return full[:start], full[start + len(bare) :]

    def _encode(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def _readable(self, query: str) -> str:
        limit = self.room * _CHARACTERS_PER_TOKEN
        if len(query) > 2 * limit:
            query = query[:limit] + query[-limit:]
        return query.encode("utf-8", "replace").decode("utf-8")  # lone surrogates would stop the tokenizer

    def _cut(self, ids: list[int]) -> list[int]:
        if len(ids) <= self.room:
            return ids
        tail = {"start": 0, "end": self.room, "both": self.room // 2}[self.keep]
        return ids[: self.room - tail] + ids[len(ids) - tail :]


def pad(token_ids: Sequence[Sequence[int]], pad_id: int) -> tuple[IntArray, IntArray]:
    """(ids, mask): a rectangle of ids, filled up at the end, and 1 where an id is real; shapes (n, longest)."""
    ids = np.full((len(token_ids), max(map(len, token_ids))), pad_id, dtype=np.int64)
    mask = np.zeros_like(ids)
    for row, tokens in enumerate(token_ids):
        ids[row, : len(tokens)] = tokens
        mask[row, : len(tokens)] = 1
    return ids, mask


def logits_by_length(
    token_ids: Sequence[Sequence[int]],
    logits: Callable[[IntArray, IntArray], npt.NDArray[np.floating]],
    *,
    pad_id: int,
    batch_size: int,
) -> FloatArray:
    """`logits(ids, mask)` of all texts, shape (n_texts, n_labels); texts of like length share a batch."""
    parts = [(rows, logits(*pad([token_ids[row] for row in rows], pad_id))) for rows in _batches(token_ids, batch_size)]
    result = np.empty((len(token_ids), parts[0][1].shape[1]))
    for rows, values in parts:
        result[rows] = values
    return result


def _batches(token_ids: Sequence[Sequence[int]], batch_size: int) -> Iterator[npt.NDArray[Any]]:
    order = np.argsort([len(tokens) for tokens in token_ids], kind="stable")
    for start in range(0, len(order), batch_size):
        yield order[start : start + batch_size]
