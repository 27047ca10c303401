"""The command line in a process of its own."""

from __future__ import annotations

import re
import sys
from typing import IO

TURNOUT = (sys.executable, "-c", "from turnout.cli import main; main()")


def read_until(stream: IO[str], pattern: str) -> tuple[re.Match[str], str]:
    """(the match, all that was said until then)."""
    said = ""
    while not (found := re.search(pattern, said)):
        line = stream.readline()
        assert line, f"it ended without having said {pattern}: {said}"
        said += line
    return found, said
