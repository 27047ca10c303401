"""Every error that Turnout raises on purpose. Each says what was wrong, what is expected and what to do.

TurnoutError
├── InvalidValueError       an argument or a setting is out of its range (also a ValueError)
├── UnknownNameError        no router, encoder, model … has this name (also a LookupError)
├── DataError               a data file or a data set cannot be used; names the file and the line
│   └── EmptyDataError      nothing is left to learn from or to measure
├── NotWritableError        a file or a folder cannot be written (also an OSError)
├── NotFittedError          a router was asked for win rates before it learned anything
├── ArtifactError           a router folder is damaged or of another format
│   └── EncoderMismatchError    a router was loaded with another encoder than it was trained with
├── ConfigError             the configuration file cannot be used; names the key
├── MissingExtraError       an optional dependency is not installed (also an ImportError)
├── MissingModelError       a model's weights are not on this machine; names the command that pulls them
├── BudgetExceededError     a run would cost more than it was allowed to
├── LedgerError             the gateway's ledger cannot be read or written
│   └── UnstorableError         it can, but never what it was given to keep
└── UpstreamError           a model provider did not answer as it should
    ├── UpstreamUnreachableError    refused, reset or cut off
    ├── UpstreamUnavailableError    not called at all: it keeps failing, or has its hands full
    ├── UpstreamTimeoutError        too slow, and which of the time limits it was
    ├── UpstreamStatusError         an HTTP status other than 200, with the body it came with
    └── UpstreamProtocolError       a body or a stream that is not what the protocol says
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path


class TurnoutError(Exception):
    """Base of all errors that Turnout raises on purpose."""


class InvalidValueError(TurnoutError, ValueError):
    """An argument or a setting is out of its range."""


class UnknownNameError(TurnoutError, LookupError):
    """No thing of this kind has this name; the message suggests the nearest that has."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        self.kind = kind
        self.name = name
        self.known = sorted(known)
        nearest = difflib.get_close_matches(name, self.known, n=1)
        hint = f" Did you mean '{nearest[0]}'?" if nearest else ""
        listing = ", ".join(self.known[:40]) if self.known else "none"
        if len(self.known) > 40:
            listing += f" and {len(self.known) - 40} more"
        super().__init__(f"No {kind} named '{name}'.{hint} Known: {listing}.")


class DataError(TurnoutError):
    """A data file or a data set cannot be used as it is."""

    def __init__(self, problem: str, *, path: str | Path | None = None, line: int | None = None) -> None:
        self.problem = problem
        self.path = path
        self.line = line
        place = "" if path is None else f"{path}: " if line is None else f"{path}, line {line}: "
        super().__init__(f"{place}{problem}")


class EmptyDataError(DataError):
    """Nothing is left to learn from or to measure."""


class NotWritableError(TurnoutError, OSError):
    """A file or a folder cannot be written, or must not be replaced; whatever was there is as it was."""

    def __init__(self, path: str | Path, reason: str) -> None:
        super().__init__(f"{path} cannot be written: {reason}.")
        self.path = path
        self.strerror = reason


class NotFittedError(TurnoutError):
    """A router was asked for win rates before it learned anything."""

    def __init__(self, what: str) -> None:
        super().__init__(f"This {what} is not fitted yet. Call fit(battles) first, or load a fitted router.")


class ArtifactError(TurnoutError):
    """A router folder is damaged, incomplete or of another format."""


class EncoderMismatchError(ArtifactError):
    """A router was loaded with another encoder than the one it was trained with."""

    def __init__(self, trained_with: str, given: str) -> None:
        super().__init__(
            f"This router was trained with the encoder '{trained_with}', but was given '{given}'. "
            "Vectors of different encoders mean different things: load it with the encoder it was trained "
            "with, or train it anew."
        )


class ConfigError(TurnoutError):
    """The configuration file cannot be used; the message names the key."""


class MissingExtraError(TurnoutError, ImportError):
    """An optional dependency is not installed."""

    def __init__(self, package: str, *, extra: str, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs the package '{package}', which is not installed. "
            f"Install it with: pip install 'turnout[{extra}]'"
        )


class MissingModelError(TurnoutError):
    """A model's weights are not on this machine; nothing is fetched unless asked for."""

    def __init__(self, name: str, folder: str | Path, pull_command: str) -> None:
        super().__init__(f"The weights of '{name}' are not in {folder}. Fetch them once with: {pull_command}")


class BudgetExceededError(TurnoutError):
    """A run would cost more than it was allowed to; what was done so far is kept."""


class LedgerError(TurnoutError):
    """The gateway's ledger cannot be read or written."""


class UnstorableError(LedgerError):
    """The ledger cannot hold what it was given, however often that is tried. The message repeats none of it."""


class UpstreamError(TurnoutError):
    """A model provider did not answer as it should."""


class UpstreamUnreachableError(UpstreamError):
    """The provider refused the connection, or it was reset or cut off."""


class UpstreamUnavailableError(UpstreamError):
    """The provider was not called: it kept failing before, or has as many calls under way as it may have."""

    def __init__(self, message: str, *, retry_after_s: float) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(message)


class UpstreamTimeoutError(UpstreamError):
    """The provider was too slow; the message names the time limit that ran out."""

    def __init__(self, message: str, *, limit: str | None = None) -> None:
        self.limit = limit
        """Such as `first_byte_s`."""
        super().__init__(message)


class UpstreamStatusError(UpstreamError):
    """The provider answered with an HTTP status other than 200."""

    def __init__(self, status: int, body: bytes, *, retry_after_s: float | None = None) -> None:
        self.status = status
        self.body = body
        self.retry_after_s = retry_after_s
        super().__init__(f"The provider answered with HTTP status {status}.")


class UpstreamProtocolError(UpstreamError):
    """The provider sent a body or a stream that is not what the protocol says."""
