"""The replies file: what models said, one line a call, written as it comes, so that no answer is paid for twice.

A run that was killed goes on from here. A line that was being written at that moment is dropped; everything before it
holds. Only one run at a time may write to a file.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import orjson

from turnout.data.jsonl import parse_object, read_lines
from turnout.data.questions import Answer, Question
from turnout.errors import DataError, NotWritableError
from turnout.file_lock import lock_file
from turnout.types import JSON

ANSWER = "answer"
"""The part that a model's own answer to a question is; verdicts of a judge are other parts."""

_SYNC_LINES = 32
_SYNC_S = 1.0
_LINE_BEGINS = b'{"id":'


@dataclass(frozen=True, slots=True)
class CallName:
    """What a call is known by in the file."""

    id: str
    """The question's."""
    model: str
    part: str = ANSWER
    """Which of the calls about this question it is."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What a model said to one call, and what that took."""

    text: str
    finish_reason: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_usd: float | None = None
    """None where the price or the tokens are unknown."""

    def as_answer(self) -> Answer:
        """The reply as a question's stored answer."""
        return Answer(self.text, self.cost_usd, self.input_tokens, self.output_tokens)


class Replies:
    """The replies file, open for one run: look up what is stored, add what comes.

    Only places are kept in memory, not texts.
    """

    def __init__(self, path: str | Path) -> None:
        """Open the file, or begin it.

        Raises:
            DataError: another run has it open, or it is no replies file; such a file is left as it is.
        """
        self.path = Path(path)
        if self.path.suffix == ".gz":
            raise DataError("a replies file grows line by line and cannot be packed; name it .jsonl.", path=path)
        self.charged_usd = 0.0
        """What all calls in the file cost, with the worst case where the cost is unknown."""
        self.dropped_bytes = 0
        """Of a line that was cut off when an earlier run was killed."""
        self._places: dict[CallName, tuple[int, int, str]] = {}
        self._unsynced = 0
        self._synced_at = time.monotonic()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("a+b", buffering=0)
        except OSError as error:
            raise DataError(f"cannot be written: {error.strerror}.", path=path) from error
        try:
            self._lock()
            self._read()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __len__(self) -> int:
        return len(self._places)

    def close(self) -> None:
        """Make sure that all is on the disk, and let others have the file."""
        os.fsync(self._file.fileno())
        self._file.close()

    def get(self, name: CallName, request: str | None = None) -> Reply | None:
        """The stored reply to a call, or None.

        Args:
            name: the call.
            request: what identifies its words and settings; None takes the reply whatever they were.

        Raises:
            DataError: the stored reply is to other words or settings.
        """
        place = self._places.get(name)
        if place is None:
            return None
        offset, length, stored_request = place
        if request is not None and request != stored_request:
            raise DataError(
                f"holds a reply of '{name.model}' about '{name.id}' ({name.part}) that was asked for in other words or "
                "with other settings. Give the same ones again, or begin another file with --replies.",
                path=self.path,
            )
        self._file.seek(offset)
        return _reply(orjson.loads(self._file.read(length)))

    def add(self, name: CallName, request: str, reply: Reply, *, charged_usd: float | None = None) -> None:
        """Store a reply; once this returns, a kill of the process does not lose it.

        Args:
            name: the call.
            request: what identifies its words and settings.
            reply: what came.
            charged_usd: what the budget counts, if that is not the cost.

        Raises:
            NotWritableError: the disk is full, say; the file holds what it held before.
        """
        row: dict[str, JSON] = {**_name_row(name), "request": request, "reply": reply.text}
        for key in ("finish_reason", "input_tokens", "output_tokens", "cost_usd"):
            if (value := getattr(reply, key)) is not None:
                row[key] = value
        if charged_usd is not None and charged_usd != reply.cost_usd:
            row["charged_usd"] = charged_usd
        self._places[name] = (*self._append(row), request)
        self.charged_usd += _charged(row)

    def add_failure(self, name: CallName, request: str, problem: str, charged_usd: float) -> None:
        """Note a call that brought no reply but may have cost something."""
        self._append({**_name_row(name), "request": request, "failed": problem, "charged_usd": charged_usd})
        self.charged_usd += charged_usd

    def _append(self, row: dict[str, JSON]) -> tuple[int, int]:
        line = orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE)
        offset, rest = self._file.seek(0, os.SEEK_END), line
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            self._file.truncate(offset)  # half a line would run into the next one
            raise NotWritableError(self.path, error.strerror or str(error)) from error
        self._unsynced += 1
        # The system keeps what is written even if this process is killed; syncing is for when the machine goes down.
        if self._unsynced >= _SYNC_LINES or time.monotonic() - self._synced_at > _SYNC_S:
            os.fsync(self._file.fileno())
            self._unsynced, self._synced_at = 0, time.monotonic()
        return offset, len(line)

    def _lock(self) -> None:
        if not lock_file(self._file):
            raise DataError("another run is writing to this file. Wait for it, or stop it.", path=self.path)

    def _read(self) -> None:
        """Find every reply, and mend a last line that was never finished."""
        offset, line = 0, b"\n"
        with self.path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if not line.endswith(b"\n") and not _is_json(line):
                    self._drop(offset, line, number)
                    return
                row = parse_object(line, path=self.path, line=number)
                name = _call_name(row, self.path, number)
                self.charged_usd += _charged(row)
                if "reply" in row:
                    self._places[name] = (offset, len(line), row["request"])
                offset += len(line)
        if not line.endswith(b"\n"):
            self._file.write(b"\n")

    def _drop(self, offset: int, line: bytes, number: int) -> None:
        _check_cut_off(line, self.path, number)
        self.dropped_bytes = len(line)
        self._file.truncate(offset)


