"""Several processes on one port: starts them, starts another where one has died, and hands signals on.

Each worker is the same command with `--worker`, and inherits the sockets. The end of a pipe tells it should this
process die. If one of the first workers cannot start for a mistake of the user's, that ends all; later on, others serve
meanwhile, and it is tried again.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from turnout.config import Config
from turnout.errors import ConfigError
from turnout.gateway.hangups import Hangups
from turnout.gateway.observing.metrics_of_workers import FOLDER_VARIABLE
from turnout.gateway.server import DRAIN_S

USERS_MISTAKE = 2
"""The exit code that says that another try would fail alike."""

_SHORT_LIFE_S = 10.0
_LONGEST_WAIT_S = 30.0
_LAST_WORDS_S = 15.0
_logger = logging.getLogger(__name__)


class Supervisor:
    """Keeps as many workers running as a configuration says until it is told to stop."""

    def __init__(
        self,
        command: Sequence[str],
        config: Config,
        opened: Sequence[socket.socket],
        *,
        read_config: Callable[[], Config],
        hangups: Hangups,
    ) -> None:
        """
        Args:
            command: of a worker; the numbers of the inherited files are put behind it, first the pipe's.
            config: says how many, and how long they go on before they stop.
            opened: the sockets that they share.
            read_config: called before a reload is handed on; a ConfigError keeps it from the workers.
            hangups: noted SIGHUP since before the configuration was read.
        """
        self._command = tuple(command)
        self._count = config.server.workers
        self._drain_delay_s = config.server.drain_delay_s
        self._opened = tuple(opened)
        self._read_config = read_config
        self._hangups = hangups
        self._workers: set[asyncio.subprocess.Process] = set()
        self._stop = asyncio.Event()
        self._mistake = False

    async def run(self, *, drain_s: float = DRAIN_S) -> int:
        """Run until SIGINT or SIGTERM; gives the exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._end)
        self._hangups.hand_over(loop, self._reload)
        read_end, write_end = os.pipe()
        try:
            # Made while signals are handled, and removed while they still are: none leaves it behind.
            with tempfile.TemporaryDirectory(prefix="turnout-workers-") as folder:
                await self._keep_all(read_end, folder, drain_s)
        finally:
            os.close(write_end)
            os.close(read_end)
        return USERS_MISTAKE if self._mistake else 0

    async def _keep_all(self, lifeline: int, folder: str, drain_s: float) -> None:
        keepers = [asyncio.create_task(self._keep_one(lifeline, folder)) for _ in range(self._count)]
        await self._stop.wait()
        self._tell(signal.SIGTERM)
        _, late = await asyncio.wait(keepers, timeout=self._drain_delay_s + drain_s + _LAST_WORDS_S)
        if late:
            _logger.error("%d workers did not stop in time and are killed", len(late))
            self._tell(signal.SIGKILL)
            await asyncio.wait(late)

    async def _keep_one(self, lifeline: int, folder: str) -> None:
        wait_s, is_first = 1.0, True
        files = (lifeline, *(opened.fileno() for opened in self._opened))
        while not self._stop.is_set():
            started = time.monotonic()
            try:
                worker = await self._start_one(files, folder)
                code = await worker.wait()
                self._workers.discard(worker)
                what = f"worker {worker.pid} ended with {code}"
            except OSError as error:  # no memory, or too many processes
                code, what = None, f"a worker cannot be started ({error.strerror})"
            if self._stop.is_set():
                return
            if code == USERS_MISTAKE and is_first:
                self._mistake = True
                self._stop.set()
                return
            is_first = False
            lived_s = time.monotonic() - started
            wait_s = 0.0 if lived_s > _SHORT_LIFE_S else min(_LONGEST_WAIT_S, max(1.0, wait_s * 2))
            _logger.error("%s; starting another in %.0f s", what, wait_s)
            try:
                async with asyncio.timeout(wait_s):
                    await self._stop.wait()
            except TimeoutError:
                pass

    async def _start_one(self, files: Sequence[int], folder: str) -> asyncio.subprocess.Process:
        # SIGHUP would end a worker that has not come to handling it. It inherits that this is held back until it has.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
        try:
            worker = await asyncio.create_subprocess_exec(
                *self._command,
                ",".join(map(str, files)),
                pass_fds=files,
                start_new_session=True,
                env={**os.environ, FOLDER_VARIABLE: folder},
            )
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})
        self._workers.add(worker)
        if self._stop.is_set():
            _send(worker, signal.SIGTERM)
        return worker

    def _end(self) -> None:
        if self._stop.is_set():
            self._tell(signal.SIGTERM)  # once more, which skips their delay
        self._stop.set()

    def _reload(self) -> None:
        try:
            config = self._read_config()
        except ConfigError as error:
            _logger.error("%s The old configuration stays.", error)
            return
        # A worker may refuse what is new, and stay with what was.
        self._drain_delay_s = max(self._drain_delay_s, config.server.drain_delay_s)
        self._tell(signal.SIGHUP)

    def _tell(self, number: signal.Signals) -> None:
        for worker in self._workers:
            _send(worker, number)


def _send(worker: asyncio.subprocess.Process, number: signal.Signals) -> None:
    # Its own `send_signal` may take the exit code away from who waits for it.
    with suppress(ProcessLookupError):  # it has ended just now
        os.kill(worker.pid, number)
