import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from turnout.atomic_write import check_writable_file, write_atomically, write_folder_atomically
from turnout.errors import NotWritableError


def test_a_file_appears_only_when_it_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "new" / "file.txt"
    with write_atomically(target) as file:
        file.write(b"whole")
        assert not target.exists()
    assert target.read_bytes() == b"whole"
    assert list(target.parent.iterdir()) == [target]


def test_a_failure_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    target = tmp_path / "file.txt"
    target.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt), write_atomically(target) as file:
        file.write(b"half")
        raise KeyboardInterrupt
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_file_gets_the_permissions_that_open_gives(tmp_path: Path) -> None:
    (tmp_path / "plain").write_bytes(b"")
    with write_atomically(tmp_path / "atomic"):
        pass
    assert (tmp_path / "atomic").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize("name", ["folder", "file/below.txt", "file/far/below.txt"])
def test_what_cannot_be_written_is_told_beforehand(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("old")
    with pytest.raises(NotWritableError):
        check_writable_file(tmp_path / name)
    check_writable_file(tmp_path / "file")
    check_writable_file(tmp_path / "new" / "file")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


def test_a_folder_replaces_another_whole(tmp_path: Path) -> None:
    folder = tmp_path / "router"
    for content in ("first", "second"):
        with write_folder_atomically(folder) as place:
            (place / content).write_text(content)
    assert [path.name for path in folder.iterdir()] == ["second"]
    assert list(tmp_path.iterdir()) == [folder]


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_a_link_to_a_folder_is_replaced_and_what_it_led_to_stays(tmp_path: Path) -> None:
    (tmp_path / "first").mkdir()
    (tmp_path / "first" / "old").touch()
    link = tmp_path / "router"
    link.symlink_to("first", target_is_directory=True)
    with write_folder_atomically(link) as place:
        (place / "new").touch()
    assert [path.name for path in link.iterdir()] == ["new"]
    assert [path.name for path in (tmp_path / "first").iterdir()] == ["old"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["first", "router"]


def test_of_two_runs_that_write_a_new_folder_at_once_the_last_one_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import turnout.atomic_write as module

    folder, real = tmp_path / "router", module.os.replace

    def come_too_late(source: object, target: Path) -> None:
        if target == folder and not folder.exists():
            monkeypatch.undo()
            with write_folder_atomically(folder) as place:
                (place / "first").touch()
        real(source, target)  # type: ignore[arg-type]

    monkeypatch.setattr(module.os, "replace", come_too_late)
    with write_folder_atomically(folder) as place:
        (place / "last").touch()
    assert [path.name for path in folder.iterdir()] == ["last"]
    assert list(tmp_path.iterdir()) == [folder]


def test_a_failure_leaves_the_old_folder_and_no_other(tmp_path: Path) -> None:
    folder = tmp_path / "router"
    folder.mkdir()
    (folder / "old").touch()
    with pytest.raises(ZeroDivisionError), write_folder_atomically(folder) as place:
        (place / "half").touch()
        _ = 1 / 0
    assert [path.name for path in folder.iterdir()] == ["old"]
    assert list(tmp_path.iterdir()) == [folder]


def test_a_folder_that_cannot_be_replaced_is_put_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "router"
    folder.mkdir()
    (folder / "old").touch()

    import turnout.atomic_write as module

    monkeypatch.setattr(module, "_exchange", lambda *_: False)  # as where the system cannot
    real, calls = module.os.replace, []

    def fail_on_the_second_call(source: object, target: object) -> None:
        calls.append(target)
        if len(calls) == 2:
            raise OSError("disk full")
        real(source, target)  # type: ignore[arg-type]

    monkeypatch.setattr(module.os, "replace", fail_on_the_second_call)
    with pytest.raises(OSError, match="disk full"), write_folder_atomically(folder):
        pass
    assert [path.name for path in folder.iterdir()] == ["old"]
    assert list(tmp_path.iterdir()) == [folder]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can exchange two names")
def test_a_folder_is_replaced_in_one_step_so_that_a_kill_finds_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "router"
    folder.mkdir()
    (folder / "old").touch()

    import turnout.atomic_write as module

    def fail(*_: object) -> None:
        pytest.fail("moved aside, so that for a moment there is no folder")

    monkeypatch.setattr(module.os, "replace", fail)
    with write_folder_atomically(folder) as place:
        (place / "new").touch()
    assert [path.name for path in folder.iterdir()] == ["new"]
    assert list(tmp_path.iterdir()) == [folder]


@pytest.mark.skipif(os.name == "nt", reason="needs locks of folders")
def test_what_a_killed_run_left_is_removed_and_what_another_writes_is_not(tmp_path: Path) -> None:
    folder = tmp_path / "router"
    script = (
        "import sys, pathlib, turnout.atomic_write as module\n"
        "with module.write_folder_atomically(pathlib.Path(sys.argv[1])) as place:\n"
        "    (place / 'half').touch(); print(place, flush=True); sys.stdin.read()\n"
    )
    with (
        subprocess.Popen([sys.executable, "-c", script, folder], stdin=-1, stdout=-1, text=True) as killed,
        subprocess.Popen([sys.executable, "-c", script, folder], stdin=-1, stdout=-1, text=True) as living,
    ):
        assert killed.stdout
        assert living.stdout
        left, written = Path(killed.stdout.readline().strip()), Path(living.stdout.readline().strip())
        killed.kill()
        killed.wait()
        other = tmp_path / ".router.json.abcd1234.tmp"
        other.mkdir()
        for path in (left, written, other):
            os.utime(path, (0, 0))
        with write_folder_atomically(folder) as place:
            (place / "whole").touch()
        assert not left.exists()
        assert other.exists()
        assert (written / "half").exists()
        assert living.stdin
        living.stdin.close()
        assert living.wait() == 0
    assert [path.name for path in folder.iterdir()] == ["half"]


@pytest.mark.parametrize("place", ["file.txt/below", "file.txt/far/below"])
def test_a_place_below_a_file_is_named(tmp_path: Path, place: str) -> None:
    (tmp_path / "file.txt").write_bytes(b"old")
    with pytest.raises(NotWritableError, match="cannot be written"), write_atomically(tmp_path / place):
        pass
    with pytest.raises(NotWritableError, match="cannot be written"), write_folder_atomically(tmp_path / place):
        pass
    assert (tmp_path / "file.txt").read_bytes() == b"old"


def test_a_folder_does_not_become_a_file_nor_a_file_a_folder(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_bytes(b"old")
    with pytest.raises(NotWritableError, match="it is a folder"), write_atomically(tmp_path / "folder"):
        pass
    with pytest.raises(NotWritableError, match="it is not a folder"), write_folder_atomically(tmp_path / "file"):
        pass
    assert (tmp_path / "file").read_bytes() == b"old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


def test_a_device_is_not_replaced_by_a_file(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(NotWritableError, match="it is not a file"), write_atomically(pipe):
        pass
    assert pipe.is_fifo()


def test_a_full_disk_names_the_file_and_leaves_the_old_one(tmp_path: Path) -> None:
    target = tmp_path / "file.txt"
    target.write_bytes(b"old")
    with pytest.raises(NotWritableError, match=r"file\.txt cannot be written: No space left"), write_atomically(target):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]
