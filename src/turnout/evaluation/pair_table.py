"""What a router is measured on: the outcomes of one pair on a benchmark's queries, and where they come from."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import orjson

from turnout.data.outcomes import Outcomes
from turnout.evaluation.benchmarks.base import Benchmark
from turnout.evaluation.costs import QueryCosts, query_costs
from turnout.evaluation.curve import is_gap
from turnout.types import JSON, BoolArray, FloatArray, IntArray, ModelPair


@dataclass(frozen=True, eq=False)
class PairTable:
    """Outcomes of a strong and a weak model on n queries that both were asked."""

    name: str
    title: str
    pair: ModelPair
    outcomes: Outcomes
    """Strong's scores in the first column, weak's in the second; no score is missing."""
    units: str = "queries"
    """What the rows are."""
    scale: float | None = None
    """The largest possible gain; None means the range of the scores."""
    in_per_cent: bool = False
    """Whether quality is printed in per cent."""
    facts: Mapping[str, JSON] = field(default_factory=dict)
    """Source, revision and licence, and whatever else belongs in the record."""

    @classmethod
    def of_benchmark(cls, benchmark: Benchmark, data_dir: str | Path, pair: ModelPair | None = None) -> PairTable:
        """A registered benchmark, for its own pair unless another is named.

        Raises:
            DataError: the folder does not hold the benchmark's outcomes.
            UnknownNameError: a model of the pair has no outcomes here.
        """
        chosen = pair or benchmark.pair
        lowest, highest = benchmark.scale
        return cls(
            name=benchmark.name,
            title=benchmark.title,
            pair=chosen,
            outcomes=benchmark.load(data_dir).for_pair(chosen),
            units=benchmark.units,
            scale=highest - lowest,
            in_per_cent=benchmark.in_per_cent,
            facts={"source": benchmark.source, "revision": benchmark.revision, "licence": benchmark.licence},
        )

    @classmethod
    def of_file(cls, path: str | Path, pair: ModelPair) -> PairTable:
        """Outcomes of one's own, in the form of `Outcomes.read_jsonl`."""
        outcomes = Outcomes.read_jsonl(path).for_pair(pair)
        right_or_wrong = set(outcomes.scores.ravel().tolist()) <= {0.0, 1.0}
        return cls(
            name=Path(path).name,
            title=Path(path).name,
            pair=pair,
            outcomes=outcomes,
            scale=1.0 if right_or_wrong else None,
            in_per_cent=right_or_wrong,
            facts={"source": str(path)},
        )

    def __len__(self) -> int:
        return len(self.outcomes)

    def take(self, rows: IntArray | BoolArray) -> PairTable:
        """The table's queries at these rows (indices or a mask)."""
        return replace(self, outcomes=self.outcomes.take(rows))

    def by_source(self) -> list[PairTable]:
        """A table for each source of the queries, in the order of their first queries; those without one are together.

        Their scale is this table's: what is the largest gain does not depend on which part is looked at.
        """
        scores = self.outcomes.scores
        scale = float(scores.max() - scores.min()) if self.scale is None else self.scale
        sources = np.array(self.outcomes.source, dtype=object)
        return [
            replace(self.take(sources == name), name=name or self.name, title=name or self.title, scale=scale)
            for name in dict.fromkeys(self.outcomes.source)
        ]

    @property
    def strong_scores(self) -> FloatArray:
        """Shape (n,)."""
        return self.outcomes.scores[:, 0]

    @property
    def weak_scores(self) -> FloatArray:
        """Shape (n,)."""
        return self.outcomes.scores[:, 1]

    @property
    def has_gap(self) -> bool:
        """Whether strong is better than weak, without which PGR and what follows from it are not defined."""
        return is_gap(float(self.strong_scores.mean()), float(self.weak_scores.mean()))

    @cached_property
    def costs(self) -> QueryCosts | None:
        """US dollars for each query with either model; None where no price is known."""
        return query_costs(self.outcomes)

    @cached_property
    def sha256(self) -> str:
        """Of the queries and scores, however they are stored: equal hashes mean equal tests."""
        digest = hashlib.sha256(orjson.dumps([self.pair.strong, self.pair.weak]))
        for query, scores in zip(self.outcomes.queries, self.outcomes.scores.tolist(), strict=True):
            digest.update(orjson.dumps([query, *scores]))
        return digest.hexdigest()

    def quality_text(self, quality: float) -> str:
        """A mean score for people: '80.6 %' where scores are right or wrong, else the benchmark's own scale."""
        return f"{quality:.1%}".replace("%", " %") if self.in_per_cent else f"{quality:.3g}"
