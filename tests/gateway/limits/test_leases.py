from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from ledgers import KINDS, empty_database

from turnout.gateway.ledger.database import Connection
from turnout.gateway.ledger.schema import open_ledger
from turnout.gateway.ledger.sqlite import SqliteDatabase
from turnout.gateway.limits.leases import (
    LAPSE_S,
    VALID_S,
    Claim,
    Window,
    forget_past_windows,
    lease,
    used_in_window,
    window_of,
)

NOW = 1_764_076_800.0  # 2025-11-25 13:20 UTC
DAY = window_of("usd_per_day", NOW)


@pytest.fixture(params=KINDS)
def connection(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Connection]:
    with empty_database(request.param, tmp_path) as database, closing(open_ledger(database, create=True)) as connection:
        yield connection


def held(connection: Connection, worker: str, used: float, spare: float, *, now: float = NOW, key: str = "k") -> float:
    (held,) = lease(connection, worker, [Claim(key, "usd_per_day", DAY, 10.0, used, spare)], now=now)
    return held


def test_windows_are_the_calendars() -> None:
    assert window_of("tokens_per_minute", NOW + 59.9) == Window(int(NOW), int(NOW) + 60)
    assert Window(1_764_028_800, 1_764_115_200) == DAY
    assert window_of("usd_per_month", NOW) == Window(1_761_955_200, 1_764_547_200)
    leap = window_of("usd_per_month", 1_709_164_800.0)
    assert (leap.end - leap.start) / 86_400 == 29


def test_workers_never_hold_more_than_the_limit_together(connection: Connection) -> None:
    assert held(connection, "a", 0, 4) == 4
    assert held(connection, "b", 0, 4) == 4
    assert held(connection, "c", 0, 4) == 2
    assert held(connection, "d", 0, 4) == 0
    assert held(connection, "a", 3, 4) == 4, "what it has already is what there is"


def test_what_is_given_back_is_there_for_others(connection: Connection) -> None:
    held(connection, "a", 0, 10)
    assert held(connection, "b", 0, 1) == 0
    assert held(connection, "a", 6, 0) == 6
    assert held(connection, "b", 0, 10) == 4


def test_a_call_that_cost_more_than_was_set_aside_counts(connection: Connection) -> None:
    held(connection, "a", 0, 10)
    assert held(connection, "a", 12, 0) == 12
    assert held(connection, "b", 0, 1) == 0
    assert held(connection, "a", 12, 1) == 12


def test_keys_kinds_and_windows_are_told_apart(connection: Connection) -> None:
    assert held(connection, "a", 10, 0) == 10
    assert held(connection, "b", 0, 10, key="other") == 10
    tomorrow = Window(DAY.end, DAY.end + 86_400)
    assert lease(connection, "b", [Claim("k", "usd_per_day", tomorrow, 10.0, 0, 10)], now=NOW) == [10]
    assert lease(connection, "b", [Claim("k", "usd_per_month", DAY, 10.0, 0, 10)], now=NOW) == [10]


def test_a_dead_workers_slice_comes_back_less_what_it_used(connection: Connection) -> None:
    held(connection, "dead", 3, 7)
    assert held(connection, "b", 0, 10, now=NOW + LAPSE_S - 1) == 0
    assert held(connection, "b", 0, 10, now=NOW + LAPSE_S + 1) == 7
    assert held(connection, "dead", 3, 7, now=NOW + LAPSE_S + 2) == 3, "should it wake up again"
    assert VALID_S < LAPSE_S, "it does not spend what others were given"


def test_use_is_summed_over_workers(connection: Connection) -> None:
    held(connection, "a", 3, 1)
    held(connection, "b", 1.5, 1)
    assert used_in_window(connection, "k", "usd_per_day", now=NOW + 60) == 4.5
    assert used_in_window(connection, "k", "usd_per_day", now=NOW + 86_400) == 0


def test_windows_long_past_are_forgotten(connection: Connection) -> None:
    held(connection, "a", 1, 1)
    lease(connection, "a", [Claim("k", "requests_per_minute", window_of("requests_per_minute", NOW), 9, 1, 1)], now=NOW)

    def left(now: float) -> list[str]:
        forget_past_windows(connection, now=now)
        return sorted(kind for (kind,) in connection.execute("SELECT kind FROM leases"))

    assert left(NOW + 120) == ["requests_per_minute", "usd_per_day"]
    assert left(NOW + 4_000) == ["usd_per_day"]
    assert left(DAY.end + 39 * 86_400) == ["usd_per_day"], "a clock that was set wrong costs no budget its account"
    assert left(DAY.end + 41 * 86_400) == []


RIVAL = """
import sys
from pathlib import Path
from turnout.gateway.ledger import sqlite
from turnout.gateway.limits.leases import Claim, lease, window_of

sqlite.BUSY_S = 60.0
connection = sqlite.SqliteDatabase(Path(sys.argv[1])).connect()
window = window_of("usd_per_day", 1_764_076_800.0)
used = held = 0.0
while True:
    held = lease(connection, sys.argv[2], [Claim("k", "usd_per_day", window, 50.0, used, 0.5)], now=1_764_076_800.0)[0]
    if held < used + 0.25:
        break
    used += 0.25
lease(connection, sys.argv[2], [Claim("k", "usd_per_day", window, 50.0, used, 0)], now=1_764_076_800.0)
print(used)
"""


def test_processes_that_race_spend_the_limit_and_no_more(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite3"
    open_ledger(SqliteDatabase(path), create=True).close()
    rivals = [
        subprocess.Popen([sys.executable, "-c", RIVAL, str(path), name], stdout=subprocess.PIPE, text=True)
        for name in "abc"
    ]
    spent = [float(rival.communicate(timeout=120)[0]) for rival in rivals]
    assert 49.5 <= sum(spent) <= 50
