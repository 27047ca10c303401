"""Data sets of others: where they are, under which terms, and how they come into the user's folder."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from turnout.atomic_write import write_atomically
from turnout.downloads import Expected, Progress, Voucher, cannot_write, fetch, hub, sha256_of, user_folder
from turnout.errors import DataError, InvalidValueError
from turnout.types import JSON

GITHUB = "https://raw.githubusercontent.com"
LOCK = "lock.json"

Host = Literal["hub", "hub-models", "github"]


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """One file of a set."""

    path: str
    """In its repository."""
    name: str = ""
    """In the folder here; by default the last part of the path."""
    sha256: str | None = None
    """None where it is nowhere published: then the first pull writes down what came, and later ones hold to that."""
    max_bytes: int = 2 << 30

    @property
    def local_name(self) -> str:
        """The file's name in the set's folder."""
        return self.name or self.path.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class Repository:
    """Files of one repository at one revision."""

    host: Host
    name: str
    files: tuple[RemoteFile, ...]
    revision: str | None = None
    """A whole commit hash; None where none is published: then the first pull writes down the commit that it met."""
    branch: str = "main"
    """What is asked for where there is no revision."""

    def url(self, file: RemoteFile, revision: str | None) -> str:
        """The file's address at a revision, or on the branch."""
        if self.host == "github":
            return f"{GITHUB}/{self.name}/{revision or self.branch}/{file.path}"
        kind = "datasets/" if self.host == "hub" else ""
        return f"{hub()}/{kind}{self.name}/resolve/{revision or self.branch}/{file.path}"


@dataclass(frozen=True, slots=True)
class RemoteSet:
    """A data set that can be pulled."""

    name: str
    what: str
    """One line for people."""
    licence: str
    repositories: tuple[Repository, ...]
    n_bytes: int
    """About how many, all files together."""
    pinned_from: str
    """Where the revisions and hashes were found."""
    rows: int | None = None
    terms: str = ""
    """What has to be accepted before the first byte; empty for a licence that asks for nothing."""
    next_step: str = ""
    """The command that makes use of it; {folder} stands for where it is."""
    kept_in: str = "data"
    """The part of the user's folder."""

    @property
    def folder(self) -> Path:
        """Where the files stand once they are pulled."""
        return user_folder() / self.kept_in / self.name

    @property
    def revision(self) -> str:
        """The commits, for people."""
        return ", ".join(part.revision[:12] if part.revision else "no revision" for part in self.repositories)

    @property
    def is_pulled(self) -> bool:
        """Whether all files are here at the size that was written down."""
        lock = read_lock(self.folder)
        names = [file.local_name for part in self.repositories for file in part.files]
        return all(name in lock.files and _size(self.folder / name) == lock.files[name].size for name in names)

    def pull(self, *, accepted: bool = False, progress: Progress | None = None) -> Path:
        """Bring all files that are not here, whole and unchanged; returns the folder.

        Args:
            accepted: whether the terms were read and accepted.
            progress: called with the bytes as they come.

        Raises:
            InvalidValueError: there are terms to accept.
            ArtifactError: a file is another than published, or than at the first pull.
            ConfigError: the folder cannot be written.
            UpstreamUnreachableError: a file could not be had; what has come so far is kept.
        """
        if self.terms and not accepted:
            raise InvalidValueError(
                f"'{self.name}' has terms to accept first: {self.terms} To accept them: "
                f"turnout data pull {self.name} --accept-licence"
            )
        lock = read_lock(self.folder)
        for part in self.repositories:
            for file in part.files:
                self._pull_file(part, file, lock, progress)
        return self.folder

    def _pull_file(self, part: Repository, file: RemoteFile, lock: Lock, progress: Progress | None) -> None:
        target, known = self.folder / file.local_name, lock.files.get(file.local_name)
        sha256 = file.sha256 or (known.sha256 if known else None)
        revision = part.revision or lock.revisions.get(part.name)
        if target.is_file() and sha256 is not None and sha256_of(target) == sha256:
            if progress is not None:
                progress(target.stat().st_size)
            if known is not None:
                return
            came = LockedFile(sha256, target.stat().st_size, "pinned hash")
        else:
            expected = Expected(sha256=sha256, max_bytes=file.max_bytes)
            fetched = fetch(part.url(file, revision), target, expected, progress=progress)
            vouched_by = known.vouched_by if known and file.sha256 is None else fetched.vouched_by
            came = LockedFile(fetched.sha256, fetched.size, vouched_by)
            revision = revision or fetched.revision
        lock.files[file.local_name] = came
        if revision is not None:
            lock.revisions[part.name] = revision
        lock.write(self.folder)


@dataclass(frozen=True, slots=True)
class LockedFile:
    """A file as it was when it came first."""

    sha256: str
    size: int
    vouched_by: Voucher


@dataclass
class Lock:
    """What has been pulled into a folder: later pulls hold to it."""

    files: dict[str, LockedFile] = field(default_factory=dict)
    revisions: dict[str, str] = field(default_factory=dict)
    """Repository → commit."""

    def write(self, folder: Path) -> None:
        """Into the folder's `lock.json`."""
        try:
            with write_atomically(folder / LOCK) as sink:
                sink.write(json.dumps(asdict(self), indent=2, sort_keys=True).encode() + b"\n")
        except OSError as error:
            raise cannot_write(folder / LOCK, error) from error


def read_lock(folder: Path) -> Lock:
    """The folder's lock; an empty one if nothing was pulled.

    Raises:
        DataError: the file is damaged.
    """
    path = folder / LOCK
    if not path.is_file():
        return Lock()
    try:
        value = json.loads(path.read_bytes())
        files = {str(name): LockedFile(**entry) for name, entry in value["files"].items()}
        return Lock(files, dict(value["revisions"]))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"is damaged ({error}). Delete the folder and pull again.", path=path) from error


def describe(remote: RemoteSet) -> dict[str, JSON]:
    """The set for `turnout data pull --list --json`."""
    return {
        "name": remote.name,
        "what": remote.what,
        "licence": remote.licence,
        "terms": remote.terms,
        "bytes": remote.n_bytes,
        "rows": remote.rows,
        "repositories": [{"host": p.host, "name": p.name, "revision": p.revision} for p in remote.repositories],
        "pinned_from": remote.pinned_from,
        "pulled": remote.is_pulled,
        "folder": str(remote.folder),
    }


def _size(path: Path) -> int | None:
    return path.stat().st_size if path.is_file() else None
