"""Outcomes: what each model scored on each query, and where known what it cost."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from turnout.data.battles import Battles
from turnout.data.jsonl import LARGEST_NUMBER, read_jsonl, write_jsonl
from turnout.data.rows import Rows, row_indices
from turnout.errors import DataError, EmptyDataError, InvalidValueError, UnknownNameError
from turnout.types import JSON, FloatArray, ModelPair, check_queries

_TABLES = ("scores", "cost_usd", "input_tokens", "output_tokens")
_KEYS = frozenset({"query", "id", "source", "slice", *_TABLES})


@dataclass(frozen=True, eq=False)
class Outcomes:
    """Scores of m models on n queries. A benchmark is such a table: models are asked once, the rest is arithmetic.

    Make them with `from_columns` or `read_jsonl`, which check every value.
    """

    queries: Sequence[str]
    models: tuple[str, ...]
    scores: FloatArray
    """Shape (n, m), in the benchmark's own scale; NaN where a model was not asked."""
    ids: Sequence[str]
    """A name for each query that stays the same between files."""
    source: Sequence[str]
    """Where each query comes from, such as `mmlu`."""
    slice: Sequence[str]
    """The part of the source, such as a subject."""
    cost_usd: FloatArray | None = None
    """Shape (n, m), US dollars a request; NaN where unknown."""
    input_tokens: FloatArray | None = None
    """Shape (n, m); NaN where unknown."""
    output_tokens: FloatArray | None = None
    """Shape (n, m); NaN where unknown."""

    @classmethod
    def from_columns(
        cls,
        queries: Sequence[str],
        scores: Mapping[str, Sequence[float] | npt.NDArray[np.floating]],
        *,
        ids: Sequence[str] | None = None,
        source: Sequence[str] | str = "",
        slice: Sequence[str] | str = "",
        cost_usd: Mapping[str, Sequence[float]] | None = None,
        input_tokens: Mapping[str, Sequence[float]] | None = None,
        output_tokens: Mapping[str, Sequence[float]] | None = None,
    ) -> Outcomes:
        """Outcomes from columns: a sequence of n scores for each model.

        Raises:
            InvalidValueError: columns of different length, a query that is not text, or a number out of range.
        """
        check_queries(queries)
        n, models = len(queries), tuple(sorted(scores))
        return cls(
            queries=list(queries),
            models=models,
            scores=_table("scores", scores, models, n),
            ids=[str(row) for row in range(n)] if ids is None else list(ids),
            source=[source] * n if isinstance(source, str) else list(source),
            slice=[slice] * n if isinstance(slice, str) else list(slice),
            cost_usd=None if cost_usd is None else _table("cost_usd", cost_usd, models, n),
            input_tokens=None if input_tokens is None else _table("input_tokens", input_tokens, models, n),
            output_tokens=None if output_tokens is None else _table("output_tokens", output_tokens, models, n),
        )._checked()

    def _checked(self) -> Outcomes:
        n = len(self.queries)
        for name in ("ids", "source", "slice"):
            if len(getattr(self, name)) != n:
                raise InvalidValueError(f"{name} has {len(getattr(self, name))} rows, but queries has {n}.")
        return self

    def __len__(self) -> int:
        return len(self.queries)

    def take(self, rows: Rows) -> Outcomes:
        """The outcomes at these rows (indices or a mask), in that order."""
        index = row_indices(rows)
        order: list[int] = index.tolist()
        return replace(
            self,
            queries=[self.queries[row] for row in order],
            ids=[self.ids[row] for row in order],
            source=[self.source[row] for row in order],
            slice=[self.slice[row] for row in order],
            **{name: table[index] for name in _TABLES if (table := getattr(self, name)) is not None},
        )

    @staticmethod
    def concat(parts: Sequence[Outcomes]) -> Outcomes:
        """All parts' queries, one after another; scores of models that a part lacks are NaN."""
        models = tuple(sorted({model for part in parts for model in part.models}))
        tables = {
            name: np.concatenate([part._widened(name, models) for part in parts])
            for name in _TABLES
            if any(getattr(part, name) is not None for part in parts)
        }
        return Outcomes(
            queries=[query for part in parts for query in part.queries],
            models=models,
            ids=[name for part in parts for name in part.ids],
            source=[name for part in parts for name in part.source],
            slice=[name for part in parts for name in part.slice],
            **{"scores": np.empty((0, 0)), **tables},
        )

    def _widened(self, name: str, models: tuple[str, ...]) -> FloatArray:
        table = getattr(self, name)
        wide = np.full((len(self), len(models)), np.nan)
        if table is not None:
            wide[:, [models.index(model) for model in self.models]] = table
        return wide

    def column(self, model: str) -> int:
        """The model's column in the tables.

        Raises:
            UnknownNameError: these outcomes do not know the model; the message suggests the nearest.
        """
        if model not in self.models:
            raise UnknownNameError("model in these outcomes", model, self.models)
        return self.models.index(model)

    def for_pair(self, pair: ModelPair) -> Outcomes:
        """Only the queries that both models have a score for, and only the columns (strong, weak), in this order.

        Raises:
            EmptyDataError: there is no such query.
        """
        if not len(self):
            raise EmptyDataError("There are no outcomes: the data set is empty.")
        columns = [self.column(pair.strong), self.column(pair.weak)]
        known = np.asarray(np.isfinite(self.scores[:, columns]).all(axis=1))
        if not known.any():
            raise EmptyDataError(f"No query has a score for both '{pair.strong}' and '{pair.weak}'.")
        kept = self.take(known)
        tables = {name: table[:, columns] for name in _TABLES if (table := getattr(kept, name)) is not None}
        return replace(kept, models=(pair.strong, pair.weak), **tables)

    def battles(self, pair: ModelPair, *, scale: float | None = None) -> Battles:
        """One battle a query: strong's share is (1 + gain / scale) / 2, where gain = strong's score − weak's.

        Right-or-wrong scores at scale 1 give a win (1), a tie (0.5) or a loss (0): golden labels (paper, section 3.1).

        Args:
            pair: the two models.
            scale: the largest possible gain; by default the range from the lowest to the highest of the pair's
                scores. Give it when the data may not span the benchmark's scale.

        Raises:
            InvalidValueError: a gain exceeds the scale.
        """
        known = self.for_pair(pair)
        gain = known.scores[:, 0] - known.scores[:, 1]
        span = float(known.scores.max() - known.scores.min()) if scale is None else scale
        if not (span > 0 and math.isfinite(span)):
            raise InvalidValueError(
                f"All scores of '{pair.strong}' and '{pair.weak}' are the same: there is nothing to learn."
                if scale is None
                else f"scale must be above 0, got {scale}."
            )
        if np.abs(gain).max() > span:
            raise InvalidValueError(f"scale must be at least the largest gain {np.abs(gain).max():g}, got {span:g}.")
        return Battles.from_columns(
            known.queries, pair.strong, pair.weak, (1 + gain / span) / 2, source=known.source, pair=pair
        )

    def rows(self) -> Iterator[dict[str, JSON]]:
        """Each query as a JSON object, in the form that `read_jsonl` reads."""
        for row, query in enumerate(self.queries):
            line: dict[str, JSON] = {"id": self.ids[row], "query": query}
            if self.source[row]:
                line["source"] = self.source[row]
            if self.slice[row]:
                line["slice"] = self.slice[row]
            for name in _TABLES:
                table = getattr(self, name)
                if table is not None:
                    line[name] = {m: float(v) for m, v in zip(self.models, table[row], strict=True) if v == v}
            yield line

    def write_jsonl(self, path: str | Path) -> None:
        """Write one query a line, atomically; packed if the name ends in .gz."""
        write_jsonl(path, self.rows())

    @classmethod
    def read_jsonl(cls, path: str | Path) -> Outcomes:
        """Outcomes from JSON Lines: query, scores {model: score}; and id, source, slice, cost_usd, tokens if known.

        Raises:
            DataError: a line cannot be used; names the file and the line.
        """
        return cls.from_rows(read_jsonl(path), path=path)

    @classmethod
    def from_rows(cls, rows: Iterable[tuple[int, Mapping[str, JSON]]], *, path: str | Path) -> Outcomes:
        """Outcomes from (line, object) as `read_jsonl` expects them; the path is for errors."""
        queries: list[str] = []
        labels: dict[str, list[str]] = {"id": [], "source": [], "slice": []}
        tables: dict[str, list[dict[str, float]]] = {name: [] for name in _TABLES}
        for line, row in rows:
            try:
                unknown = row.keys() - _KEYS
                if unknown:
                    raise ValueError(f"unknown key '{min(unknown)}'; expected {', '.join(sorted(_KEYS))}.")
                query = row.get("query")
                if not isinstance(query, str):
                    raise ValueError(f"'query' must be text, got {query!r}.")
                if not row.get("scores"):
                    raise ValueError("'scores' is missing: expected an object {model: score}.")
                for name in _TABLES:
                    tables[name].append(_numbers(row, name))
                queries.append(query)
                labels["id"].append(str(row.get("id", line)))
                for name in ("source", "slice"):
                    labels[name].append(sys.intern(str(row.get(name, ""))))
            except ValueError as error:
                raise DataError(str(error), path=path, line=line) from error
        models = tuple(sorted({model for row in tables["scores"] for model in row}))
        arrays = {name: _stack(rows, models) for name, rows in tables.items() if name == "scores" or any(rows)}
        return cls(queries, models, ids=labels["id"], source=labels["source"], slice=labels["slice"], **arrays)


