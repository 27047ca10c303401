"""Battles: votes and judgements between two models on a query, as columns."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from turnout.data.jsonl import LARGEST_NUMBER, read_jsonl, write_jsonl
from turnout.data.rows import Rows, row_indices
from turnout.errors import DataError, EmptyDataError, InvalidValueError, UnknownNameError
from turnout.types import JSON, FloatArray, IntArray, ModelPair, check_queries

WINNERS = {"a": 1.0, "tie": 0.5, "b": 0.0}
"""What a file's `winner` means as model a's share."""

_WEIGHTS = f"a number above 0, at most {LARGEST_NUMBER:g}"
_KEYS = frozenset({"query", "model_a", "model_b", "share_a", "winner", "weight", "source"})


@dataclass(frozen=True, eq=False)
class Battles:
    """Comparisons of two models' answers to a query, n of them.

    A battle is `share_a` of a win for model a: 1 if a wins, 0.5 for a tie, 0 if b wins; graded labels lie between.
    Make them with `from_columns` or `read_jsonl`, which check every value.
    """

    queries: Sequence[str]
    model_a: Sequence[str]
    model_b: Sequence[str]
    share_a: FloatArray
    """Shape (n,), in [0, 1]."""
    weight: FloatArray
    """Shape (n,), above 0: how much a battle counts."""
    source: Sequence[str]
    """Where each battle comes from, such as `arena`; splits are stratified by it."""
    pair: ModelPair | None = None
    """The pair whose win rate these battles teach, once it is settled (see `for_pair`)."""

    @classmethod
    def from_columns(
        cls,
        queries: Sequence[str],
        model_a: Sequence[str] | str,
        model_b: Sequence[str] | str,
        share_a: Sequence[float] | npt.NDArray[np.floating],
        *,
        weight: Sequence[float] | npt.NDArray[np.floating] | float = 1.0,
        source: Sequence[str] | str = "",
        pair: ModelPair | None = None,
    ) -> Battles:
        """Battles from columns of equal length n; a single name, weight or source stands for all rows.

        Raises:
            InvalidValueError: columns of different length, a query that is not text, a share outside [0, 1], a weight
                that is not above 0.
        """
        check_queries(queries)
        n = len(queries)
        battles = cls(
            queries=list(queries),
            model_a=_names(model_a, n),
            model_b=_names(model_b, n),
            share_a=np.array(share_a, dtype=np.float64),
            weight=np.full(n, weight) if isinstance(weight, int | float) else np.array(weight, dtype=np.float64),
            source=_names(source, n),
            pair=pair,
        )
        battles._check()
        return battles

    def _check(self) -> None:
        n = len(self.queries)
        for name in ("model_a", "model_b", "share_a", "weight", "source"):
            if len(getattr(self, name)) != n:
                raise InvalidValueError(f"{name} has {len(getattr(self, name))} rows, but queries has {n}.")
        # Written so that NaN fails too.
        _first_bad("share_a", self.share_a, (self.share_a >= 0) & (self.share_a <= 1), "in [0, 1]")
        _first_bad("weight", self.weight, (self.weight > 0) & (self.weight <= LARGEST_NUMBER), _WEIGHTS)
        for row, (a, b) in enumerate(zip(self.model_a, self.model_b, strict=True)):
            if not a or not b or a == b:
                raise InvalidValueError(f"Row {row}: a battle needs two different models, got '{a}' and '{b}'.")

    def __len__(self) -> int:
        return len(self.queries)

    @property
    def models(self) -> tuple[str, ...]:
        """The names of all models, sorted."""
        return tuple(sorted({*self.model_a, *self.model_b}))

    def model_indices(self) -> tuple[tuple[str, ...], IntArray, IntArray]:
        """(models, a, b): the sorted names, and each battle's two models as indices into them, shapes (n,)."""
        models = self.models
        position = {name: index for index, name in enumerate(models)}
        a = np.fromiter((position[name] for name in self.model_a), dtype=np.int64, count=len(self))
        b = np.fromiter((position[name] for name in self.model_b), dtype=np.int64, count=len(self))
        return models, a, b

    def take(self, rows: Rows) -> Battles:
        """The battles at these rows (indices or a mask), in that order."""
        index = row_indices(rows)
        order: list[int] = index.tolist()
        return replace(
            self,
            queries=[self.queries[row] for row in order],
            model_a=[self.model_a[row] for row in order],
            model_b=[self.model_b[row] for row in order],
            share_a=self.share_a[index],
            weight=self.weight[index],
            source=[self.source[row] for row in order],
        )

    @staticmethod
    def concat(parts: Sequence[Battles]) -> Battles:
        """All parts' battles, one after another; the pair is kept if all parts have the same."""
        pairs = {part.pair for part in parts}
        return Battles(
            queries=[query for part in parts for query in part.queries],
            model_a=[name for part in parts for name in part.model_a],
            model_b=[name for part in parts for name in part.model_b],
            share_a=np.concatenate([part.share_a for part in parts]) if parts else np.empty(0),
            weight=np.concatenate([part.weight for part in parts]) if parts else np.empty(0),
            source=[source for part in parts for source in part.source],
            pair=pairs.pop() if len(pairs) == 1 else None,
        )

    def for_pair(self, pair: ModelPair) -> Battles:
        """Only the battles between the pair's two models, each with strong as model a.

        Raises:
            UnknownNameError: one of the models is in no battle.
            EmptyDataError: there is no battle, or both are known, but never met.
        """
        if not len(self):
            raise EmptyDataError("There are no battles: the data set is empty.")
        models = self.models
        for name in (pair.strong, pair.weak):
            if name not in models:
                raise UnknownNameError("model in these battles", name, models)
        oriented = self.between({pair.strong}, {pair.weak}, pair=pair)
        if not len(oriented):
            raise EmptyDataError(
                f"No battle is between '{pair.strong}' and '{pair.weak}'. Train on all models with mf, or lift "
                "the battles to strong and weak tiers with: turnout data tiers"
            )
        return oriented

    def between(self, strong: Set[str], weak: Set[str], *, pair: ModelPair) -> Battles:
        """Only the battles of a strong model against a weak one, as battles of this pair with strong as model a."""
        straight = [a in strong and b in weak for a, b in zip(self.model_a, self.model_b, strict=True)]
        turned = [a in weak and b in strong for a, b in zip(self.model_a, self.model_b, strict=True)]
        rows = np.flatnonzero(np.array(straight, dtype=bool) | np.array(turned, dtype=bool))
        kept = self.take(rows)
        return replace(
            kept,
            model_a=[pair.strong] * len(rows),
            model_b=[pair.weak] * len(rows),
            share_a=np.where(np.array(turned, dtype=bool)[rows], 1.0 - kept.share_a, kept.share_a),
            pair=pair,
        )

    def with_pair(self, pair: ModelPair) -> Battles:
        """All battles, with the pair that a router trained on them is asked about by default."""
        return replace(self, pair=pair)

    def strong_share(self) -> FloatArray:
        """The strong model's share of each battle, shape (n,), in [0, 1].

        Raises:
            InvalidValueError: the pair is not settled, or other models are among the battles.
        """
        if self.pair is None:
            raise InvalidValueError(
                f"These battles are between {len(self.models)} models and it is not said which is strong and "
                "which is weak. Call battles.for_pair(ModelPair(strong, weak)) first."
            )
        share = np.empty(len(self))
        for row, (a, b) in enumerate(zip(self.model_a, self.model_b, strict=True)):
            if (a, b) == (self.pair.strong, self.pair.weak):
                share[row] = self.share_a[row]
            elif (b, a) == (self.pair.strong, self.pair.weak):
                share[row] = 1.0 - self.share_a[row]
            else:
                raise InvalidValueError(
                    f"Row {row} is between '{a}' and '{b}', not between '{self.pair.strong}' and "
                    f"'{self.pair.weak}'. Call battles.for_pair(pair) first."
                )
        return share

    def rows(self) -> Iterator[dict[str, JSON]]:
        """Each battle as a JSON object, in the form that `read_jsonl` reads."""
        columns = zip(self.queries, self.model_a, self.model_b, self.share_a, self.weight, self.source, strict=True)
        for query, a, b, share, weight, source in columns:
            row: dict[str, JSON] = {"query": query, "model_a": a, "model_b": b, "share_a": float(share)}
            if weight != 1.0:
                row["weight"] = float(weight)
            if source:
                row["source"] = source
            yield row

    def write_jsonl(self, path: str | Path) -> None:
        """Write one battle a line, atomically; packed if the name ends in .gz."""
        write_jsonl(path, self.rows())

    @classmethod
    def read_jsonl(cls, path: str | Path) -> Battles:
        """Battles from JSON Lines: query, model_a, model_b, share_a or winner (a, b, tie), weight, source.

        The lines are read one by one and names are kept once, so that a million battles fit in memory.

        Raises:
            DataError: a line cannot be used; names the file and the line.
        """
        return cls.from_rows(read_jsonl(path), path=path)

    @classmethod
    def from_rows(cls, rows: Iterable[tuple[int, Mapping[str, JSON]]], *, path: str | Path) -> Battles:
        """Battles from (line, object) as `read_jsonl` expects them; the path is for errors."""
        queries: list[str] = []
        model_a: list[str] = []
        model_b: list[str] = []
        share_a: list[float] = []
        weight: list[float] = []
        source: list[str] = []
        for line, row in rows:
            try:
                a, b = _text(row, "model_a"), _text(row, "model_b")
                if a == b:
                    raise ValueError(f"model_a and model_b are both '{a}': a battle needs two different models.")
                share_a.append(_share(row))
                weight.append(_number(row, "weight", 1.0))
                queries.append(_text(row, "query"))
                model_a.append(sys.intern(a))
                model_b.append(sys.intern(b))
                source.append(sys.intern(_text(row, "source", "")))
                unknown = row.keys() - _KEYS
                if unknown:
                    raise ValueError(f"unknown key '{min(unknown)}'; expected {', '.join(sorted(_KEYS))}.")
            except ValueError as error:
                raise DataError(str(error), path=path, line=line) from error
        return cls(queries, model_a, model_b, np.array(share_a, float), np.array(weight, float), source)


