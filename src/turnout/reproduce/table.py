"""A table of the report: the paper's figure, ours, our interval and a sentence on the difference, row by row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from turnout.evaluation.runner import CPT_SHARES, Estimate, RouterResult
from turnout.reproduce.paper import NOTHING
from turnout.types import JSON


@dataclass(frozen=True)
class Measure:
    """What a column of figures holds, and how it is written."""

    key: str
    title: str
    scale: float = 1.0
    """100 for per cent."""
    digits: int = 3

    def text(self, value: float) -> str:
        """A figure for people."""
        return f"{self.scale * value:,.{self.digits}f}"


@dataclass(frozen=True)
class Figure:
    """One of the paper's figures and ours; None where there is none."""

    paper: float | None = None
    ours: float | None = None
    low: float | None = None
    """Our 95 % interval's lower end."""
    high: float | None = None

    @classmethod
    def of(cls, paper: float | None, estimate: Estimate) -> Figure:
        """Ours from an estimate."""
        return cls(paper, estimate.value, estimate.interval.low, estimate.interval.high)

    @property
    def holds_papers(self) -> bool:
        """Whether our interval holds the paper's figure."""
        if self.low is None or self.paper is None or self.high is None:
            return False
        return self.low <= self.paper <= self.high

    def to_json(self) -> dict[str, JSON]:
        """For the report."""
        return {"paper": self.paper, "ours": self.ours, "low": self.low, "high": self.high}


@dataclass(frozen=True)
class Row:
    """A line of a table."""

    labels: tuple[str, ...]
    """One for each of the table's label columns."""
    figures: Mapping[str, Figure]
    """Measure's key → figure."""
    difference: str
    """A sentence: how ours differs from the paper's, and what is different in what went in."""
    facts: Mapping[str, JSON] = field(default_factory=dict)
    """What else the JSON should hold."""


@dataclass(frozen=True)
class Table:
    """One of the paper's tables."""

    number: int
    title: str
    data: str
    """Our data, named."""
    label_titles: tuple[str, ...]
    measures: tuple[Measure, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()
    went_in: tuple[str, ...] = ()
    """What is different for many lines at once, a sentence each."""

    def markdown(self) -> list[str]:
        """The table, the notes and the differences, as lines."""
        beside = {
            measure.key for measure in self.measures if any(_papers(row, measure) is not None for row in self.rows)
        }
        titles = list(self.label_titles)
        for measure in self.measures:
            titles += [f"{measure.title}, paper"] if measure.key in beside else []
            titles.append(f"{measure.title}, ours [95 %]")
        lines = [f"## Table {self.number}: {self.title}", "", f"Our data: {self.data}", "", _line(titles)]
        lines.append("|" + "---|" * len(titles))
        for row in self.rows:
            cells = list(row.labels)
            for measure in self.measures:
                paper, ours = _cells(row.figures.get(measure.key, Figure()), measure)
                cells += [paper, ours] if measure.key in beside else [ours]
            lines.append(_line(cells))
        lines += [line for note in self.notes for line in ("", note)]
        return [*lines, "", "**Differences**", "", *self._differences()]

    def _differences(self) -> list[str]:
        """What went in, and a sentence on each line that both the paper and we have a figure for."""
        measured = [row for row in self.rows if any(figure.ours is not None for figure in row.figures.values())]
        said = [f"- {one}" for one in self.went_in]
        for row in measured:
            if any(_papers(row, measure) is not None for measure in self.measures):
                named = ", ".join(label for label in row.labels if label != NOTHING)
                said.append(f"- {named}: {row.difference}")
        if len(measured) < len(self.rows):
            said.append("- Lines without a figure of ours were not run here; `--routers` adds a router.")
        return said

    def to_json(self) -> dict[str, JSON]:
        """For the report."""
        return {
            "table": self.number,
            "title": self.title,
            "data": self.data,
            "rows": [
                {
                    **dict(zip(self.label_titles, row.labels, strict=True)),
                    "figures": {key: figure.to_json() for key, figure in row.figures.items()},
                    "difference": row.difference,
                    **row.facts,
                }
                for row in self.rows
            ],
            "notes": list(self.notes),
            "went_in": list(self.went_in),
        }


APGR = Measure("apgr", "APGR")
CPT = tuple(Measure(f"cpt_{100 * share:.0f}", f"CPT({100 * share:.0f} %) in %", 100, 1) for share in CPT_SHARES)
IMPROVEMENT = Measure("improvement", "over random in %", 100, 1)
METRICS = (*CPT, APGR, IMPROVEMENT)
"""The columns of tables 1 to 4."""


def metric_figures(paper: Mapping[str, float] | None, result: RouterResult | None) -> dict[str, Figure]:
    """The figures of tables 1 to 4.

    Args:
        paper: metric → figure, see `PaperRow.figures`; None where the paper has no such line.
        result: what we measured; None where it was not run. Its improvement is relative to random routing's 0.5.
    """
    given = paper or {}
    figures: dict[str, Figure] = {}
    for measure, share in zip(CPT, CPT_SHARES, strict=True):
        figures[measure.key] = _figure(given.get(measure.key), None if result is None else result.cpt[share])
    figures["apgr"] = _figure(given.get("apgr"), None if result is None else result.apgr)
    figures["improvement"] = Figure(given.get("improvement"))
    if result is not None:
        apgr = result.apgr
        ends = [apgr.value, apgr.interval.low, apgr.interval.high]
        figures["improvement"] = Figure(given.get("improvement"), *(value / 0.5 - 1 for value in ends))
    return figures


def _figure(paper: float | None, estimate: Estimate | None) -> Figure:
    return Figure(paper) if estimate is None else Figure.of(paper, estimate)


def _papers(row: Row, measure: Measure) -> float | None:
    return row.figures.get(measure.key, Figure()).paper


def _cells(figure: Figure, measure: Measure) -> tuple[str, str]:
    paper = NOTHING if figure.paper is None else measure.text(figure.paper)
    if figure.ours is None:
        return paper, NOTHING
    ours = measure.text(figure.ours)
    if figure.low is not None and figure.high is not None and figure.high - figure.low > 1e-9:
        ours += f" [{measure.text(figure.low)}, {measure.text(figure.high)}]"
    return paper, ours


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
