"""A cache around any encoder, in memory and, if wanted, on disk."""

from __future__ import annotations

import hashlib
import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from turnout.encoders.base import check_texts
from turnout.errors import ArtifactError, InvalidValueError
from turnout.types import Encoder, VectorArray
from turnout.write_ahead_log import keep_write_ahead_log

_SCHEMA = """
CREATE TABLE IF NOT EXISTS vectors (
    encoder TEXT NOT NULL,
    text_hash BLOB NOT NULL,
    vector BLOB NOT NULL,
    PRIMARY KEY (encoder, text_hash)
) WITHOUT ROWID
"""
_BUSY_S = 30.0
_ASKED_AT_ONCE = 500  # below SQLite's limit on variables in one statement


class CachedEncoder:
    """Another encoder that remembers: the same vectors, name and identity, and no text encoded twice.

    The last `capacity` vectors stay in memory, those used longest ago leave first. With `path` every vector is
    also kept in an SQLite file, which several encoders and processes may share; texts themselves are not
    stored, only their hashes. Safe to use from several threads.

    >>> from turnout.encoders.hashing import HashingEncoder
    >>> encoder = CachedEncoder(HashingEncoder(dim=8))
    >>> _ = encoder.encode(["hello", "hello", "world"])
    >>> encoder.hits, encoder.misses
    (1, 2)
    """

    def __init__(self, inner: Encoder, *, capacity: int = 20_000, path: str | Path | None = None) -> None:
        if capacity < 0:
            raise InvalidValueError(f"capacity must be at least 0, got {capacity}.")
        self.inner = inner
        self.name = inner.name
        self.dim = inner.dim
        self.capacity = capacity
        self.path = None if path is None else str(path)
        self.hits = 0
        self.misses = 0
        self._recent: OrderedDict[bytes, VectorArray] = OrderedDict()
        self._lock = threading.Lock()
        self._disk = None if path is None else _open(Path(path))

    @property
    def identity(self) -> str:
        """That of the encoder within: the vectors are the same."""
        return self.inner.identity

    def encode(self, texts: Sequence[str]) -> VectorArray:
        """The vectors of the encoder within, shape (n_texts, dim), float32; a fresh array each time."""
        check_texts(texts)
        keys = [hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=16).digest() for text in texts]
        distinct = dict(zip(keys, texts, strict=True))
        found = self._look_up(distinct)
        missing = [key for key in distinct if key not in found]
        with self._lock:
            self.hits += len(texts) - len(missing)
            self.misses += len(missing)
        if missing:
            # Outside the lock: a slow encoder must not hold up those who find what they need.
            encoded = self.inner.encode([distinct[key] for key in missing])
            fresh = {key: vector.copy() for key, vector in zip(missing, encoded, strict=True)}
            self._remember(fresh)
            found |= fresh
        vectors = np.empty((len(texts), self.dim), dtype=np.float32)
        for row, key in enumerate(keys):
            vectors[row] = found[key]
        return vectors

    def close(self) -> None:
        """Close the file, if there is one."""
        if self._disk is not None:
            self._disk.close()

    def _look_up(self, keys: Iterable[bytes]) -> dict[bytes, VectorArray]:
        with self._lock:
            found = {}
            for key in keys:
                if (vector := self._recent.get(key)) is not None:
                    self._recent.move_to_end(key)
                    found[key] = vector
            if self._disk is not None:
                on_disk = self._read([key for key in keys if key not in found])
                self._keep(on_disk)
                found |= on_disk
        return found

    def _remember(self, vectors: dict[bytes, VectorArray]) -> None:
        with self._lock:
            self._keep(vectors)
            if self._disk is not None:
                rows = [(self.identity, key, _to_bytes(vector)) for key, vector in vectors.items()]
                with self._disk:
                    self._disk.executemany("INSERT OR IGNORE INTO vectors VALUES (?, ?, ?)", rows)

    def _keep(self, vectors: dict[bytes, VectorArray]) -> None:
        self._recent.update(vectors)
        while len(self._recent) > self.capacity:
            self._recent.popitem(last=False)

    def _read(self, keys: Sequence[bytes]) -> dict[bytes, VectorArray]:
        assert self._disk is not None
        found = {}
        for start in range(0, len(keys), _ASKED_AT_ONCE):
            asked = keys[start : start + _ASKED_AT_ONCE]
            places = ",".join("?" * len(asked))
            rows = self._disk.execute(
                f"SELECT text_hash, vector FROM vectors WHERE encoder = ? AND text_hash IN ({places})",
                [self.identity, *asked],
            )
            for key, content in rows:
                if len(content) != 4 * self.dim:
                    raise ArtifactError(
                        f"{self.path}: a stored vector has {len(content) // 4} numbers, expected {self.dim}. "
                        "Delete the file; it will be filled again."
                    )
                found[key] = np.frombuffer(content, dtype="<f4").astype(np.float32)
        return found


def _to_bytes(vector: VectorArray) -> bytes:
    return vector.astype("<f4").tobytes()


def _open(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        connection = sqlite3.connect(path, check_same_thread=False, timeout=_BUSY_S)
    except sqlite3.OperationalError as error:
        raise _cannot_keep(path, error) from error
    try:
        keep_write_ahead_log(connection, wait_s=_BUSY_S)
        with connection:
            connection.execute(_SCHEMA)
    except sqlite3.OperationalError as error:  # locked, read-only, full: nothing of what it holds
        connection.close()
        raise _cannot_keep(path, error) from error
    except sqlite3.DatabaseError as error:
        connection.close()
        raise ArtifactError(
            f"{path}: not a cache of vectors ({error}). Name another file; or, if it is one that was damaged, "
            "delete it: it will be filled again."
        ) from error
    return connection


def _cannot_keep(path: Path, error: sqlite3.OperationalError) -> ArtifactError:
    return ArtifactError(f"{path}: vectors cannot be kept there ({error}). Name another file.")
