"""How SQLite files that several processes write are opened."""

from __future__ import annotations

import sqlite3
import time

_PAUSE_S = 0.01


def keep_write_ahead_log(connection: sqlite3.Connection, *, wait_s: float) -> None:
    """Let readers and one writer of a file work at a time; a killed process then loses nothing that was committed.

    A new file has to be changed to that. SQLite does it only for one that is alone with the file, and refuses at once,
    without the wait of other statements, where several begin on it together; so this tries again.

    Args:
        connection: to the file, outside of a transaction.
        wait_s: for how many seconds at least.

    Raises:
        sqlite3.Error: the file is none of SQLite's, or others keep it locked.
    """
    until = time.monotonic() + wait_s
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            return
        except sqlite3.OperationalError as error:
            is_busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
            if not is_busy or time.monotonic() >= until:
                raise
        time.sleep(_PAUSE_S)
