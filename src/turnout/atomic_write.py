"""Files and folders that are either the old one or the whole new one, never half of it."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from turnout.errors import NotWritableError
from turnout.file_lock import lock_file

_LEFT_BEHIND_S = 60.0
"""What is younger may belong to a run that is just about to take its lock."""


@contextlib.contextmanager
def write_atomically(path: str | Path, mode: str = "wb") -> Iterator[IO[bytes]]:
    """A file to write beside `path`, renamed onto it when the block ends well and removed when it does not.

    Raises:
        NotWritableError: there is no room, no permission, or something that is not a file has this name.
    """
    path = Path(path)
    check_writable_file(path)
    with _naming(path):
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


@contextlib.contextmanager
def write_folder_atomically(folder: str | Path) -> Iterator[Path]:
    """A folder to fill beside `folder`, put in its place when the block ends well.

    An existing folder is replaced in one step on Linux; elsewhere it is moved aside first, and put back if anything
    fails. What runs that were killed while they wrote the same folder have left is removed.

    Raises:
        NotWritableError: there is no room, no permission, or a file has this name.
    """
    folder = Path(folder)
    check_writable_folder(folder)
    with _naming(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        _clear_left_behind(folder)
        temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}.", suffix=".tmp"))
        held = _hold(temporary)
        try:
            yield temporary
            _give_default_permissions(temporary, 0o777)
            _sync(temporary)
            _put_in_place(temporary, folder)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        finally:
            if held is not None:
                os.close(held)


def check_writable_file(path: str | Path) -> None:
    """Raise NotWritableError if it can be told beforehand that the file cannot be written; it makes nothing.

    Ask before money or hours are spent on what is to be in it. A file that is there will be replaced.
    """
    path = Path(path)
    if path.exists() and not path.is_file():  # a device would be replaced by a file
        raise NotWritableError(path, "it is a folder" if path.is_dir() else "it is not a file")
    _check_nearest_folder(path)


def check_writable_folder(folder: str | Path) -> None:
    """Raise NotWritableError if it can be told beforehand that the folder cannot be written; it makes nothing."""
    folder = Path(folder).absolute()
    if folder.exists() and not folder.is_dir():
        raise NotWritableError(folder, "it is not a folder")
    _check_nearest_folder(folder)


def _check_nearest_folder(path: Path) -> None:
    """What it is to be in, or the folder in which that would be made."""
    nearest = next(parent for parent in path.absolute().parents if parent.exists())
    if not nearest.is_dir():
        raise NotWritableError(path, f"{nearest} is not a folder")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise NotWritableError(path, f"{nearest} does not permit it")


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    try:
        yield
    except NotWritableError:
        raise
    except OSError as error:
        raise NotWritableError(path, error.strerror or str(error)) from error


def _put_in_place(new: Path, folder: Path) -> None:
    if folder.exists():
        _swap(new, folder)
        return
    try:
        os.replace(new, folder)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        _swap(new, folder)  # another run has put its own there since: the last one stays


def _swap(new: Path, folder: Path) -> None:
    if _exchange(new, folder):  # new is the old one's name now
        if new.is_symlink():
            new.unlink()
        else:
            shutil.rmtree(new, ignore_errors=True)
        return
    aside = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}.", suffix=".old"))
    os.replace(folder, aside / folder.name)
    try:
        os.replace(new, folder)
    except BaseException:
        os.replace(aside / folder.name, folder)
        raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _exchange(new: Path, folder: Path) -> bool:
    """Let two folders change names in one step, if the system can: no reader and no kill finds neither of them."""
    if sys.platform != "linux":
        return False
    import ctypes

    rename = getattr(ctypes.CDLL(None), "renameat2", None)
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    return rename is not None and rename(here, os.fsencode(new), here, os.fsencode(folder), exchange) == 0


def _sync(folder: Path) -> None:
    """Have the system write down all files of a folder, so that a power cut after the renaming halves none."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb+") as file:
                os.fsync(file.fileno())


def _hold(folder: Path) -> int | None:
    """A descriptor that holds the folder's lock for as long as this process lives; None if another process has it."""
    if os.name == "nt":
        return None
    descriptor = os.open(folder, os.O_RDONLY)
    if lock_file(descriptor):
        return descriptor
    os.close(descriptor)
    return None


def _clear_left_behind(folder: Path) -> None:
    name = re.compile(rf"\.{re.escape(folder.name)}\.\w{{8}}\.tmp")
    oldest = time.time() - _LEFT_BEHIND_S
    with contextlib.suppress(OSError):  # rubbish that stays is no reason not to write
        for path in [path for path in folder.parent.iterdir() if name.fullmatch(path.name)]:
            if path.is_dir() and path.stat().st_mtime < oldest and (held := _hold(path)) is not None:
                shutil.rmtree(path, ignore_errors=True)
                os.close(held)


def _give_default_permissions(path: Path, permissions: int) -> None:
    """What `open` would have given: mkstemp makes files that only their owner can read."""
    mask = os.umask(0)
    os.umask(mask)
    path.chmod(permissions & ~mask)
