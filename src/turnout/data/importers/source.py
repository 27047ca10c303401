"""What every source is: where its rows are, and how one row becomes a battle or an outcome."""

from __future__ import annotations

import csv
import io
import itertools
import json
import sys
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

from turnout.data.battles import Battles
from turnout.data.importers.imported import Imported
from turnout.data.jsonl import damage_named, open_bytes, read_jsonl, write_jsonl
from turnout.data.outcomes import Outcomes
from turnout.data.parquet import read_parquet
from turnout.errors import DataError, InvalidValueError
from turnout.types import JSON

Row = Mapping[str, JSON]
Turns = Literal["all", "first"]

BETWEEN_TURNS = "\n\n"
"""What joins the user's turns to one query, as in the gateway."""

TIES = frozenset({"tie", "tie (bothbad)", "both_bad", "bothbad"})


class LeftOut(Exception):
    """A row that is in order but not wanted; the reason is counted."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class Source(ABC):
    """Reads one kind of file or folder.

    A plugin subclasses it and registers the class as an entry point of the group `turnout.importers`.
    """

    name: ClassVar[str]
    kind: ClassVar[Literal["battles", "outcomes", "questions"]]
    expects: ClassVar[str]
    """One line for `turnout data import --list`: which file this is."""

    def rows(self, path: Path) -> Iterator[tuple[int, Row]]:
        """(line, row) of a JSON Lines, JSON, CSV or Parquet file, told apart by its name."""
        suffixes = [suffix for suffix in path.suffixes if suffix != ".gz"]
        if suffixes[-1:] == [".csv"]:
            return read_csv(path)
        if suffixes[-1:] == [".parquet"]:
            return read_parquet(path)
        if suffixes[-1:] == [".json"]:
            return read_json_array(path)
        return read_jsonl(path)

    @abstractmethod
    def convert(self, row: Row) -> dict[str, JSON]:
        """The row as `Battles.read_jsonl` or `Outcomes.read_jsonl` expects it.

        Raises:
            LeftOut: the row is in order but not wanted.
            ValueError: the row cannot be used; says why.
        """


@dataclass
class Reading:
    """One pass over a source: good rows as they come, the others counted or kept."""

    source: Source
    path: Path
    min_characters: int = 0
    """Shorter queries are left out; the paper prunes below 16."""
    skip_bad: bool = False
    """Whether a row that cannot be used is kept in `rejected` instead of being an error."""
    dropped: Counter[str] = field(default_factory=Counter)
    rejected: list[dict[str, JSON]] = field(default_factory=list)

    def records(self) -> Iterator[tuple[int, dict[str, JSON]]]:
        """(line, record) of each good row.

        Raises:
            DataError: a row cannot be used; names the file and the line.
        """
        for line, row in self.source.rows(self.path):
            try:
                record = self.source.convert(row)
            except LeftOut as omission:
                self.dropped[omission.reason] += 1
                continue
            except (ValueError, KeyError, TypeError) as error:
                problem = f"'{error.args[0]}' is missing." if isinstance(error, KeyError) else str(error)
                if not self.skip_bad:
                    raise DataError(f"{problem} To skip such rows: --skip-bad", path=self.path, line=line) from error
                self.dropped["that cannot be used"] += 1
                self.rejected.append({"line": line, "problem": problem, "row": row})
                continue
            record["query"] = _without_lone_surrogates(record["query"])
            if len(record["query"]) < self.min_characters:
                self.dropped[f"shorter than {self.min_characters} characters"] += 1
                continue
            yield line, record

    def to_memory(self) -> Imported:
        """All good rows as battles or outcomes.

        Raises:
            InvalidValueError: the source gives questions, which go to a file (`to_file`).
        """
        if self.source.kind == "questions":
            raise InvalidValueError(f"'{self.source.name}' gives questions: write them to a file.")
        table = Battles if self.source.kind == "battles" else Outcomes
        return Imported(table.from_rows(self.records(), path=self.path), self.dropped)

    def to_file(self, out: str | Path) -> int:
        """Write the good rows as JSON Lines, one by one; returns how many. Rejected rows go to OUT.rejected.jsonl."""
        # Peek: an empty result must not replace a file that is there.
        records = (record for _, record in self.records())
        first = next(records, None)
        if first is None:
            left_out = ", ".join(f"{count:,} {reason}" for reason, count in self.dropped.items())
            raise DataError(f"holds no row to import ({left_out or 'it is empty'}).", path=self.path)
        written = write_jsonl(out, itertools.chain([first], records))
        if self.rejected:
            write_jsonl(f"{out}.rejected.jsonl", self.rejected)
        return written


def _without_lone_surrogates(text: str) -> str:
    """The text as UTF-8 can hold it: half of a surrogate pair, which JSON can spell, becomes the replacement sign."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def read_csv(path: Path) -> Iterator[tuple[int, Row]]:
    """(line, row) of a CSV file with a header; the line is the one on which the row ends.

    Raises:
        DataError: the file is not CSV or not UTF-8.
    """
    # A field may hold a whole conversation: the csv module's own limit of 128 KiB is too low.
    csv.field_size_limit(min(sys.maxsize, 64 * 2**20))
    with damage_named(path), open_bytes(path) as file:
        reader = csv.DictReader(io.TextIOWrapper(file, encoding="utf-8-sig", newline=""), strict=True)
        try:
            for row in reader:
                if None in row or None in row.values():
                    raise DataError(
                        f"has not the {len(reader.fieldnames or ())} fields of the header.",
                        path=path,
                        line=reader.line_num,
                    )
                yield reader.line_num, row
        except (csv.Error, UnicodeDecodeError) as error:
            raise DataError(f"not a CSV file ({error}).", path=path, line=reader.line_num + 1) from error


