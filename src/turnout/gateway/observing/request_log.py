"""One line of the process's own log for each request, and the form of such lines for machines (`--log-json`).

Neither queries nor keys stand in it, only the key's public id.
"""

from __future__ import annotations

import logging
import re
import time
import traceback
from typing import Any

import orjson

from turnout.gateway.steps.account import Account

REQUESTS = "turnout.requests"
"""The logger's name."""

_DECISION_ID = re.compile(r"\bdec-[0-9a-f]{24}\b")
_logger = logging.getLogger(REQUESTS)


class RequestLog:
    """Logs each request when it has ended; a recorder."""

    def record(self, account: Account) -> None:
        """Log it, if anyone listens."""
        if not _logger.isEnabledFor(logging.INFO):
            return
        choice, decision, usage = account.choice, account.choice.decision, account.usage
        fields = {
            "decision_id": choice.id,
            "key_id": account.caller.id,
            "protocol": account.request.protocol.name,
            "route": choice.asked_for,
            "model": account.model.name,
            "reason": account.reason(),
            "win_rate": decision.win_rate if decision else None,
            "threshold": decision.threshold if decision else None,
            "stream": account.request.stream,
            "status": account.status,
            "error": account.error,
            "input_tokens": usage.input_tokens if usage else None,
            "output_tokens": usage.output_tokens if usage else None,
            "cost_usd": account.cost_usd(),
            "latency_s": account.latency_s(),
            "upstream_latency_s": account.upstream_latency_s(),
        }
        _logger.info(
            "%s: %d %s → %s, %s",
            choice.id,
            account.status,
            choice.asked_for,
            account.model.name,
            account.reason(),
            extra={"fields": fields},
        )


class JsonFormatter(logging.Formatter):
    """A log record as one JSON object: time, level, logger, message, decision_id where there is one, and its fields."""

    converter = staticmethod(time.gmtime)

    def format(self, record: logging.LogRecord) -> str:
        """The object on one line."""
        message = record.getMessage()
        line: dict[str, Any] = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S") + f".{int(record.msecs):03d}Z",
            "level": record.levelname,
            "logger": record.name,
            "message": message,
        }
        if found := _DECISION_ID.search(message):
            line["decision_id"] = found[0]
        line |= getattr(record, "fields", {})
        if record.exc_info:
            line["exception"] = "".join(traceback.format_exception(*record.exc_info))
        return orjson.dumps(line, default=str).decode()


def start_logging(level: int, *, as_json: bool) -> None:
    """Send the process's log to standard error. As text it leaves out the line for each request."""
    handler = logging.StreamHandler()
    if as_json:
        formatter: logging.Formatter = JsonFormatter()
    else:
        formatter = logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
        _logger.setLevel(logging.WARNING)
    handler.setFormatter(formatter)
    logging.basicConfig(level=level, handlers=[handler])
