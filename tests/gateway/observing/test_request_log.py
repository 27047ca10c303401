from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
from running_gateway import Start
from scripted_provider import CLIENT_KEY, Provider, hang_up

from turnout.gateway.observing.request_log import REQUESTS, JsonFormatter

HARD = [{"role": "user", "content": "a hard one"}]


async def test_each_request_is_one_json_object(
    provider: Provider, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    caplog.set_level(logging.INFO, logger=REQUESTS)  # `turnout serve --quiet` may have raised it in this process
    gateway = await start()
    _, headers, _ = await gateway.post({"model": "auto", "messages": HARD}, headers={"x-api-key": CLIENT_KEY})
    provider.script = [hang_up, hang_up]
    _, failed, _ = await gateway.post({"model": "auto", "messages": HARD})
    await gateway.entries(2)
    lines = [json.loads(JsonFormatter().format(record)) for record in caplog.records]
    first, second = (line for line in lines if line["logger"] == REQUESTS)
    assert first["decision_id"] == headers["x-turnout-decision-id"]
    assert (first["level"], first["route"], first["model"], first["status"]) == ("INFO", "auto", "big", 200)
    assert (first["win_rate"], first["input_tokens"], first["protocol"]) == (0.9, 18, "chat")
    assert first["cost_usd"] == pytest.approx(0.00075)
    assert first["latency_s"] > first["upstream_latency_s"] > 0
    assert (second["status"], second["error"]) == (502, "upstream_unreachable")
    (warning,) = (line for line in lines if line["level"] == "WARNING")
    assert warning["decision_id"] == failed["x-turnout-decision-id"], "other lines about a request name it too"
    text = json.dumps(lines)
    assert "hard one" not in text
    assert CLIENT_KEY not in text


def test_an_exception_stands_in_its_line() -> None:
    try:
        raise ValueError("it broke\nbadly")
    except ValueError as error:
        record = logging.LogRecord("a", logging.ERROR, "f", 1, "at %s", (Path("x"),), (ValueError, error, None))
    formatted = JsonFormatter().format(record)
    assert "\n" not in formatted
    line = json.loads(formatted)
    assert line["message"] == "at x"
    assert "ValueError: it broke\nbadly" in line["exception"]
    assert line["time"].endswith("Z")
    assert "decision_id" not in line


async def test_nobody_listening_costs_no_line(
    provider: Provider, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, logger=REQUESTS)
    gateway = await start()
    await gateway.post({"model": "auto", "messages": HARD})
    await gateway.entries()
    assert not [record for record in caplog.records if record.name == REQUESTS]
