"""What is remembered, for how long, by whom, and in how much memory."""

from __future__ import annotations

import asyncio
from contextlib import closing
from pathlib import Path

import pytest
from ledgers import KINDS, empty_database

from turnout.errors import LedgerError
from turnout.gateway.choosing.sessions import KEPT_S, Session, Sessions
from turnout.gateway.ledger import remembered, schema
from turnout.gateway.ledger.calls import LedgerCalls
from turnout.gateway.ledger.schema import open_ledger
from turnout.gateway.ledger.sqlite import SqliteDatabase


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


async def test_memory_forgets_what_was_not_seen_for_longest() -> None:
    clock = Clock()
    sessions = Sessions(max_remembered=2, clock=clock)
    for name in ("a", "b", "a", "c"):
        sessions.keep(name, Session("big", clock.now, 10, 1, 2.5))
    assert [await sessions.find(name) is not None for name in "abc"] == [True, False, True]
    sessions.forget("a")
    assert await sessions.find("a") is None
    clock.now += KEPT_S + 1
    assert await sessions.find("c") is None


@pytest.mark.parametrize("kind", KINDS)
async def test_processes_share_what_they_remember(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remembered, "READ_LIMIT_S", 30.0)
    with empty_database(kind, tmp_path) as database:
        open_ledger(database, create=True).close()
        clock = Clock()
        first, second = (Sessions(LedgerCalls(database), shared=True, clock=clock, monotonic=clock) for _ in range(2))
        kept = Session("big", clock.now, 80_000, 19, 2.5)
        first.keep("a", kept)
        assert await first.find("a") == kept, "before it is written"
        await first.written()
        assert await second.find("a") == kept
        second.forget("a")
        await second.written()
        assert await first.find("a") is None, "memory is not trusted where others write"
        first.keep("b", kept)
        await first.aclose()
        assert await second.find("b") == kept, "closing writes"
        clock.now += KEPT_S + 100
        second.keep("c", Session("big", clock.now, 1, 1, 2.5))
        await second.aclose()
        with closing(open_ledger(database)) as connection:
            assert connection.execute("SELECT id FROM sessions") == [("c",)]


async def test_a_session_of_an_earlier_version_has_cost_nothing_yet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = SqliteDatabase(tmp_path / "ledger.sqlite3")
    before = [step for step in schema.MIGRATIONS if step is not schema.add_cost_of_staying_to_sessions]
    with monkeypatch.context() as earlier:
        earlier.setattr(schema, "MIGRATIONS", tuple(before))
        with closing(open_ledger(database, create=True)) as connection:
            connection.execute("INSERT INTO sessions VALUES ('a', 'big', 1000000.0, 80000, 19, 2.5)")
    open_ledger(database).close()
    sessions = Sessions(LedgerCalls(database), clock=Clock())
    assert await sessions.find("a") == Session("big", 1_000_000.0, 80_000, 19, 2.5, stay_usd=0.0)
    await sessions.aclose()


async def test_a_ledger_that_fails_costs_only_what_others_knew(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(LedgerCalls):
        async def run(self, step: object) -> object:  # type: ignore[override]
            raise LedgerError("The ledger is gone.")

    sessions = Sessions(Broken(SqliteDatabase(tmp_path / "x")), shared=True)
    kept = Session("big", sessions.clock(), 80_000, 19, 2.5)
    sessions.keep("a", kept)
    await sessions.written()
    assert await sessions.find("a") == kept
    assert await sessions.find("b") is None
    assert caplog.text.count("remembered by this process alone") == 1


async def test_a_ledger_that_is_slow_holds_nobody_up_for_long(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Slow(LedgerCalls):
        asked = 0

        async def run(self, step: object) -> object:  # type: ignore[override]
            self.asked += 1
            await asyncio.sleep(30)
            raise AssertionError

    slow = Slow(SqliteDatabase(tmp_path / "x"))
    sessions = Sessions(slow, shared=True)
    async with asyncio.timeout(20):
        assert [await sessions.find("a") for _ in range(20)] == [None] * 20
    assert slow.asked == 1
    assert "takes too long to read" in caplog.text