def _names(column: Sequence[str] | str, n: int) -> list[str]:
    return [sys.intern(column)] * n if isinstance(column, str) else [sys.intern(str(name)) for name in column]


def _first_bad(name: str, values: FloatArray, good: npt.NDArray[np.bool_], expected: str) -> None:
    bad = np.flatnonzero(~good)
    if len(bad):
        raise InvalidValueError(f"{name} must be {expected}, got {values[bad[0]]} in row {bad[0]}.")


def _text(row: Mapping[str, JSON], key: str, default: str | None = None) -> str:
    value = row.get(key, default)
    if value is None:
        raise ValueError(f"'{key}' is missing.")
    if not isinstance(value, str):
        raise ValueError(f"'{key}' must be text, got {value!r}.")
    if not value and default is None and key != "query":
        raise ValueError(f"'{key}' is empty.")
    return value


def _number(row: Mapping[str, JSON], key: str, default: float) -> float:
    value = row.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= LARGEST_NUMBER:
        raise ValueError(f"'{key}' must be {_WEIGHTS}, got {value!r}.")
    return float(value)


def _share(row: Mapping[str, JSON]) -> float:
    if ("share_a" in row) == ("winner" in row):
        found = "both" if "winner" in row else "neither"
        raise ValueError(f"expected either 'share_a' or 'winner', got {found}.")
    if "winner" in row:
        winner = row["winner"]
        if not isinstance(winner, str) or winner not in WINNERS:
            raise ValueError(
                f"winner must be 'a', 'b' or 'tie', got {winner!r}. "
                "To read Arena files use: turnout data import arena FILE"
            )
        return WINNERS[winner]
    share = row["share_a"]
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
        raise ValueError(f"share_a must be in [0, 1], got {share!r}.")
    return float(share)
