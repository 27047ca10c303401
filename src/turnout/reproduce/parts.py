"""Win rates that were worked out once are kept in the report's folder, so that a run that was killed goes on."""

from __future__ import annotations

import hashlib
import time
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import orjson

from turnout._version import __version__
from turnout.atomic_write import write_atomically
from turnout.types import JSON, FloatArray

_TOOK = "made_in_s"


class Parts:
    """Arrays by the hash of what they were made from: data, router, settings, encoder and version.

    Args:
        folder: made when the first part is kept.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.n_made = 0
        self.n_reused = 0
        self.reused_s = 0.0
        """How long those that were used again had taken to make."""

    def get(
        self, made_from: Mapping[str, JSON], make: Callable[[], Mapping[str, FloatArray]]
    ) -> Mapping[str, FloatArray]:
        """The part that was kept, or a new one, which is kept."""
        key = hashlib.sha256(orjson.dumps({**made_from, "turnout": __version__}, option=orjson.OPT_SORT_KEYS))
        path = self.folder / f"{key.hexdigest()[:32]}.npz"
        if (kept := _read(path)) is not None:
            self.n_reused += 1
            self.reused_s += float(kept[_TOOK])
            return kept
        start = time.perf_counter()
        made = {**make(), _TOOK: np.array(time.perf_counter() - start)}
        with write_atomically(path) as file:
            np.savez(file, **made)  # type: ignore[arg-type]  # names are ours
        self.n_made += 1
        return made


def _read(path: Path) -> dict[str, FloatArray] | None:
    """The arrays of a file; None where it is absent or damaged, since it can be made anew."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            kept = {name: np.asarray(arrays[name], dtype=np.float64) for name in arrays.files}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    return kept if _TOOK in kept else None
