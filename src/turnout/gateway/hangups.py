"""SIGHUP, which asks for the configuration to be read anew, before there is anything that could do it."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable
from types import FrameType


class Hangups:
    """Notes whether SIGHUP came, from when this is made until `hand_over`. Make it in the main thread."""

    def __init__(self) -> None:
        self._came = False
        if sys.platform != "win32":
            signal.signal(signal.SIGHUP, self._note)
            # The process that starts workers has them begin with it held back, since it would end them until here.
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})

    def hand_over(self, loop: asyncio.AbstractEventLoop, reload: Callable[[], None]) -> None:
        """Call this at SIGHUP from now on, and now if it came before."""
        if sys.platform != "win32":
            loop.add_signal_handler(signal.SIGHUP, reload)
        if self._came:
            reload()

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._came = True
