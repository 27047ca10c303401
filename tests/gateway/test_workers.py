"""The process that keeps workers: signals reach each of them, whatever moment they come at. Workers are stand-ins."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from turnout.config import Config, parse_config
from turnout.gateway import workers
from turnout.gateway.hangups import Hangups
from turnout.gateway.workers import Supervisor

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs signals")

BEGINNING = """
import os, signal, sys, time
signal.alarm(60)  # none outlives a test that failed

def say(what):
    with open({said!r}, "a") as file:
        file.write(f"{{os.getpid()}} {{what}}\\n")

def wait_for(signals):
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    say("ready")
    return signal.sigwait(signals)
"""

SERVES = """
wait_for({signal.SIGTERM})
say("stopped")
"""


class Said:
    """What workers wrote to a file."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "said"
        self.path.touch()

    def all(self, what: str) -> list[int]:
        """The ids of those that said this, in order."""
        return [int(pid) for pid in re.findall(rf"^(\d+) {what}$", self.path.read_text(), re.MULTILINE)]

    async def wait_for(self, what: str, count: int = 1) -> list[int]:
        async with asyncio.timeout(30):
            while len(found := self.all(what)) < count:
                await asyncio.sleep(0.01)
        return found


@pytest.fixture
def said(tmp_path: Path) -> Said:
    return Said(tmp_path)


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Leaves the handlers of signals as they were."""
    numbers = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
    before = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


def config(**server: float) -> Config:
    return parse_config({"server": server, "models": {"small": {"base_url": "http://127.0.0.1:9/v1"}}})


def supervisor(
    said: Said,
    program: str,
    *,
    command: Sequence[str] = (),
    reading: Callable[[], object] = lambda: None,
    **server: float,
) -> Supervisor:
    """One of workers that run this program; `reading` is called when the configuration is read anew."""

    def read_config() -> Config:
        reading()
        return config(**server)

    beginning = BEGINNING.format(said=str(said.path))
    command = command or (sys.executable, "-S", "-c", beginning + program)
    return Supervisor(command, config(**server), [], read_config=read_config, hangups=Hangups())


async def end(running: asyncio.Task[int]) -> int:
    signal.raise_signal(signal.SIGTERM)
    async with asyncio.timeout(30):
        return await running


async def test_all_are_told_to_stop_and_waited_for(said: Said) -> None:
    running = asyncio.create_task(supervisor(said, SERVES, workers=3).run())
    started = await said.wait_for("ready", 3)
    assert await end(running) == 0
    assert sorted(said.all("stopped")) == sorted(set(started))


async def test_they_share_a_folder_while_they_run(said: Said, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    program = "say(os.environ['TURNOUT_WORKERS_FOLDER'])" + SERVES
    running = asyncio.create_task(supervisor(said, program, workers=2).run())
    await said.wait_for("ready", 2)
    (folder,) = tmp_path.glob("turnout-workers-*")
    assert len(said.all(str(folder))) == 2
    assert await end(running) == 0
    assert not folder.exists()


async def test_a_hangup_before_it_runs_is_handed_on(said: Said) -> None:
    handed_on = asyncio.Event()
    supervising = supervisor(said, SERVES, reading=handed_on.set, workers=1)
    signal.raise_signal(signal.SIGHUP)
    running = asyncio.create_task(supervising.run())
    await asyncio.wait_for(handed_on.wait(), 30)
    await said.wait_for("ready")
    assert await end(running) == 0


async def test_a_second_signal_reaches_them_too(said: Said) -> None:
    program = SERVES + SERVES
    running = asyncio.create_task(supervisor(said, program, workers=2).run())
    await said.wait_for("ready", 2)
    signal.raise_signal(signal.SIGTERM)
    await said.wait_for("ready", 4)
    assert len(said.all("stopped")) == 2
    assert await end(running) == 0
    assert len(said.all("stopped")) == 4


async def test_the_time_to_stop_comes_behind_the_delay(said: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "_LAST_WORDS_S", 0.0)
    program = "wait_for({signal.SIGTERM})\ntime.sleep(1)\nsay('stopped')"
    running = asyncio.create_task(supervisor(said, program, workers=2, drain_delay_s=60).run(drain_s=0.01))
    await said.wait_for("ready", 2)
    assert await end(running) == 0
    assert len(said.all("stopped")) == 2


async def test_who_does_not_stop_in_time_is_killed(said: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "_LAST_WORDS_S", 0.0)
    program = "wait_for({signal.SIGTERM})\nwhile True: time.sleep(1)"
    running = asyncio.create_task(supervisor(said, program, workers=2).run(drain_s=0.01))
    pids = await said.wait_for("ready", 2)
    assert await end(running) == 0
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


async def test_a_reload_waits_for_a_worker_that_is_starting(said: Said, tmp_path: Path) -> None:
    go = tmp_path / "go"
    program = f"""
