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
import time
from collections.abc import Callable, Sequence

from turnout.errors import ConfigError
from turnout.gateway.server import DRAIN_S

USERS_MISTAKE = 2
"""The exit code that says that another try would fail alike."""

_SHORT_LIFE_S = 10.0
_LONGEST_WAIT_S = 30.0
_LAST_WORDS_S = 15.0
_logger = logging.getLogger(__name__)


class Supervisor:
    """Keeps `count` workers running until it is told to stop."""

    def __init__(
        self,
        command: Sequence[str],
        count: int,
        opened: Sequence[socket.socket],
        *,
        check: Callable[[], object] = lambda: None,
    ) -> None:
        """
        Args:
            command: of a worker; the numbers of the inherited files are put behind it, first the pipe's.
            count: how many.
            opened: the sockets that they share.
            check: called before a reload is handed on; a ConfigError keeps it from the workers.
        """
        self._command = tuple(command)
        self._count = count
        self._opened = tuple(opened)
        self._check = check
        self._workers: set[asyncio.subprocess.Process] = set()
        self._stop = asyncio.Event()
        self._mistake = False

    async def run(self, *, drain_s: float = DRAIN_S) -> int:
        """Run until SIGINT or SIGTERM; gives the exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stop.set)
        loop.add_signal_handler(signal.SIGHUP, self._reload)
        read_end, write_end = os.pipe()
        keepers = [asyncio.create_task(self._keep_one(read_end)) for _ in range(self._count)]
        try:
            await self._stop.wait()
            self._tell(signal.SIGTERM)
            _, late = await asyncio.wait(keepers, timeout=drain_s + _LAST_WORDS_S)
            if late:
                _logger.error("%d workers did not stop in time and are killed", len(late))
                self._tell(signal.SIGKILL)
                await asyncio.wait(late)
        finally:
            os.close(write_end)
            os.close(read_end)
        return USERS_MISTAKE if self._mistake else 0

    async def _keep_one(self, lifeline: int) -> None:
        wait_s, is_first = 1.0, True
        files = (lifeline, *(opened.fileno() for opened in self._opened))
        while not self._stop.is_set():
            started = time.monotonic()
            worker = await asyncio.create_subprocess_exec(
                *self._command, ",".join(map(str, files)), pass_fds=files, start_new_session=True
            )
            self._workers.add(worker)
            if self._stop.is_set():
                worker.terminate()
            code = await worker.wait()
            self._workers.discard(worker)
            if self._stop.is_set():
                return
            if code == USERS_MISTAKE and is_first:
                self._mistake = True
                self._stop.set()
                return
            is_first = False
            lived_s = time.monotonic() - started
            wait_s = 0.0 if lived_s > _SHORT_LIFE_S else min(_LONGEST_WAIT_S, max(1.0, wait_s * 2))
            _logger.error("worker %d ended with %d; starting another in %.0f s", worker.pid, code, wait_s)
            try:
                async with asyncio.timeout(wait_s):
                    await self._stop.wait()
            except TimeoutError:
                pass

    def _reload(self) -> None:
        try:
            self._check()
        except ConfigError as error:
            _logger.error("%s The old configuration stays.", error)
            return
        self._tell(signal.SIGHUP)

    def _tell(self, number: signal.Signals) -> None:
        for worker in self._workers:
            worker.send_signal(number)
