"""Whether this process alone may write to a file."""

from __future__ import annotations

from typing import IO


def lock_file(file: IO[bytes] | int) -> bool:
    """Take the lock of an open file or folder until it is closed; False if another process has it.

    On Windows always True.
    """
    try:
        import fcntl
    except ImportError:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