def with_answers(questions: Iterable[Question], path: str | Path) -> Iterator[Question]:
    """The questions with the answers that a replies file holds for them, besides those they have.

    A last line that was cut off, or is being written, is left out.

    Raises:
        DataError: a line is no reply; names the file and the line.
    """
    answers: dict[str, dict[str, Answer]] = {}
    for line, row in _finished_rows(path):
        name = _call_name(row, path, line)
        if name.part == ANSWER and "reply" in row:
            answers.setdefault(name.id, {})[name.model] = _reply(row).as_answer()
    for question in questions:
        yield replace(question, answers={**question.answers, **answers.get(question.id, {})})


def _finished_rows(path: str | Path) -> Iterator[tuple[int, dict[str, JSON]]]:
    for number, line in read_lines(path):
        if not line.endswith(b"\n") and not _is_json(line):
            return _check_cut_off(line, path, number)
        yield number, parse_object(line, path=path, line=number)


def _check_cut_off(line: bytes, path: str | Path, number: int) -> None:
    """Raise DataError if a last line that is no JSON cannot be the beginning of a reply, or what a power cut left."""
    if not _LINE_BEGINS.startswith(line[: len(_LINE_BEGINS)]) and line.strip(b"\0"):
        raise DataError("not a replies file: name another one.", path=path, line=number)


def _is_json(line: bytes) -> bool:
    try:
        orjson.loads(line)
    except orjson.JSONDecodeError:
        return False
    return True


def _name_row(name: CallName) -> dict[str, JSON]:
    return {"id": name.id, "model": name.model, "part": name.part}


def _call_name(row: dict[str, JSON], path: str | Path, line: int) -> CallName:
    keys = ("id", "model", "part", "request")
    if not all(isinstance(row.get(key), str) for key in keys) or ("reply" in row) == ("failed" in row):
        raise DataError("not a reply: expected id, model, part, request, and reply or failed.", path=path, line=line)
    return CallName(row["id"], row["model"], row["part"])


def _reply(row: dict[str, Any]) -> Reply:
    return Reply(
        text=row["reply"],
        finish_reason=row.get("finish_reason"),
        input_tokens=row.get("input_tokens"),
        output_tokens=row.get("output_tokens"),
        cost_usd=row.get("cost_usd"),
    )


def _charged(row: dict[str, Any]) -> float:
    return float(row.get("charged_usd", row.get("cost_usd", 0.0)))