def read_json_array(path: Path) -> Iterator[tuple[int, Row]]:
    """(place, object) of a JSON file that holds an array of objects; places start at 1.

    Raises:
        DataError: the file is not that.
    """
    with damage_named(path), open_bytes(path) as file:
        try:
            values = json.loads(file.read().decode("utf-8-sig"))
        except (ValueError, RecursionError) as error:
            raise DataError(f"not JSON: {error}.", path=path) from error
    if not isinstance(values, list) or not all(isinstance(value, dict) for value in values):
        raise DataError("expected a JSON array of objects.", path=path)
    return enumerate(values, start=1)


def query_of_turns(turns: Sequence[JSON], which: Turns) -> str:
    """A conversation's query: the user's turns, or the first alone.

    >>> query_of_turns(["Name a river.", {"role": "assistant", "content": "Rhine"}, "A longer one?"], "all")
    'Name a river.\\n\\nA longer one?'
    """
    texts = [text for turn in turns if (text := _user_text(turn))]
    if not texts:
        raise ValueError("the conversation has no text of a user.")
    return texts[0] if which == "first" else BETWEEN_TURNS.join(texts)


def _user_text(turn: JSON) -> str:
    if turn is None:
        return ""
    if isinstance(turn, str):
        return turn
    if isinstance(turn, dict):
        return _content_text(turn.get("content")) if turn.get("role", "user") == "user" else ""
    raise ValueError(f"a turn must be text or an object with 'content', got {turn!r}.")


def _content_text(content: JSON) -> str:
    if isinstance(content, list):
        parts = (part.get("text") for part in content if isinstance(part, dict))
        return "\n".join(part for part in parts if isinstance(part, str))
    return content if isinstance(content, str) else ""


def check_turns(turns: str) -> Turns:
    """The setting, checked."""
    if turns not in ("all", "first"):
        raise InvalidValueError(f"turns must be 'all' or 'first', got '{turns}'.")
    return turns  # type: ignore[return-value]  # just checked


def text_of(row: Row, key: str) -> str:
    """A field that must hold text."""
    value = row[key]
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"'{key}' must be text, got {value!r}.")
    return value


def winner_share(winner: JSON) -> float:
    """Model a's share of an Arena vote: a win, a tie (both bad is one), or a loss."""
    if winner == "model_a":
        return 1.0
    if winner == "model_b":
        return 0.0
    if winner in TIES:
        return 0.5
    raise ValueError(f"winner must be 'model_a', 'model_b', 'tie' or 'tie (bothbad)', got {winner!r}.")
