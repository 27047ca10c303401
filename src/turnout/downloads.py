"""One way to bring a file from a hub: bounded, taken up again after a cut, and checked before it gets its name.

What arrives stands in NAME.part beside its place until all of it is there and its hash was found right. A run that was
killed leaves that file behind, and the next one asks only for the rest (a range request).
"""

from __future__ import annotations

import hashlib
import http.client
import os
import re
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email.message import Message
from pathlib import Path
from typing import IO, Any, Literal

from turnout.call_limits import Retries, parse_retry_after
from turnout.errors import ArtifactError, ConfigError, UpstreamUnreachableError
from turnout.file_lock import lock_file

HOME_VARIABLE = "TURNOUT_HOME"
HUB_VARIABLE = "HF_ENDPOINT"
TOKEN_VARIABLE = "HF_TOKEN"

BLOCK = 1 << 20
"""Bytes that are read, hashed and reported at a time."""

_DEFAULT_HUB = "https://huggingface.co"
_SILENCE_S = 20.0
_WHOLE_S = 12 * 3600.0
_RETRIES = Retries(most=5, first_wait_s=1.0, longest_wait_s=60.0)
_SHA256, _GIT_BLOB = re.compile(r"[0-9a-f]{64}"), re.compile(r"[0-9a-f]{40}")

Progress = Callable[[int], None]
"""Called with the number of bytes that just arrived; negative if what was there had to be thrown away."""

Voucher = Literal["pinned hash", "hub's hash", "nobody"]
"""Who said beforehand what the bytes must be."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What is known of a file before it is here."""

    sha256: str | None = None
    size: int | None = None
    """Bytes, if they are known exactly."""
    max_bytes: int = 4 << 30
    """No more than this is read, whatever the server says."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """What has arrived."""

    sha256: str
    size: int
    vouched_by: Voucher
    revision: str | None = None
    """The commit that the hub says it comes from."""


def user_folder() -> Path:
    """Where Turnout keeps what it fetched: `TURNOUT_HOME`, or else the platform's folder for caches."""
    if home := os.environ.get(HOME_VARIABLE):
        return Path(home).expanduser()
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
        return base / "turnout" / "Cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "turnout"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "turnout"


def hub() -> str:
    """The address of the hub of models and data sets: `HF_ENDPOINT`, or else the public one."""
    return os.environ.get(HUB_VARIABLE, _DEFAULT_HUB).rstrip("/")


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def cannot_write(path: Path, error: OSError) -> ConfigError:
    """The error for a place in the user's folder that cannot be written."""
    return ConfigError(
        f"{path} cannot be written ({error.strerror or error}). What is fetched is kept under {user_folder()}; the "
        f"environment variable {HOME_VARIABLE} names another folder."
    )


def fetch(url: str, target: Path, expected: Expected, *, progress: Progress | None = None) -> Fetched:
    """Bring the file at an address to `target`; the folder is made if need be.

    The hub's token is read from `HF_TOKEN` for addresses of the hub, sent to no other host and stored nowhere. Cut
    connections, 429 and 5xx are tried again, at most five times in a row without a new byte; a Retry-After of up to a
    minute is kept to. A connection that was never made is not: there may be no network.

    Raises:
        ArtifactError: the bytes are others than expected, or too many; nothing of them is kept.
        ConfigError: the folder cannot be written, or another run is fetching the same file.
        UpstreamUnreachableError: the file could not be had; the message says why. What has arrived is kept for the
            next try.
    """
    return _Download(url, target, expected, progress or (lambda _: None)).run()


@dataclass
class _Facts:
    """What the hub's headers said on the way to the bytes."""

    revision: str | None = None
    hash: str | None = None
    size: int | None = None

    def note(self, headers: Message) -> None:
        """Keep what is new. A plain ETag is a hash only where it stands beside the hub's own header for the commit."""
        commit, linked = headers.get("X-Repo-Commit"), headers.get("X-Linked-Etag")
        self.revision = self.revision or commit
        self.hash = self.hash or _bare(linked) or (_bare(headers.get("ETag")) if commit else None)
        size = headers.get("X-Linked-Size")
        if size is not None and size.isdigit():
            self.size = int(size)


class _Request(urllib.request.Request):
    facts: _Facts