say("starting")
while not os.path.exists({str(go)!r}):
    time.sleep(0.01)
wait_for({{signal.SIGHUP}})
say("read anew")
{SERVES}
"""
    handed_on = asyncio.Event()
    running = asyncio.create_task(supervisor(said, program, reading=handed_on.set, workers=2).run())
    starting = await said.wait_for("starting", 2)
    signal.raise_signal(signal.SIGHUP)
    await asyncio.wait_for(handed_on.wait(), 30)
    go.touch()
    assert sorted(await said.wait_for("read anew", 2)) == sorted(starting)
    await said.wait_for("ready", 4)
    assert await end(running) == 0


async def test_a_reload_just_when_a_worker_ends_reaches_the_others(
    said: Said, caplog: pytest.LogCaptureFixture
) -> None:
    program = """
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP, signal.SIGTERM})
say("ready")
while signal.sigwait({signal.SIGHUP, signal.SIGTERM}) == signal.SIGHUP:
    say("read anew")
"""
    running = asyncio.create_task(supervisor(said, program, workers=2).run())
    dies, stays = await said.wait_for("ready", 2)
    os.kill(dies, signal.SIGKILL)
    async with asyncio.timeout(30):
        while "ended with -9" not in caplog.text:
            signal.raise_signal(signal.SIGHUP)
            await asyncio.sleep(0)  # one turn of the loop: no moment is left out
    assert set(await said.wait_for("read anew")) == {stays}
    assert await end(running) == 0
    assert not [record for record in caplog.records if record.name == "asyncio" and record.levelno >= logging.ERROR]


async def test_a_worker_that_cannot_be_started_is_tried_again(
    said: Said, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(workers, "_LONGEST_WAIT_S", 0.05)
    program = tmp_path / "program"
    command = (str(program),)
    running = asyncio.create_task(supervisor(said, "", command=command, workers=1).run())
    async with asyncio.timeout(30):
        while "a worker cannot be started (No such file or directory)" not in caplog.text:
            await asyncio.sleep(0.01)
    text = f"#!{sys.executable} -S\n" + BEGINNING.format(said=str(said.path)) + SERVES
    fresh = tmp_path / "fresh"
    fresh.write_text(text)
    fresh.chmod(0o700)
    fresh.replace(program)
    await said.wait_for("ready")
    assert await end(running) == 0
    assert said.all("stopped")


async def test_a_first_worker_with_a_mistake_ends_all_and_a_later_one_does_not(
    said: Said, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "_LONGEST_WAIT_S", 0.05)
    async with asyncio.timeout(30):
        assert await supervisor(said, "say('wrong')\nsys.exit(2)", workers=2).run() == 2
    program = f"""
try:
    os.mkdir({str(tmp_path / "first")!r})
except FileExistsError:
    say("later")
    if len(open({str(said.path)!r}).read().split("later")) < 4:
        sys.exit(2)
    {SERVES.strip().replace(chr(10), chr(10) + "    ")}
"""
    running = asyncio.create_task(supervisor(said, program, workers=1).run())
    await said.wait_for("later", 3)
    await said.wait_for("ready")
    assert await end(running) == 0
