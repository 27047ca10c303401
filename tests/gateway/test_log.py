from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from turnout.errors import ConfigError, DataError
from turnout.gateway import log as log_module
from turnout.gateway.log import MIGRATIONS, DecisionLog, LogRow, read_queries, read_rows

ROW = LogRow(
    id="dec-0",
    time=1_700_000_000.25,
    route="auto",
    model="big",
    side="strong",
    win_rate=0.1 + 0.2,
    threshold=0.3,
    reason="at or above the threshold",
    query='é "quoted" \n\'; DROP TABLE decisions; -- \0 end',
    query_sha256="00",
    stream=True,
    status=200,
    error=None,
    latency_s=0.5,
    upstream_first_byte_s=0.1,
    upstream_latency_s=0.4,
    input_tokens=2**40,
    output_tokens=0,
    cost_usd=1e-7,
    cost_usd_if_strong=None,
)


def rows(count: int) -> list[LogRow]:
    return [replace(ROW, id=f"dec-{n}", route="auto" if n % 2 else "other") for n in range(count)]


def test_rows_come_back_as_they_went_in(tmp_path: Path) -> None:
    log = DecisionLog(tmp_path / "sub" / "log.sqlite3")
    log.start()
    log.record(ROW)
    log.close()
    assert list(read_rows(log.path)) == [ROW]


def test_closing_loses_nothing(tmp_path: Path) -> None:
    log = DecisionLog(tmp_path / "log.sqlite3")
    log.start()
    written = rows(10_000)
    for row in written:
        log.record(row)
    log.close()
    assert list(read_rows(log.path)) == written
    assert (log.written, log.queued, log.dropped) == (10_000, 0, 0)
    assert len(list(read_rows(log.path, route="auto"))) == 5_000


def test_a_log_is_written_on_after_a_restart(tmp_path: Path) -> None:
    for id in ("dec-1", "dec-2"):
        log = DecisionLog(tmp_path / "log.sqlite3")
        log.start()
        log.record(replace(ROW, id=id))
        log.close()
    assert [row.id for row in read_rows(log.path)] == ["dec-1", "dec-2"]


def test_a_full_queue_drops_and_counts(tmp_path: Path) -> None:
    log = DecisionLog(tmp_path / "log.sqlite3", max_queued=3)
    for row in rows(5):
        log.record(row)
    log.start()
    log.close()
    assert log.dropped == 2
    assert len(list(read_rows(log.path))) == 3


def test_a_locked_file_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_module, "_BUSY_S", 0.05)
    log = DecisionLog(tmp_path / "log.sqlite3")
    log.start()
    with closing(sqlite3.connect(log.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        log.record(ROW)
        threading.Event().wait(0.6)
        assert log.written == 0
        other.execute("ROLLBACK")
    log.close()
    assert (log.written, log.dropped) == (1, 0)


@pytest.mark.parametrize(
    ("query_text", "kept"),
    [("full", ("hé\0", sha256("hé\0".encode()).hexdigest())), ("off", (None, None))],
)
def test_query_text_says_what_is_kept(tmp_path: Path, query_text: str, kept: tuple[str, str]) -> None:
    assert DecisionLog(tmp_path / "log.sqlite3", query_text=query_text).kept_of("hé\0") == kept  # type: ignore[arg-type]


def test_hash_keeps_no_text(tmp_path: Path) -> None:
    text, digest = DecisionLog(tmp_path / "log.sqlite3", query_text="hash").kept_of("secret plans")
    assert text is None
    assert digest == sha256(b"secret plans").hexdigest()


def test_queries_come_back_for_calibration(tmp_path: Path) -> None:
    log = DecisionLog(tmp_path / "log.sqlite3")
    log.start()
    log.record(replace(ROW, id="1", query="one"))
    log.record(replace(ROW, id="2", query=None))
    log.record(replace(ROW, id="3", query="three", route="other"))
    log.close()
    assert read_queries(log.path) == ["one", "three"]
    assert read_queries(log.path, route="other") == ["three"]


def test_a_log_without_texts_says_how_to_keep_them(tmp_path: Path) -> None:
    log = DecisionLog(tmp_path / "log.sqlite3")
    log.start()
    log.record(replace(ROW, query=None))
    log.close()
    with pytest.raises(DataError, match='query_text = "full"'):
        read_queries(log.path)


def test_files_that_are_no_log_are_refused(tmp_path: Path) -> None:
    other = tmp_path / "other.sqlite3"
    other.write_bytes(b"not a database, whatever its name says, and long enough to tell" * 20)
    with pytest.raises(ConfigError, match="cannot be used as a log"):
        DecisionLog(other).start()
    with pytest.raises(DataError, match="not a log"):
        list(read_rows(other))
    with pytest.raises(DataError, match="no such log"):
        list(read_rows(tmp_path / "absent"))
    with pytest.raises(ConfigError, match="cannot be used as a log"):
        DecisionLog(other / "below" / "log.sqlite3").start()


def test_a_later_schema_is_refused(tmp_path: Path) -> None:
    log = DecisionLog(tmp_path / "log.sqlite3")
    log.start()
    log.close()
    with closing(sqlite3.connect(log.path)) as connection:
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    with pytest.raises(ConfigError, match="Update Turnout"):
        DecisionLog(log.path).start()
