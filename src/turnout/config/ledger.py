"""Where decisions are recorded."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from turnout.errors import ConfigError

QueryText = Literal["full", "hash", "off"]
"""What the ledger keeps of a query: its text, a SHA-256 of it, or nothing."""


@dataclass(frozen=True, slots=True)
class LedgerConfig:
    """Where decisions are recorded, for how long, and how much of a query is kept."""

    path: Path | None = None
    """The SQLite file."""
    url_env: str | None = None
    """The environment variable that holds a `postgresql://` URL. Without a path and this there is no ledger."""
    query_text: QueryText = "hash"
    keep_days: float | None = None
    """Entries older than this are deleted; None keeps all."""

    def place(self, environment: Mapping[str, str] = os.environ) -> Path | str | None:
        """The file's path or the server's URL, or a ConfigError that names the variable that is not set."""
        if self.url_env is None:
            return self.path
        url = environment.get(self.url_env, "").strip()
        if not url.startswith(("postgresql://", "postgres://")):
            # What it holds may be a password.
            wrong = "does not hold a postgresql:// URL" if url else "is not set"
            raise ConfigError(
                f"[ledger]: the environment variable {self.url_env} (url_env) {wrong}. Set it to the database's "
                f"address, for example: export {self.url_env}=postgresql://USER:PASSWORD@HOST/DATABASE"
            )
        return url
