"""`turnout serve` as a process: it says where it listens, answers, and writes its log when it is told to stop."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import urllib.request
from pathlib import Path

import pytest
from click.testing import CliRunner
from processes import TURNOUT, read_until
from saved_routers import save_random_router

from turnout import ModelPair
from turnout.cli.serve import serve
from turnout.errors import ConfigError, LedgerError
from turnout.gateway.ledger.reading import read_entries
from turnout.gateway.server import listen

CONFIG = """
[ledger]
path = "ledger.sqlite3"
[models.big]
base_url = "http://127.0.0.1:9/v1"
api_key_env = "BIG_KEY"
[models.small]
base_url = "http://127.0.0.1:9/v1"
[routes.auto]
router = "router"
strong = "big"
weak = "small"
strong_fraction = 0.5
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    save_random_router(tmp_path / "router", ModelPair("big", "small"))
    (tmp_path / "turnout.toml").write_text(CONFIG)
    return tmp_path / "turnout.toml"


def test_check_loads_all_and_stops(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BIG_KEY", "sk-1")
    result = CliRunner().invoke(serve, ["--config", str(config), "--check"], catch_exceptions=False)
    assert result.exit_code == 0
    assert "1 routes and 2 models are ready" in result.stdout


def test_a_key_that_is_not_set_is_named(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BIG_KEY", raising=False)
    with pytest.raises(ConfigError, match="BIG_KEY"):
        CliRunner().invoke(serve, ["--config", str(config), "--check"], catch_exceptions=False)


def test_a_router_without_calibration_names_the_command(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BIG_KEY", "sk-1")
    (config.parent / "router" / "calibration.json").unlink()
    with pytest.raises(ConfigError, match="turnout calibrate"):
        CliRunner().invoke(serve, ["--config", str(config), "--check"], catch_exceptions=False)


def test_a_damaged_router_names_its_route(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BIG_KEY", "sk-1")
    (config.parent / "router" / "router.json").write_text("{")
    with pytest.raises(ConfigError, match=r"\[routes.auto\]: .*router.json is not JSON"):
        CliRunner().invoke(serve, ["--config", str(config), "--check"], catch_exceptions=False)


def test_the_process_serves_until_it_is_told_to_stop_and_keeps_its_log(config: Path) -> None:
    command = [*TURNOUT, "serve", "--config", str(config)]
    environment = {**os.environ, "BIG_KEY": "sk-very-secret"}
    with subprocess.Popen([*command, "--port", "0"], stderr=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stderr is not None
        found, said = read_until(process.stderr, r"at (http://127\.0\.0\.1:\d+/v1)")
        body = json.dumps({"model": "auto", "messages": [{"role": "user", "content": "hello"}]}).encode()
        request = urllib.request.Request(f"{found[1]}/chat/completions", body)
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(request, timeout=60)
        with caught.value as answered:
            assert answered.code == 502
            decision = answered.headers["x-turnout-decision-id"]
        process.send_signal(signal.SIGTERM)
        said += process.stderr.read()
    (row,) = read_entries(config.parent / "ledger.sqlite3")
    assert row.id == decision
    assert row.query is None
    assert row.query_sha256 is not None
    assert "sk-very-secret" not in said
    assert "Traceback" not in said


def test_a_ledger_that_cannot_be_opened_is_a_clear_error(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BIG_KEY", "sk-1")
    (config.parent / "ledger.sqlite3").mkdir()
    with pytest.raises(LedgerError, match=r"ledger\.sqlite3 cannot be used as a ledger"):
        CliRunner().invoke(serve, ["--config", str(config), "--port", "0"], catch_exceptions=False)


def test_metrics_need_a_port_of_their_own(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BIG_KEY", "sk-1")
    with listen("127.0.0.1", 0) as free:
        port = free.getsockname()[1]
    options = ["--config", str(config), "--port", str(port), "--metrics-listen", f"127.0.0.2:{port}"]
    with pytest.raises(ConfigError, match="another port"):
        CliRunner().invoke(serve, options, catch_exceptions=False)


def test_a_taken_port_is_a_clear_error(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"cannot listen on 127.0.0.1, port {port}"):
            listen("127.0.0.1", port)
