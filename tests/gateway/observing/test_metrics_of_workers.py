from __future__ import annotations

import asyncio
import os
import shutil
import threading
import time
from pathlib import Path

import pytest
from running_gateway import Start
from scripted_provider import Provider

from turnout.config import parse_config
from turnout.gateway.app import build_app
from turnout.gateway.metrics import Reading, Registry, only
from turnout.gateway.observing.metrics_of_workers import FOLDER_VARIABLE, MetricsOfWorkers, add_up

EASY = [{"role": "user", "content": "an easy one"}]


def worker(folder: Path, number: int, *, requests: int, waiting: int) -> MetricsOfWorkers:
    """A worker that has written its numbers."""
    registry = Registry()
    registry.counter("requests_total", "R.", ("route",)).add(("auto",), requests)
    registry.gauge("waiting", "W.", lambda: only(waiting))
    registry.gauge("x_info", "I.", lambda: [(("1",), 1)], ("version",))
    registry.histogram("h", "H.", (1,)).observe((), requests)
    part = MetricsOfWorkers(registry, folder)
    part._file = folder / f"{number}.json"
    part.write(registry.read())
    return part


def test_whoever_is_asked_answers_for_all(tmp_path: Path) -> None:
    one, two = worker(tmp_path, 1, requests=1, waiting=3), worker(tmp_path, 2, requests=5, waiting=4)
    for asked in (one, two):
        found = asked.read(asked._registry.read())
        assert found["requests_total"] == Reading("counter", "R.", {'requests_total{route="auto"}': 6})
        assert found["waiting"].samples == {"waiting": 7}
        assert found["x_info"].samples == {'x_info{version="1"}': 1}
        assert found["h"].samples == {'h_bucket{le="1"}': 1, 'h_bucket{le="+Inf"}': 2, "h_sum": 6, "h_count": 2}


@pytest.mark.parametrize("written", [0, time.time() + 3_600], ids=["long ago", "before the clock was set back"])
def test_a_dead_workers_counters_stay_and_its_gauges_go(tmp_path: Path, written: float) -> None:
    alive, dead = worker(tmp_path, 1, requests=1, waiting=3), worker(tmp_path, 2, requests=5, waiting=4)
    os.utime(dead._file, (written, written))
    found = alive.read(alive._registry.read())
    assert found["requests_total"].samples == {'requests_total{route="auto"}': 6}
    assert found["waiting"].samples == {"waiting": 3}


def test_a_file_that_is_removed_meanwhile_counts_no_more(tmp_path: Path) -> None:
    one = worker(tmp_path, 1, requests=1, waiting=3)
    (tmp_path / "2.json").symlink_to(tmp_path / "gone")  # listed, and not there when it is read
    assert one.read(one._registry.read())["waiting"].samples == {"waiting": 3}


def test_families_that_only_one_has_are_kept() -> None:
    reading = Reading("counter", "A.", {"a_total": 2})
    assert add_up([{}, {"a_total": reading}]) == {"a_total": reading}


async def test_a_worker_shares_while_it_runs_and_when_it_stops(
    provider: Provider, start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "workers"
    folder.mkdir()
    worker(folder, 1, requests=5, waiting=1)
    monkeypatch.setenv(FOLDER_VARIABLE, str(folder))
    gateway = await start()
    own = folder / f"{os.getpid()}.json"
    async with asyncio.timeout(30):
        while not own.exists():
            await asyncio.sleep(0.01)
    await gateway.post({"model": "auto", "messages": EASY})
    async with gateway.http.get(gateway.url.removesuffix("/v1") + "/metrics") as response:
        text = await response.text()
    assert 'requests_total{route="auto"} 5' in text
    assert 'turnout_requests_total{route="auto",model="small",status="200"} 1' in text
    await gateway.app.shutdown()
    assert b"turnout_requests_total{route" in own.read_bytes()


async def test_a_shared_folder_that_is_gone_keeps_nothing_from_the_ledger(
    provider: Provider, start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "workers"
    folder.mkdir()
    monkeypatch.setenv(FOLDER_VARIABLE, str(folder))
    gateway = await start()
    await gateway.post({"model": "auto", "messages": EASY})
    shutil.rmtree(folder)
    await gateway.app.shutdown()
    assert gateway.app.ledger is not None
    assert gateway.app.ledger.written == 1


async def test_a_worker_whose_starter_is_gone_before_it_has_started_leaves_no_folder(
    provider: Provider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "workers"
    folder.mkdir()
    monkeypatch.setenv(FOLDER_VARIABLE, str(folder))
    app = build_app(parse_config({"models": {"small": {"base_url": provider.base_url}}}, folder=tmp_path))
    app.abandon()
    assert not folder.exists()
    await app.startup()
    await app.shutdown()
    assert not folder.exists()


def test_the_folder_is_removed_behind_a_write_that_is_under_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "workers"
    folder.mkdir()
    part = worker(folder, 1, requests=1, waiting=0)
    begun, go_on = threading.Event(), threading.Event()

    def write_slowly(path: Path, content: bytes) -> int:
        begun.set()
        assert go_on.wait(30)
        folder.mkdir(exist_ok=True)  # as if it had begun before the folder was removed
        with path.open("wb") as file:
            return file.write(content)

    monkeypatch.setattr(Path, "write_bytes", write_slowly)
    writing = threading.Thread(target=part.write, args=({},))
    removing = threading.Thread(target=part.remove)
    writing.start()
    assert begun.wait(30)
    removing.start()
    removing.join(0.1)
    go_on.set()
    writing.join()
    removing.join()
    part.write({})
    assert not folder.exists()
