"""Metrics of several workers behind one port: whichever is asked answers for all.

Each worker writes its numbers to a file of its own in a folder that they share, once a second. A worker that is asked
adds the others' files to what it knows itself. Counters and histograms of workers that have died stay in the sums, so
that these never fall; gauges count only while their worker writes.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import threading
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import orjson

from turnout.gateway.metrics import Reading, Registry

FOLDER_VARIABLE = "TURNOUT_WORKERS_FOLDER"
"""The environment variable by which a supervisor tells its workers where the folder is."""

WRITE_EVERY_S = 1.0

_ALIVE_S = 5.0
_logger = logging.getLogger(__name__)


class MetricsOfWorkers:
    """One worker's part in the sums."""

    def __init__(self, registry: Registry, folder: Path) -> None:
        self._registry = registry
        self._folder = folder
        self._file = folder / f"{os.getpid()}.json"
        self._writing = threading.Lock()
        self._removed = False

    async def keep_writing(self) -> None:
        """Write what this worker knows, again and again."""
        failed_before = False
        while True:
            try:
                await asyncio.to_thread(self.write, self._registry.read())
                failed_before = False
            except OSError as error:
                if not failed_before:
                    _logger.error("the metrics of this worker cannot be shared (%s); trying again", error.strerror)
                failed_before = True
            await asyncio.sleep(WRITE_EVERY_S)

    def write(self, readings: Mapping[str, Reading]) -> None:
        """Replace this worker's file. It need not outlive a crash of the machine, so it is not forced to the disk."""
        fresh = self._file.with_suffix(".new")
        with self._writing:
            if self._removed:
                return
            fresh.write_bytes(orjson.dumps(readings))
            fresh.replace(self._file)

    def remove(self) -> None:
        """Remove the folder, as far as no other worker is just writing there; the last one leaves nothing."""
        with self._writing:  # a thread may be at it
            self._removed = True
            shutil.rmtree(self._folder, ignore_errors=True)

    def read(self, own: dict[str, Reading]) -> dict[str, Reading]:
        """What this worker knows together with what the others wrote last."""
        others = [_read(file) for file in sorted(self._folder.glob("*.json")) if file != self._file]
        return add_up([own, *others])


def add_up(parts: Iterable[Mapping[str, Reading]]) -> dict[str, Reading]:
    """The families of all parts, equal samples summed; what only names something (`_info`) is not.

    >>> one = {"a_total": Reading("counter", "A.", {"a_total": 1.0})}
    >>> add_up([one, one])["a_total"].samples
    {'a_total': 2.0}
    """
    sums: dict[str, Reading] = {}
    for part in parts:
        for name, reading in part.items():
            samples = sums.setdefault(name, Reading(reading.kind, reading.help, {})).samples
            for sample, number in reading.samples.items():
                samples[sample] = number if name.endswith("_info") else samples.get(sample, 0) + number
    return sums


def _read(file: Path) -> dict[str, Reading]:
    try:
        content, changed = file.read_bytes(), file.stat().st_mtime
    except FileNotFoundError:  # the folder is being removed, since the process that started the workers is gone
        return {}
    written: dict[str, dict[str, Any]] = orjson.loads(content)
    # A file from the future is one from before the clock was set back.
    is_alive = abs(time.time() - changed) < _ALIVE_S
    return {name: Reading(**fields) for name, fields in written.items() if is_alive or fields["kind"] != "gauge"}
