"""All that looks on while requests are served: a log, numbers for Prometheus, and traces."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection
from pathlib import Path

from turnout.config import ObserveConfig
from turnout.gateway.metrics import Registry
from turnout.gateway.observing.metrics_of_workers import MetricsOfWorkers
from turnout.gateway.observing.request_log import RequestLog
from turnout.gateway.observing.request_metrics import RequestMetrics
from turnout.gateway.observing.tracing import Tracing
from turnout.gateway.steps.calling import Upstream
from turnout.gateway.steps.recording import Recorder

_logger = logging.getLogger(__name__)


class Observers:
    """What the configuration asks for of it."""

    def __init__(
        self, config: ObserveConfig, *, names: Callable[[], Collection[str]], workers_folder: Path | None
    ) -> None:
        """
        Args:
            config: the part of the configuration that is about it.
            names: those that may stand for themselves as a route; see `RequestMetrics`.
            workers_folder: where this process shares its numbers with the gateway's other processes, if it has any.
        """
        self.metrics = Registry()
        self.of_workers = None if workers_folder is None else MetricsOfWorkers(self.metrics, workers_folder)
        self._sharing: asyncio.Task[None] | None = None
        self._tracing = Tracing() if config.traces else None
        recorders: list[Recorder] = [RequestLog()]
        if config.metrics:
            recorders.append(RequestMetrics(self.metrics, names))
        if self._tracing is not None:
            recorders.append(self._tracing)
        self.recorders = tuple(recorders)

    def wrap(self, upstream: Upstream) -> Upstream:
        """The upstream, its calls traced where traces are asked for."""
        return upstream if self._tracing is None else self._tracing.wrap(upstream)

    def start(self) -> None:
        """Begin to share numbers with other workers."""
        if self.of_workers is not None:
            self._sharing = asyncio.create_task(self.of_workers.keep_writing())

    def abandon(self) -> None:
        """The process that started the workers is gone: remove what it would have removed."""
        if self._sharing is not None:
            self._sharing.cancel()
        if self.of_workers is not None:
            self.of_workers.remove()
            self.of_workers = None

    async def share_last(self) -> None:
        """Leave this worker's last numbers to the others."""
        if self._sharing is not None and self.of_workers is not None:
            self._sharing.cancel()
            try:
                await asyncio.to_thread(self.of_workers.write, self.metrics.read())
            except OSError as error:  # the ledger is still to be written
                _logger.error("the last metrics of this worker cannot be shared (%s)", error.strerror)

    async def close(self) -> None:
        """Send what traces still hold."""
        if self._tracing is not None:
            await asyncio.to_thread(self._tracing.close)
