"""`turnout demo` as users run it, with a router made for the test, and with the shipped one where there is one."""

from __future__ import annotations

import io
import json
import re
import signal
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from processes import TURNOUT, read_until
from saved_routers import save_random_router

from turnout import ModelPair
from turnout.demo.local_models import LOCAL_MODELS
from turnout.errors import UpstreamUnreachableError
from turnout.model_files import ModelFiles
from turnout.routers.base import DEFAULT_ROUTER, shipped_routers

Run = Callable[..., tuple[int, str, str]]
PAIR = ModelPair("gpt-4o", "gpt-4o-mini")


@pytest.fixture
def router(tmp_path: Path) -> Path:
    return save_random_router(tmp_path / "r", PAIR)


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TURNOUT_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra, as far as importing it goes."""
    monkeypatch.setitem(sys.modules, "xllamacpp", sys)
    monkeypatch.delitem(sys.modules, "turnout.demo.llama_server", raising=False)


def test_it_prints_where_each_query_went_and_leaves_nothing_behind(run: Run, router: Path, temporary: Path) -> None:
    code, out, _ = run("demo", "--router", router)
    lines = out.splitlines()
    assert code == 0
    assert lines[0].split() == ["QUERY", "WIN", "RATE", "MODEL", "USD", "SPENT", "IF", "STRONG"]
    assert len([line for line in lines[1:21] if re.search(r"0\.\d{4}  (strong|weak)  +gpt-4o", line)]) == 20
    assert lines[21].startswith("20 queries")
    assert re.search(r"Saved \$0\.\d{6} of \$0\.\d{6}: \d+\.\d %", out)
    assert "Real: the router, the gateway" in out
    assert "Stand-ins: the answers" in out
    assert list(temporary.iterdir()) == []


def test_json_adds_up(run: Run, router: Path) -> None:
    _, out, _ = run("demo", "--router", router, "--json", "--strong-fraction", 0.3)
    report: dict[str, Any] = json.loads(out)
    assert report["pair"] == {"strong": "gpt-4o", "weak": "gpt-4o-mini"}
    for row in report["rows"]:
        assert row["side"] == ("strong" if row["win_rate"] >= report["threshold"] else "weak")
    assert sum(row["cost_usd"] for row in report["rows"]) == pytest.approx(report["cost_usd"])
    assert report["saved_usd"] == pytest.approx(report["cost_usd_if_strong"] - report["cost_usd"])
    assert {row["stream"] for row in report["rows"]} == {True, False}


@pytest.mark.skipif(DEFAULT_ROUTER not in shipped_routers(), reason="this build ships no router")
def test_with_the_shipped_router_it_needs_no_argument(run: Run) -> None:
    code, out, _ = run("demo", "--json")
    report = json.loads(out)
    assert code == 0
    assert len(report["rows"]) == 20
    assert {row["side"] for row in report["rows"]} == {"strong", "weak"}
    assert report["saved_usd"] > 0


def test_it_serves_on_until_it_is_stopped(router: Path, tmp_path: Path) -> None:
    command = [*TURNOUT, "demo", "--serve", "--router", str(router)]
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={"TMPDIR": str(temporary)}
    ) as process:
        assert process.stderr is not None
        curl, _ = read_until(process.stderr, r"curl -i (\S+) -H '(\S+): (\S+)' -d '(.+)'")
        request = urllib.request.Request(curl[1], curl[4].encode(), {curl[2]: curl[3]})
        with urllib.request.urlopen(request, timeout=60) as answer:
            assert "stand-in" in json.load(answer)["choices"][0]["message"]["content"]
        assert len(list(temporary.iterdir())) == 1
        process.send_signal(signal.SIGTERM)
        _, rest = process.communicate(timeout=60)
    assert (process.returncode, rest) == (0, "")
    assert list(temporary.iterdir()) == []


def test_local_models_without_the_extra_name_it(run: Run, router: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    monkeypatch.delitem(sys.modules, "turnout.demo.llama_server", raising=False)
    code, _, err = run("demo", "--local-models", "--pull", "--router", router)
    assert code == 2
    assert "pip install 'turnout[local-models]'" in err


def test_nothing_is_fetched_unless_asked_for(
    run: Run, router: Path, home: Path, extra: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ModelFiles, "pull", lambda *_: pytest.fail("it was not asked to"))
    code, _, err = run("demo", "--local-models", "--router", router)
    assert code == 2
    assert "SmolLM2-135M: 98 MB" in err
    assert f"to {home}" in err
    assert "Gemma Terms of Use" in err
    assert err.strip().endswith("Fetch them once with: turnout demo --local-models --pull")


def test_what_is_asked_for_is_fetched_before_it_is_loaded(
    run: Run, router: Path, home: Path, extra: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    pulled = []

    def pull(files: ModelFiles, progress: Callable[[int], None]) -> str:
        pulled.append(files.name)
        for file in files.files:
            files.folder.mkdir(parents=True, exist_ok=True)
            with (files.folder / file.name).open("wb") as empty:
                empty.truncate(file.size)
        return "nowhere"

    monkeypatch.setattr(ModelFiles, "pull", pull)
    code, out, err = run("demo", "--local-models", "--pull", "--router", router)
    assert pulled == [model.files.name for model in LOCAL_MODELS]
    # What was brought is only zeros, and is found out before it is loaded.
    assert (code, out) == (2, "")
    assert "sha256 is" in err
    assert err.index("Gemma Terms of Use") < err.index("sha256 is")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("typed", "fetched"), [("y\n", True), ("n\n", False), ("\n", False)])
def test_at_a_terminal_it_asks(
    run: Run, router: Path, home: Path, extra: None, monkeypatch: pytest.MonkeyPatch, typed: str, fetched: bool
) -> None:
    def pull(files: ModelFiles, progress: Callable[[int], None]) -> str:
        raise UpstreamUnreachableError("pull was called")

    monkeypatch.setattr(ModelFiles, "pull", pull)
    monkeypatch.setattr("sys.stdin", Terminal(typed))
    code, _, err = run("demo", "--local-models", "--router", router)
    assert code == 2
    assert "Fetch them now? [y/N]" in err
    assert ("pull was called" in err) == fetched
    assert ("Fetch them once with" in err) == (not fetched)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--pull",), "give --local-models too"),
        (("--router", "defalt"), "No shipped router or router folder named 'defalt'"),
        (("--router", "ROUTER", "--strong-fraction", "50"), "For 50 % write 0.5."),
    ],
)
def test_a_mistake_ends_with_exit_code_2(run: Run, router: Path, arguments: tuple[str, ...], message: str) -> None:
    code, out, err = run("demo", *(router if argument == "ROUTER" else argument for argument in arguments))
    assert (code, out) == (2, "")
    assert message in err
