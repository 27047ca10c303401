"""A sentence on each difference: how large it is, whether our interval holds the paper's figure, and what went in.

What is named as different is different; that it is the cause is not claimed.
"""

from __future__ import annotations

from turnout.reproduce.paper import SIZES
from turnout.reproduce.table import Figure, Measure

NOT_RUN = "not run here; add it with `--routers`."
NO_PAPER_ROW = "the paper has no such line"


def compared(figure: Figure, measure: Measure, what_differs: str = "") -> str:
    """How our figure stands to the paper's, in a sentence.

    >>> compared(Figure(0.802, 0.6, 0.5, 0.7), Measure("apgr", "APGR"), "ours learned from 9 battles")
    "APGR is 0.202 below the paper's 0.802, which lies outside our interval; ours learned from 9 battles."
    """
    if figure.ours is None:
        return NOT_RUN
    if figure.paper is None:
        return f"{NO_PAPER_ROW}{f'; {what_differs}' if what_differs else ''}."
    gap = figure.ours - figure.paper
    ending = f"; {what_differs}." if what_differs else "."
    if round(measure.scale * abs(gap), measure.digits) == 0:
        return f"{measure.title} is the paper's{ending}"
    size = f"{measure.text(abs(gap))} {'above' if gap > 0 else 'below'} the paper's {measure.text(figure.paper)}"
    if figure.low is None or figure.high is None:
        return f"{measure.title} is {size}{ending}"
    place = "within" if figure.holds_papers else "outside"
    return f"{measure.title} is {size}, which lies {place} our interval{ending}"


def against_random(figure: Figure) -> str:
    """Whether ours and the paper's are better than random routing, as half a sentence.

    >>> against_random(Figure(0.802, 0.6, 0.45, 0.7))
    "ours is not shown to differ from random routing, the paper's is better"
    """
    if figure.ours is None or figure.low is None or figure.high is None:
        return ""
    ours = "better" if figure.low > 0.5 else "worse" if figure.high < 0.5 else "not shown to differ"
    papers = None if figure.paper is None else "better" if figure.paper > 0.5 else "worse"
    if papers is None or ours == papers:
        both = "ours is" if papers is None else "both are"
        return f"{both} {ours}{' from' if ours.startswith('not') else ' than'} random routing"
    return f"ours is {ours}{' from' if ours.startswith('not') else ' than'} random routing, the paper's is {papers}"


def learned_from(n_battles: int, trained_on: str, *, papers_own: bool, encoder: str) -> str:
    """What went into the routers of a training set, here and there.

    Args:
        n_battles: what ours learned from.
        trained_on: one of the paper's training sets.
        papers_own: whether the battles are the paper's own.
        encoder: ours.
    """
    said = f"{trained_on}: ours learned from {n_battles:,} battles, the paper's from {SIZES[trained_on]}"
    if papers_own:
        said = f"{trained_on}: both learned from the paper's own data, ours from {n_battles:,} battles of it"
    if encoder != "openai":
        said += (
            f"; knn, mf and sw read queries through the encoder `{encoder}`, the paper's through text-embedding-3-small"
        )
    return f"{said}."