def _table(
    name: str,
    columns: Mapping[str, Sequence[float] | npt.NDArray[np.floating]],
    models: tuple[str, ...],
    n: int,
) -> FloatArray:
    table = np.full((n, len(models)), np.nan)
    for model, values in columns.items():
        if model not in models:
            raise UnknownNameError(f"model with scores ({name})", model, models)
        column = np.asarray(values, dtype=np.float64)
        if column.shape != (n,):
            raise InvalidValueError(f"{name} of '{model}' has shape {column.shape}, but there are {n} queries.")
        if (np.abs(column) > LARGEST_NUMBER).any():
            raise InvalidValueError(f"{name} of '{model}' holds a number beyond {LARGEST_NUMBER:g}.")
        if name != "scores" and (column < 0).any():
            raise InvalidValueError(f"{name} of '{model}' holds a number below 0.")
        table[:, models.index(model)] = column
    return table


def _stack(rows: Sequence[Mapping[str, float]], models: tuple[str, ...]) -> FloatArray:
    column = {model: index for index, model in enumerate(models)}
    table = np.full((len(rows), len(models)), np.nan)
    for row, values in enumerate(rows):
        for model, value in values.items():
            if model in column:
                table[row, column[model]] = value
    return table


def _numbers(row: Mapping[str, JSON], key: str) -> dict[str, float]:
    values = row.get(key, {})
    if not isinstance(values, dict):
        raise ValueError(f"'{key}' must be an object {{model: number}}, got {values!r}.")
    for model, value in values.items():
        # A right-or-wrong score may be written true or false.
        if value is None:
            continue
        if not isinstance(value, int | float) or not abs(value) <= LARGEST_NUMBER:
            raise ValueError(f"'{key}' of '{model}' must be a number, at most {LARGEST_NUMBER:g}, got {value!r}.")
        if key != "scores" and value < 0:
            raise ValueError(f"'{key}' of '{model}' must not be below 0, got {value!r}.")
    return {sys.intern(model): float(value) for model, value in values.items() if value is not None}
