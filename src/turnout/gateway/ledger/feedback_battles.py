"""From feedback to battles: what clients said becomes what routers learn from.

A battle compares two models on one query. Feedback compares two models in two cases only:

- *preferred*: a client says which of two models' answers is better. A battle that the preferred model wins (share 1).
- *compared scores*: answers of two models to the very same query were both scored (a thumb up is 1, down is 0). A
  battle whose share for one model is (1 + its mean score − the other's mean score) / 2: the same map from gains to win
  rates that graded outcomes have.

A single thumb on one model's answer is no comparison: that the weak model's answer was liked does not say that the
strong one's would have been liked less. Such scores are left out unless a weight for them is named. The other model's
score is then taken to be its mean score over all scored queries of the route, so that the share is
(1 + score − that mean) / 2. This is right on average only if the other model would have done on this query as it does
in general, which routing by difficulty makes untrue to some degree; hence the weight, which should be well below 1.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean

from turnout.data.battles import Battles
from turnout.errors import EmptyDataError, InvalidValueError
from turnout.gateway.ledger.database import Database
from turnout.gateway.ledger.feedback import rival
from turnout.gateway.ledger.reading import ALL, Selection, entry_of
from turnout.gateway.ledger.schema import open_ledger
from turnout.gateway.ledger.writing import COLUMNS

PREFERRED = "feedback-preferred"
COMPARED = "feedback-compared"
SINGLE = "feedback-single"


@dataclass(frozen=True, slots=True)
class Judged:
    """An answer of a model to a query, and what was said of it."""

    query: str
    route: str
    model: str
    other: str | None
    """The other model of its pair; the preferred one's rival where `preferred` is set."""
    score: float | None
    preferred: str | None


@dataclass(frozen=True)
class FeedbackBattles:
    """The battles, and what became of all feedback."""

    battles: Battles
    preferred: int
    compared: int
    """Battles from scores of two models on the same query."""
    single: int
    """Battles from scores of one model, at the weight that was named."""
    left_out: int
    """Scores of one model that became nothing."""
    without_text: int
    """Feedback on queries whose text was not kept."""


def battles_from_feedback(
    database: Database, selection: Selection = ALL, *, single_weight: float | None = None
) -> FeedbackBattles:
    """The battles in a ledger's feedback.

    Args:
        database: where the ledger is.
        selection: which entries' feedback.
        single_weight: what a score of one model without the other's counts, in (0, 1]; None leaves them out.

    Raises:
        InvalidValueError: the weight is outside (0, 1].
        EmptyDataError: there is feedback, but no query's text was kept.
        LedgerError: there is no ledger.
    """
    if single_weight is not None and not 0 < single_weight <= 1:
        raise InvalidValueError(f"single_weight must be above 0 and at most 1, got {single_weight:g}.")
    where, values = selection.where()
    columns = ", ".join(f"decisions.{column}" for column in COLUMNS)
    judged, without_text = [], 0
    with closing(open_ledger(database)) as connection:
        for *row, score, preferred in connection.stream(
            f"""
            SELECT {columns}, score, preferred FROM feedback JOIN decisions ON decisions.id = feedback.decision_id
            WHERE {where} ORDER BY decisions.number, kind
            """,
            values,
        ):
            entry = entry_of(tuple(row))
            if not entry.query:
                without_text += 1
                continue
            other = rival(entry, preferred or entry.model)
            judged.append(Judged(entry.query, entry.route, entry.model, other, score, preferred))
    if without_text and not judged:
        raise EmptyDataError(
            f'there is feedback on {without_text} answers, but no query\'s text was kept. Set query_text = "full" '
            "under [ledger] and serve for a while.",
            path=database.name,
        )
    return combine(judged, single_weight=single_weight, without_text=without_text)


def combine(judged: Iterable[Judged], *, single_weight: float | None = None, without_text: int = 0) -> FeedbackBattles:
    """The battles in judged answers, by the rules at the top of this file.

    >>> liked = Judged("Name a river.", "auto", "small", "big", score=1.0, preferred=None)
    >>> also = Judged("Name a river.", "auto", "big", "small", score=1.0, preferred=None)
    >>> combine([liked]).left_out, combine([liked, also]).battles.share_a.tolist()
    (1, [0.5])
    """
    rows: list[tuple[str, str, str, float, float, str]] = []
    scored: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    scores_of: dict[tuple[str, str], list[float]] = defaultdict(list)
    singles: list[Judged] = []
    judged = list(judged)
    for one in judged:
        if one.preferred is not None and one.other is not None:
            rows.append((one.query, one.preferred, one.other, 1.0, 1.0, PREFERRED))
        elif one.score is not None:
            scored[one.query][one.model].append(one.score)
            scores_of[one.route, one.model].append(one.score)
    preferred = len(rows)
    for query, by_model in scored.items():
        for a, b in combinations(sorted(by_model), 2):
            rows.append((query, a, b, (1 + fmean(by_model[a]) - fmean(by_model[b])) / 2, 1.0, COMPARED))
    compared = len(rows) - preferred
    singles = [one for one in judged if one.score is not None and len(scored[one.query]) == 1]
    if single_weight is not None:
        for one in singles:
            others = scores_of.get((one.route, one.other)) if one.other is not None else None
            if others and one.other is not None and one.score is not None:
                share = (1 + one.score - fmean(others)) / 2
                rows.append((one.query, one.model, one.other, share, single_weight, SINGLE))
    single = len(rows) - preferred - compared
    columns = list(zip(*rows, strict=True)) or [()] * 6
    queries, model_a, model_b, share_a, weight, source = columns
    battles = Battles.from_columns(queries, model_a, model_b, share_a, weight=weight, source=source)
    return FeedbackBattles(battles, preferred, compared, single, len(singles) - single, without_text)
