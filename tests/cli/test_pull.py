import json

import pytest
from hub_server import Blob, HubServer, sha256

from turnout.cli import benchmark_data, pull
from turnout.data import remote_sets
from turnout.data.remote_sets import RemoteFile, RemoteSet, Repository

VOTES = b"votes" * 100
REVISION = "b" * 40
TINY = RemoteSet(
    name="tiny",
    what="a few votes",
    licence="CC0",
    repositories=(Repository("hub", "someone/tiny", (RemoteFile("votes.csv"),), REVISION),),
    n_bytes=len(VOTES),
    pinned_from="this test",
    rows=5,
    next_step="turnout data import arena-55k {folder}/votes.csv --out votes.jsonl",
)
BOUND = RemoteSet(
    **{**{field: getattr(TINY, field) for field in TINY.__slots__}, "name": "bound", "terms": "Ask first."}
)


@pytest.fixture
def hub(monkeypatch, tmp_path):
    monkeypatch.setenv("TURNOUT_HOME", str(tmp_path))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    catalogue = {"tiny": TINY, "bound": BOUND}
    monkeypatch.setattr(pull, "CATALOGUE", catalogue)
    monkeypatch.setattr(pull, "remote_set", catalogue.__getitem__)
    with HubServer({f"/datasets/someone/tiny/resolve/{REVISION}/votes.csv": Blob(VOTES)}) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        monkeypatch.setattr(remote_sets, "GITHUB", server.url)
        yield server


def test_a_pull_says_where_the_files_are_and_what_comes_next(run, hub, tmp_path):
    code, out, err = run("data", "pull", "tiny")
    assert code == 0
    assert out == f"tiny: {tmp_path / 'data' / 'tiny'}\n"
    assert "licence: CC0" in err
    assert f"next: turnout data import arena-55k {tmp_path / 'data' / 'tiny'}/votes.csv" in err
    assert sha256((tmp_path / "data" / "tiny" / "votes.csv").read_bytes()) == sha256(VOTES)


def test_the_list_shows_licence_size_rows_and_what_is_here(run, hub):
    run("data", "pull", "tiny")
    code, out, _ = run("data", "pull", "--list")
    assert code == 0
    assert "tiny [here]\n  a few votes\n  0 kB, 5 rows; licence: CC0; bbbbbbbbbbbb" in out
    assert "licence: CC0 (to accept first)" in out
    _, out, _ = run("data", "pull", "--list", "--json")
    listed = {entry["name"]: entry for entry in json.loads(out)}
    assert listed["tiny"]["pulled"]
    assert listed["bound"]["terms"] == "Ask first."
    assert not listed["bound"]["pulled"]


def test_terms_stop_a_pull_until_they_are_accepted(run, hub):
    code, _, err = run("data", "pull", "bound")
    assert code == 2
    assert "Ask first. To accept them: turnout data pull bound --accept-licence" in err
    code, _, _ = run("data", "pull", "bound", "--accept-licence")
    assert code == 0
    code, _, _ = run("data", "pull", "bound")  # they are not asked for again
    assert code == 0


def test_a_hub_that_is_out_of_reach_is_one_clear_line(run, hub, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    code, _, err = run("data", "pull", "tiny")
    assert code == 2
    assert "refused" in err.splitlines()[-1]


def test_no_name_is_answered_with_the_way_to_the_list(run, hub):
    code, _, err = run("data", "pull")
    assert code == 2
    assert "--list" in err


def test_a_benchmark_without_a_folder_takes_what_was_pulled(run, hub, monkeypatch, tmp_path):
    monkeypatch.setattr(benchmark_data, "OUTCOMES", TINY)
    code, _, err = run("evaluate", "random", "--benchmark", "mmlu")
    assert code == 2
    assert "needs --data DIR" in err
    assert "turnout data pull tiny" in err
    run("data", "pull", "tiny")
    code, _, err = run("evaluate", "random", "--benchmark", "mmlu")
    assert code == 2
    assert f"{tmp_path / 'data' / 'tiny'}: holds no folder mmlu/" in err
    assert benchmark_data.benchmark_folder(tmp_path) == tmp_path