@dataclass
class _Download:
    url: str
    target: Path
    expected: Expected
    progress: Progress
    facts: _Facts = field(default_factory=_Facts)
    deadline: float = field(default_factory=lambda: time.monotonic() + _WHOLE_S)

    @property
    def part(self) -> Path:
        return self.target.with_name(self.target.name + ".part")

    @property
    def part_etag(self) -> Path:
        """The server's mark of the version that the part is of."""
        return self.target.with_name(self.target.name + ".part.etag")

    def run(self) -> Fetched:
        with self._alone():
            return self._run()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Have no other run fetch this file: each holds the lock of the part until that has its name or is left."""
        made = [folder for folder in self.part.parents if not folder.exists()]
        try:
            self.part.parent.mkdir(parents=True, exist_ok=True)
            file = self.part.open("ab")
        except OSError as error:
            raise cannot_write(self.target, error) from error
        with file:
            # Whoever held the lock may have renamed the part or removed it before it was ours.
            if not (lock_file(file) and _is_at(self.part, file)):
                raise ConfigError(f"{self.part}: another run is fetching this file. Wait for it, or stop it.")
            if os.name == "nt":
                file.close()  # an open file cannot be renamed there, and there are no locks
            try:
                yield
            except BaseException:
                if not self._arrived():
                    self.part.unlink(missing_ok=True)
                    self.part_etag.unlink(missing_ok=True)
                    with suppress(OSError):
                        for folder in made:
                            folder.rmdir()
                raise

    def _run(self) -> Fetched:
        self.progress(self._arrived())
        failures = 0
        while True:
            before = self._arrived()
            try:
                self._get_rest()
                break
            except _TryAgain as trouble:
                failures = failures + 1 if self._arrived() <= before else 0
                wait_s = _RETRIES.wait_s(max(0, failures - 1), trouble.retry_after_s)
                if wait_s is None:
                    raise UpstreamUnreachableError(f"{self.url}: {trouble.why}.") from trouble
                time.sleep(wait_s)
        try:
            return self._keep()
        except OSError as error:
            raise cannot_write(self.target, error) from error

    def _arrived(self) -> int:
        return self.part.stat().st_size if self.part.is_file() else 0

    def _start_over(self) -> None:
        self.progress(-self._arrived())
        os.truncate(self.part, 0)  # not removed: it holds the lock
        self.part_etag.unlink(missing_ok=True)

    def _get_rest(self) -> None:
        """One request for what is missing; returns when all is there."""
        start = self._arrived()
        etag = self.part_etag.read_text("utf-8") if self.part_etag.is_file() else None
        if start and etag is None and self.expected.sha256 is None:
            self._start_over()  # nothing could tell whether the rest belongs to this part
            start = 0
        if start and start == self.expected.size:
            return
        request = _request(self.url, self.facts)
        if start:
            request.add_header("Range", f"bytes={start}-")
            if etag is not None and not etag.startswith("W/"):
                request.add_header("If-Range", etag)
        try:
            with _OPENER.open(request, timeout=_SILENCE_S) as answer:
                self.facts.note(answer.headers)
                self._take(answer, start, etag)
        except urllib.error.HTTPError as error:
            with error:
                if error.code == 416 and start:  # the part is all of it, or not of what is there now
                    if start == _total(error.headers):
                        return
                    self._start_over()
                    raise _TryAgain("the range was refused") from error
                raise self._refusal(error) from error
        except urllib.error.URLError as error:
            raise UpstreamUnreachableError(f"{self.url}: {error.reason}.") from error
        except (OSError, http.client.HTTPException) as error:
            raise _TryAgain(str(error) or type(error).__name__) from error

    def _take(self, answer: Any, start: int, etag: str | None) -> None:
        length = answer.headers.get("Content-Length")
        if answer.status == 206 and start:
            same = etag is None or answer.headers.get("ETag") in (None, etag)
            if not same or not str(answer.headers.get("Content-Range", "")).startswith(f"bytes {start}-"):
                self._start_over()
                raise _TryAgain("the server sent another part than was asked for")
        elif start:  # the whole file: the server knows no ranges, or the file has changed
            self._start_over()
            start = 0
        size = start + int(length) if length is not None and length.isdigit() else None
        self._check_size(size)
        try:
            if not start and (mark := answer.headers.get("ETag")):
                self.part_etag.write_text(mark, "utf-8")
            file = self.part.open("ab")
        except OSError as error:
            raise cannot_write(self.target, error) from error
        with file:
            arrived = self._copy(answer, file, start)
        if size is not None and arrived < size:
            raise _TryAgain("the connection was cut")

    def _copy(self, answer: Any, file: IO[bytes], arrived: int) -> int:
        while block := answer.read1(BLOCK):  # what has arrived, so that a cut loses nothing
            if time.monotonic() > self.deadline:
                raise UpstreamUnreachableError(f"{self.url}: not all here after {_WHOLE_S / 3600:g} hours.")
            try:
                file.write(block)
                file.flush()  # so that nothing comes behind where the part is emptied
            except OSError as error:
                raise cannot_write(self.target, error) from error
            arrived += len(block)
            self.progress(len(block))
            if arrived > self._most():
                self._check_size(arrived)
        return arrived

    def _most(self) -> int:
        return self.expected.max_bytes if self.expected.size is None else self.expected.size

    def _check_size(self, size: int | None) -> None:
        if size is not None and size > self._most():
            self._start_over()
            raise ArtifactError(
                f"{self.url} gives {size:,} bytes or more, expected at most {self._most():,}. Nothing was kept."
            )

    def _keep(self) -> Fetched:
        """Check what has arrived, and give it its name."""
        sha256, size = sha256_of(self.part), self._arrived()
        vouched_by = self._vouch(sha256, size)
        with self.part.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(self.part, self.target)
        self.part_etag.unlink(missing_ok=True)
        return Fetched(sha256, size, vouched_by, self.facts.revision)

    def _vouch(self, sha256: str, size: int) -> Voucher:
        pinned, said = self.expected.sha256, self.facts.hash
        if pinned is not None:
            self._compare("sha256", sha256, pinned)
            return "pinned hash"
        wanted = self.expected.size or self.facts.size
        if wanted is not None:
            self._compare("the size in bytes", str(size), str(wanted))
        if said is not None and _SHA256.fullmatch(said):
            self._compare("sha256", sha256, said)
            return "hub's hash"
        if said is not None and _GIT_BLOB.fullmatch(said):
            self._compare("the git hash", _git_blob_hash(self.part, size), said)
            return "hub's hash"
        return "nobody"

    def _compare(self, what: str, found: str, wanted: str) -> None:
        if found != wanted:
            self._start_over()
            raise ArtifactError(
                f"{self.url}: {what} is {found}, expected {wanted}. These are not the bytes that were expected, "
                "so nothing was kept."
            )

    def _refusal(self, error: urllib.error.HTTPError) -> Exception:
        if error.code in _RETRIES.statuses:
            return _TryAgain(f"HTTP status {error.code}", parse_retry_after(error.headers.get("Retry-After")))
        advice = ""
        if error.code in (401, 403):
            page = self.url.partition("/resolve/")[0]
            advice = (
                f" The token in {TOKEN_VARIABLE} does not open it: accept the terms at {page} with its account."
                if os.environ.get(TOKEN_VARIABLE)
                else f" It is not open to all: accept the terms at {page}, and put a token of your account into the "
                f"environment variable {TOKEN_VARIABLE}."
            )
        elif error.code == 404:
            advice = " There is no such file at this revision."
        return UpstreamUnreachableError(f"{self.url}: HTTP status {error.code}.{advice}")


class _TryAgain(Exception):
    """One request failed in a way that may pass."""

    def __init__(self, why: str, retry_after_s: float | None = None) -> None:
        self.why = why
        self.retry_after_s = retry_after_s
        super().__init__(why)


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects, notes what the hub says on the way, and shows the token to the hub alone."""

    max_redirections = 5

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> urllib.request.Request | None:
        assert isinstance(req, _Request)
        req.facts.note(headers)
        if req.type == "https" and not newurl.startswith("https:"):
            raise UpstreamUnreachableError(f"{req.full_url} leads to an address that is not encrypted.")
        return _request(newurl, req.facts, req.headers)


_OPENER = urllib.request.build_opener(_Redirects)


def _request(url: str, facts: _Facts, headers: Mapping[str, str] | None = None) -> _Request:
    request = _Request(url, headers={"Accept-Encoding": "identity", "User-Agent": "turnout", **(headers or {})})
    request.facts = facts
    token = os.environ.get(TOKEN_VARIABLE)
    if token and _origin(url) == _origin(hub()):
        request.add_unredirected_header("Authorization", f"Bearer {token}")
    return request


def _origin(url: str) -> tuple[str, str]:
    parts = urllib.parse.urlsplit(url)
    return parts.scheme, parts.netloc


def _is_at(path: Path, file: IO[bytes]) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False


def _bare(etag: str | None) -> str | None:
    return None if etag is None else etag.removeprefix("W/").strip('"')


def _total(headers: Message) -> int | None:
    """The size of the whole in `Content-Range: bytes */1234`."""
    total = str(headers.get("Content-Range", "")).rpartition("/")[2]
    return int(total) if total.isdigit() else None


def _git_blob_hash(path: Path, size: int) -> str:
    digest = hashlib.sha1(f"blob {size}\0".encode(), usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()
