"""What a file of battles or outcomes holds, at a glance."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from turnout.data.battles import Battles
from turnout.data.jsonl import read_jsonl
from turnout.data.outcomes import Outcomes
from turnout.data.split import same_text
from turnout.errors import EmptyDataError
from turnout.types import JSON

_SHOWN_CHARACTERS = 100


def read_data(path: str | Path) -> Battles | Outcomes:
    """Battles or outcomes, told apart by the first row.

    Raises:
        EmptyDataError: the file holds no row.
        DataError: a line cannot be used.
    """
    first = next(iter(read_jsonl(path)), None)
    if first is None:
        raise EmptyDataError("holds no row.", path=path)
    return Outcomes.read_jsonl(path) if "scores" in first[1] else Battles.read_jsonl(path)


@dataclass(frozen=True)
class Inspection:
    """Counts of a file, and its first rows."""

    kind: str
    n_rows: int
    n_distinct_queries: int
    sources: dict[str, int]
    models: dict[str, tuple[int, float]]
    """Name → (rows, mean share of the win, or mean score)."""
    query_characters: dict[str, int]
    """Least, median, largest."""
    first_rows: list[JSON]

    def to_json(self) -> dict[str, JSON]:
        """As a JSON object."""
        return {
            "kind": self.kind,
            "rows": self.n_rows,
            "distinct_queries": self.n_distinct_queries,
            "sources": self.sources,
            "models": {name: {"rows": rows, "mean": mean} for name, (rows, mean) in self.models.items()},
            "query_characters": self.query_characters,
            "first_rows": self.first_rows,
        }

    def text(self) -> str:
        """As lines for people."""
        lengths = ", ".join(f"{name} {value:,}" for name, value in self.query_characters.items())
        share = "share of wins" if self.kind == "battles" else "mean score"
        width = max(len(name) for name in self.models)
        return "\n".join(
            [
                f"{self.n_rows:,} {self.kind}, {self.n_distinct_queries:,} distinct queries ({lengths} characters)",
                "sources: " + ", ".join(f"{name or '(none)'} {count:,}" for name, count in self.sources.items()),
                f"{'model':{width}}  {'rows':>9}  {share}",
                *(f"{name:{width}}  {rows:9,}  {mean:.3f}" for name, (rows, mean) in self.models.items()),
                "first rows:",
                *(f"  {row}" for row in self.first_rows),
            ]
        )


def inspect_file(path: str | Path, *, n_rows: int = 3) -> Inspection:
    """What a file holds. Errors as `read_data`."""
    table = read_data(path)
    lengths = np.array([len(query) for query in table.queries])
    return Inspection(
        kind="battles" if isinstance(table, Battles) else "outcomes",
        n_rows=len(table),
        n_distinct_queries=len({same_text(query) for query in table.queries}),
        sources=dict(Counter(table.source).most_common()),
        models=_shares(table) if isinstance(table, Battles) else _scores(table),
        query_characters={
            "least": int(lengths.min()),
            "median": int(np.median(lengths)),
            "largest": int(lengths.max()),
        },
        first_rows=[_shortened(row) for _, row in zip(range(n_rows), table.rows(), strict=False)],
    )


def _shares(battles: Battles) -> dict[str, tuple[int, float]]:
    models, a, b = battles.model_indices()
    rows = np.bincount(a, minlength=len(models)) + np.bincount(b, minlength=len(models))
    wins = np.bincount(a, battles.share_a, len(models)) + np.bincount(b, 1 - battles.share_a, len(models))
    order = np.argsort(-wins / rows, kind="stable")
    return {models[m]: (int(rows[m]), float(wins[m] / rows[m])) for m in order}


def _scores(outcomes: Outcomes) -> dict[str, tuple[int, float]]:
    known = np.isfinite(outcomes.scores)
    rows = known.sum(axis=0)
    means = np.where(known, outcomes.scores, 0).sum(axis=0) / np.maximum(rows, 1)
    order = np.argsort(-means, kind="stable")
    return {outcomes.models[m]: (int(rows[m]), float(means[m])) for m in order}


def _shortened(row: dict[str, JSON]) -> dict[str, JSON]:
    query = row["query"]
    return {**row, "query": query if len(query) <= _SHOWN_CHARACTERS else query[:_SHOWN_CHARACTERS] + "…"}
