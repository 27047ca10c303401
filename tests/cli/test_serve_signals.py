"""`turnout serve` as real processes: signals, workers, and what becomes of requests meanwhile."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import IO, Any

import pytest
from processes import TURNOUT

from turnout.gateway.ledger.reading import read_entries

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs signals")

ANSWER = {
    "id": "c",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Paris."}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
}


class Gate:
    """Holds the answers to messages that say 'wait' back until it is opened."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.opened = threading.Event()


class GatedProvider(BaseHTTPRequestHandler):
    """Answers whatever it is asked, once the gate lets it."""

    protocol_version = "HTTP/1.1"
    gate: Gate

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if body["messages"][0]["content"] == "wait":
            self.gate.reached.set()
            self.gate.opened.wait(60)
        content = json.dumps(ANSWER).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
def provider(gate: Gate) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (GatedProvider,), {"gate": gate}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    gate.opened.set()
    server.shutdown()
    server.server_close()


class Served:
    """A gateway's process, and what it has said so far."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.said = ""
        threading.Thread(target=self._listen, daemon=True).start()
        self.root = self.wait_for(r"at (http://127\.0\.0\.1:\d+)/v1")[1]

    def _listen(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.said += line

    def wait_for(self, pattern: str, count: int = 1) -> re.Match[str]:
        for _ in range(1200):
            if len(found := list(re.finditer(pattern, self.said))) >= count:
                return found[-1]
            time.sleep(0.05)
        raise AssertionError(f"never said {pattern}: {self.said}")

    def get(self, path: str) -> int:
        try:
            with urllib.request.urlopen(self.root + path, timeout=60) as response:
                return int(response.status)
        except urllib.error.HTTPError as error:
            with error:
                return error.code

    def ask(self, model: str = "small", content: str = "now") -> int:
        body = json.dumps({"model": model, "messages": [{"role": "user", "content": content}]}).encode()
        request = urllib.request.Request(f"{self.root}/v1/chat/completions", body)
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return int(response.status)
        except urllib.error.HTTPError as error:
            with error:
                return error.code


def config(folder: Path, provider: str, *models: str, server: str = "") -> Path:
    path = folder / "turnout.toml"
    text = f'[server]\nport = 0\n{server}\n[ledger]\npath = "ledger.sqlite3"\n'
    path.write_text(text + "".join(f'[models.{model}]\nbase_url = "{provider}"\n' for model in models))
    return path


@contextmanager
def serving(path: Path, *options: str) -> Iterator[Served]:
    command = [*TURNOUT, "serve", "--config", str(path), *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=dict(os.environ)) as process:
        try:
            yield Served(process)
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait(60)


def test_sighup_takes_up_what_is_right_and_refuses_what_is_wrong(tmp_path: Path, provider: str) -> None:
    with serving(config(tmp_path, provider, "small")) as served:
        served.wait_for("startup complete")
        assert (served.ask("small"), served.ask("new")) == (200, 404)
        config(tmp_path, provider, "small", "new")
        served.process.send_signal(signal.SIGHUP)
        served.wait_for("the configuration was read anew: small, new")
        assert served.ask("new") == 200
        (tmp_path / "turnout.toml").write_text("[models.x]\nbase_url = 3\n")
        served.process.send_signal(signal.SIGHUP)
        served.wait_for(r"base_url must be text.*The old configuration stays\.")
        assert served.ask("new") == 200
        assert "Traceback" not in served.said


def test_a_sighup_while_it_starts_is_taken_up_once_it_can_be(tmp_path: Path, provider: str) -> None:
    path = config(tmp_path, provider, "small")
    old = path.read_bytes()
    new = config(tmp_path, provider, "small", "new").read_bytes()
    path.unlink()
    os.mkfifo(path)
    command = [*TURNOUT, "serve", "--config", str(path)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            with whoever_reads(path) as pipe:
                process.send_signal(signal.SIGHUP)
                pipe.write(old)
            served = Served(process)
            with whoever_reads(path) as pipe:
                pipe.write(new)
            served.wait_for("the configuration was read anew: small, new")
        finally:
            process.terminate()
            process.wait(30)


@contextmanager
def whoever_reads(pipe: Path) -> Iterator[IO[bytes]]:
    """What is written to the named pipe's reader, once there is one."""
    for _ in range(600):
        with suppress(OSError):
            descriptor = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
            break
        time.sleep(0.05)
    else:
        raise AssertionError("no one reads it")
    with open(descriptor, "wb") as file:
        yield file


