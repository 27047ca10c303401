"""Where `--benchmark` finds its outcomes when nobody says."""

from __future__ import annotations

from pathlib import Path

from turnout.data.remote_catalogue import OUTCOMES
from turnout.errors import InvalidValueError


def benchmark_folder(given: Path | None) -> Path:
    """The folder that was given, or else the outcomes that `turnout data pull` brought.

    Raises:
        InvalidValueError: there is neither.
    """
    if given is not None:
        return given
    if OUTCOMES.is_pulled:
        return OUTCOMES.folder
    raise InvalidValueError(
        "--benchmark needs --data DIR: the folder with the benchmark's outcomes. Those released with the paper come "
        f"with: turnout data pull {OUTCOMES.name}"
    )
