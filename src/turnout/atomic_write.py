"""Files and folders that are either the old one or the whole new one, never half of it."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


@contextmanager
def write_atomically(path: str | Path, mode: str = "wb") -> Iterator[IO[bytes]]:
    """A file to write beside `path`, renamed onto it when the block ends well and removed when it does not."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, mode) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        _give_default_permissions(temporary, 0o666)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextmanager
def write_folder_atomically(folder: str | Path) -> Iterator[Path]:
    """A folder to fill beside `folder`, put in its place when the block ends well.

    An existing folder is moved aside first and put back if anything fails.
    """
    folder = Path(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}.", suffix=".tmp"))
    try:
        yield temporary
        _give_default_permissions(temporary, 0o777)
        if folder.exists():
            _swap(temporary, folder)
        else:
            os.replace(temporary, folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _swap(new: Path, folder: Path) -> None:
    aside = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}.", suffix=".old"))
    os.replace(folder, aside / folder.name)
    try:
        os.replace(new, folder)
    except BaseException:
        os.replace(aside / folder.name, folder)
        raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _give_default_permissions(path: Path, permissions: int) -> None:
    """What `open` would have given: mkstemp makes files that only their owner can read."""
    mask = os.umask(0)
    os.umask(mask)
    path.chmod(permissions & ~mask)
