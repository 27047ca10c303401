"""Your own JSON Lines, JSON or CSV with named columns."""

from __future__ import annotations

import math

from turnout.data.importers.source import Row, Source, text_of
from turnout.errors import InvalidValueError
from turnout.types import JSON

_WINS = {"a": 1.0, "model_a": 1.0, "1": 1.0, "b": 0.0, "model_b": 0.0, "2": 0.0, "tie": 0.5}


class BattleTable(Source):
    """Battles with columns of your naming."""

    name = "battles"
    kind = "battles"
    expects = "your battles: a query, two models and a winner (a, b, tie) or model a's share; columns as you name them"

    def __init__(
        self,
        *,
        query_column: str = "query",
        model_a_column: str = "model_a",
        model_b_column: str = "model_b",
        winner_column: str = "winner",
        share_column: str = "",
        source_name: str = "",
    ) -> None:
        self.query_column = query_column
        self.model_a_column = model_a_column
        self.model_b_column = model_b_column
        self.winner_column = winner_column
        self.share_column = share_column
        self.source_name = source_name

    def convert(self, row: Row) -> dict[str, JSON]:
        """One row as a battle."""
        return {
            "query": text_of(row, self.query_column),
            "model_a": text_of(row, self.model_a_column),
            "model_b": text_of(row, self.model_b_column),
            "share_a": self._share(row),
            "source": self.source_name,
        }

    def _share(self, row: Row) -> float:
        if self.share_column:
            share = _number(row, self.share_column)
            if not 0 <= share <= 1:
                raise ValueError(f"'{self.share_column}' must be in [0, 1], got {share:g}.")
            return share
        winner = str(row[self.winner_column]).strip()
        # The winner may be named by its model instead of its place.
        places = {**_WINS, str(row[self.model_a_column]): 1.0, str(row[self.model_b_column]): 0.0}
        if winner not in places:
            raise ValueError(f"'{self.winner_column}' must be a, b, tie or a model of the row, got {winner!r}.")
        return places[winner]


class OutcomeTable(Source):
    """Outcomes with a column for each model's score."""

    name = "outcomes"
    kind = "outcomes"
    expects = "your outcomes: a query and a score column for each model; columns as you name them"

    def __init__(
        self, *, query_column: str = "query", score_columns: str = "", id_column: str = "", source_name: str = ""
    ) -> None:
        self.query_column = query_column
        self.score_columns = score_columns
        self.id_column = id_column
        self.source_name = source_name

    def convert(self, row: Row) -> dict[str, JSON]:
        """One row as an outcome; `score_columns` are MODEL or MODEL=COLUMN, separated by commas."""
        named = [part.strip().partition("=") for part in self.score_columns.split(",") if part.strip()]
        if not named:
            raise InvalidValueError("Name the score columns: --set score_columns=MODEL=COLUMN,MODEL=COLUMN")
        record: dict[str, JSON] = {
            "query": text_of(row, self.query_column),
            "scores": {model: _number(row, column or model) for model, _, column in named},
            "source": self.source_name,
        }
        if self.id_column:
            record["id"] = str(row[self.id_column])
        return record


def _number(row: Row, column: str) -> float:
    value = row[column]
    if isinstance(value, str) and value.strip().lower() in ("true", "false"):
        return float(value.strip().lower() == "true")
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise ValueError(f"'{column}' must be a number, got {value!r}.") from None
    if not math.isfinite(number):
        raise ValueError(f"'{column}' must be a finite number, got {value!r}.")
    return number