@pytest.mark.parametrize("workers", ["1", "2"])
def test_metrics_may_have_an_address_of_their_own(tmp_path: Path, provider: str, workers: str) -> None:
    options = ("--workers", workers, "--metrics-listen", "127.0.0.1:0")
    with serving(config(tmp_path, provider, "small"), *options) as served:
        served.wait_for("startup complete")
        address = served.wait_for(r"Metrics are at (http://\S+)/metrics")[1]
        assert served.ask() == 200
        assert served.get("/metrics") == 404
        main, served.root = served.root, address
        assert (served.get("/metrics"), served.get("/healthz"), served.get("/readyz")) == (200, 200, 200)
        assert (served.get("/v1/models"), served.get("/v1/models/small"), served.ask()) == (404, 404, 404)
        rebound = urllib.request.Request(f"{address}/metrics", headers={"Host": "evil.example"})
        with pytest.raises(urllib.error.HTTPError) as caught, urllib.request.urlopen(rebound, timeout=60):
            pass
        with caught.value as refused:
            assert refused.code == 403
        served.root = main


def until(condition: Callable[[], bool]) -> None:
    for _ in range(1200):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError("it never came to that")


@pytest.mark.parametrize("workers", ["1", "2"])
def test_sigterm_says_not_ready_then_drains(tmp_path: Path, provider: str, gate: Gate, workers: str) -> None:
    path = config(tmp_path, provider, "small", server="drain_delay_s = 600")
    with serving(path, "--workers", workers) as served:
        served.wait_for("startup complete", count=int(workers))
        assert served.get("/readyz") == 200
        statuses: list[int] = []
        slow = threading.Thread(target=lambda: statuses.append(served.ask(content="wait")))
        slow.start()
        assert gate.reached.wait(60)
        served.process.send_signal(signal.SIGTERM)
        until(lambda: [served.get("/readyz") for _ in range(4)] == [503] * 4)
        assert (served.get("/healthz"), served.ask()) == (200, 200)
        served.process.send_signal(signal.SIGTERM)
        served.wait_for("Shutting down", count=int(workers))
        gate.opened.set()
        slow.join()
        assert statuses == [200]
        served.process.wait(60)
    assert len(list(read_entries(tmp_path / "ledger.sqlite3"))) == 2
    assert "Traceback" not in served.said


def test_workers_share_the_port_and_another_takes_the_place_of_one_that_dies(tmp_path: Path, provider: str) -> None:
    with serving(config(tmp_path, provider, "small"), "--workers", "2") as served:
        served.wait_for("startup complete", count=2)
        workers = [int(pid) for pid in re.findall(r"Started server process \[(\d+)\]", served.said)]
        assert len(set(workers)) == 2
        assert served.process.pid not in workers
        assert [served.ask() for _ in range(6)] == [200] * 6
        # A kill -9 loses what the ledger was told in the last fraction of a second.
        until(lambda: len(list(read_entries(tmp_path / "ledger.sqlite3"))) == 6)
        os.kill(workers[0], signal.SIGKILL)
        served.wait_for(rf"worker {workers[0]} ended with -9; starting another")
        assert [served.ask() for _ in range(6)] == [200] * 6
        served.wait_for("startup complete", count=3)
        config(tmp_path, provider, "small", "new")
        served.process.send_signal(signal.SIGHUP)
        served.wait_for("the configuration was read anew", count=2)
        assert [served.ask("new") for _ in range(4)] == [200] * 4
        served.process.terminate()
        assert served.process.wait(60) == 0
    assert len(list(read_entries(tmp_path / "ledger.sqlite3"))) == 16
    assert "Traceback" not in served.said


def test_workers_do_not_outlive_the_process_that_started_them(
    tmp_path: Path, provider: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    with serving(config(tmp_path, provider, "small"), "--workers", "2") as served:
        served.wait_for("startup complete", count=2)
        workers = [int(pid) for pid in re.findall(r"Started server process \[(\d+)\]", served.said)]
        served.process.kill()
        served.process.wait(60)
        for worker in workers:
            until(lambda worker=worker: not _alive(worker))  # type: ignore[misc]
    assert not list(temporary.iterdir()), "what the workers shared is removed"


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_mistake_that_every_worker_would_make_ends_all(tmp_path: Path, provider: str) -> None:
    path = config(tmp_path, provider, "small", server="workers = 2")
    (tmp_path / "ledger.sqlite3").write_text("this is no database, and far too long to be taken for an empty one" * 20)
    command = [*TURNOUT, "serve", "--config", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2, done.stderr
    assert "ledger.sqlite3" in done.stderr
