"""JSON Lines in and out: streamed, gzip by the name's ending, errors with their line, atomic writes."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

import orjson

from turnout.atomic_write import write_atomically
from turnout.errors import DataError
from turnout.types import JSON

MAX_LINE_BYTES = 64 * 2**20

LARGEST_NUMBER = 1e12
"""The largest score, cost or weight: anything larger is a slip, and its sums and squares would swamp all others."""

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_DAMAGE = (OSError, EOFError, zlib.error)


def open_bytes(path: str | Path) -> IO[bytes]:
    """A file opened for reading, unpacked if its name ends in .gz.

    Raises:
        DataError: there is no such file, or it cannot be opened.
    """
    path = Path(path)
    try:
        return cast("IO[bytes]", gzip.open(path, "rb")) if path.suffix == ".gz" else path.open("rb")
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror or error}.", path=path) from error


@contextmanager
def damage_named(path: str | Path) -> Iterator[None]:
    """Around the reading of an opened file: what goes wrong in it, such as a damaged .gz, becomes a DataError."""
    try:
        yield
    except _DAMAGE as error:
        raise DataError(f"cannot be read: {error}.", path=path) from error


def read_lines(path: str | Path) -> Iterator[tuple[int, bytes]]:
    """(line number, line) for each line that is not blank, its end included; line numbers start at 1.

    Raises:
        DataError: the file cannot be read, or a line is too long to be one; names the file and the line.
    """
    with open_bytes(path) as file:
        number = 0
        while True:
            number += 1
            try:
                line = file.readline(MAX_LINE_BYTES + 1)
            except _DAMAGE as error:
                raise DataError(f"cannot be read: {error}.", path=path, line=number) from error
            if number == 1:  # programs on Windows like to write one
                line = line.removeprefix(_BYTE_ORDER_MARK)
            if not line:
                return
            if len(line) > MAX_LINE_BYTES:
                raise DataError(f"the line is longer than {MAX_LINE_BYTES:,} bytes.", path=path, line=number)
            if not line.isspace():
                yield number, line


def read_jsonl(path: str | Path) -> Iterator[tuple[int, dict[str, JSON]]]:
    """(line number, object) for each line that is not blank; line numbers start at 1.

    Raises:
        DataError: a line is not a JSON object; names the file and the line.
    """
    for number, line in read_lines(path):
        yield number, parse_object(line, path=path, line=number)


def parse_object(text: bytes, *, path: str | Path, line: int) -> dict[str, JSON]:
    """The JSON object that a line holds, or a DataError that names the line."""
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise DataError(f"not JSON: {error}.", path=path, line=line) from error
    if not isinstance(value, dict):
        raise DataError(f"expected a JSON object, got {type(value).__name__}.", path=path, line=line)
    return value


def write_jsonl(path: str | Path, rows: Iterable[Mapping[str, Any]]) -> int:
    """Write one object a line, atomically; returns how many. The file is packed if its name ends in .gz."""
    count = 0
    with write_atomically(path) as file, _packed(file, path) as sink:
        for row in rows:
            sink.write(orjson.dumps(row, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE))
            count += 1
    return count


@contextmanager
def _packed(file: IO[bytes], path: str | Path) -> Iterator[IO[bytes]]:
    if not str(path).endswith(".gz"):
        yield file
        return
    # A fixed time stamp and no name: equal rows give equal bytes.
    with gzip.GzipFile(filename="", fileobj=file, mode="wb", mtime=0) as packed:
        yield cast("IO[bytes]", packed)
