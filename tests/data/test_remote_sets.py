"""Data sets pulled from a hub on loopback: terms, what is pinned, and what the first pull writes down."""

import json
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hub_server import COMMIT, Blob, HubServer, cut_after, ignoring_range, sha256

from turnout.data import remote_sets
from turnout.data.remote_catalogue import CATALOGUE, remote_set
from turnout.data.remote_sets import LOCK, RemoteFile, RemoteSet, Repository, read_lock
from turnout.errors import ArtifactError, DataError, InvalidValueError, UnknownNameError, UpstreamUnreachableError

REVISION = "a" * 40
VOTES, QUESTIONS = b"votes," * 500, b'{"turns": ["q"]}\n'
VOTES_PATH = f"/datasets/someone/votes/resolve/{REVISION}/data/votes.csv"
QUESTIONS_PATH = f"/else/questions/{REVISION}/question.jsonl"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path) -> Iterator[HubServer]:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setenv("TURNOUT_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(remote_sets.fetch.__globals__["time"], "sleep", lambda _: None)
    with HubServer({VOTES_PATH: Blob(VOTES), QUESTIONS_PATH: Blob(QUESTIONS, lfs=False)}) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        monkeypatch.setattr(remote_sets, "GITHUB", server.url)
        yield server


VOTES_SET = RemoteSet(
    name="votes",
    what="votes of somebody",
    licence="MIT",
    repositories=(
        Repository("hub", "someone/votes", (RemoteFile("data/votes.csv"),), REVISION),
        Repository("github", "else/questions", (RemoteFile("question.jsonl", "bench/question.jsonl"),), REVISION),
    ),
    n_bytes=len(VOTES) + len(QUESTIONS),
    pinned_from="this test",
)


def test_all_files_of_all_repositories_come_into_one_folder(hub, tmp_path):
    arrived = []
    assert not VOTES_SET.is_pulled
    folder = VOTES_SET.pull(progress=arrived.append)
    assert folder == tmp_path / "home" / "data" / "votes"
    assert (folder / "votes.csv").read_bytes() == VOTES
    assert (folder / "bench" / "question.jsonl").read_bytes() == QUESTIONS
    assert sum(arrived) == VOTES_SET.n_bytes
    assert VOTES_SET.is_pulled


def test_a_second_pull_asks_nobody(hub):
    VOTES_SET.pull()
    hub.requests.clear()
    VOTES_SET.pull()
    assert hub.requests == []


def test_the_first_pull_writes_down_what_came(hub):
    folder = VOTES_SET.pull()
    lock = json.loads((folder / LOCK).read_text())
    assert lock["files"]["votes.csv"] == {"sha256": sha256(VOTES), "size": len(VOTES), "vouched_by": "hub's hash"}
    assert lock["revisions"] == {"someone/votes": REVISION, "else/questions": REVISION}


def test_later_pulls_hold_to_what_came_first(hub):
    hub.hub_faults = [ignoring_range]  # no hash from the hub: nobody vouches for the first copy
    folder = VOTES_SET.pull()
    assert read_lock(folder).files["votes.csv"].vouched_by == "nobody"
    (folder / "votes.csv").write_bytes(b"damaged")
    hub.files[VOTES_PATH] = Blob(b"others")
    with pytest.raises(ArtifactError, match=r"votes\.csv: sha256 is \w+, expected " + sha256(VOTES)):
        VOTES_SET.pull()
    hub.files[VOTES_PATH] = Blob(VOTES)
    VOTES_SET.pull()
    assert (folder / "votes.csv").read_bytes() == VOTES
    assert read_lock(folder).files["votes.csv"].vouched_by == "nobody"


def test_a_published_hash_counts_from_the_first_pull_on(hub):
    (part, other) = VOTES_SET.repositories
    pinned = replace(part, files=(RemoteFile("data/votes.csv", sha256="0" * 64),))
    with pytest.raises(ArtifactError, match="expected 0{64}"):
        replace(VOTES_SET, repositories=(pinned, other)).pull()
    assert not (VOTES_SET.folder / "votes.csv").exists()


def test_without_a_revision_the_commit_that_was_met_is_kept_to(hub):
    main = VOTES_PATH.replace(REVISION, "main")
    hub.files = {main: Blob(VOTES), VOTES_PATH.replace(REVISION, COMMIT).replace("votes.csv", "more.csv"): Blob(VOTES)}
    files = (RemoteFile("data/votes.csv"), RemoteFile("data/more.csv"))
    unpinned = replace(VOTES_SET, repositories=(Repository("hub", "someone/votes", files),))
    unpinned.pull()
    assert read_lock(unpinned.folder).revisions == {"someone/votes": COMMIT}


def test_a_cut_pull_keeps_the_files_that_are_whole(hub):
    hub.files[QUESTIONS_PATH] = Blob(QUESTIONS, lfs=True)
    hub.hub_faults = []
    hub.store_faults = [cut_after(10_000), *[cut_after(0)] * 6]
    with pytest.raises(UpstreamUnreachableError, match=r"question\.jsonl: the connection was cut"):
        VOTES_SET.pull()
    hub.store_faults.clear()
    hub.requests.clear()
    VOTES_SET.pull()
    assert all(path == QUESTIONS_PATH for _, path, _ in hub.requests)


def test_terms_are_shown_before_anything_is_fetched(hub):
    bound = replace(VOTES_SET, terms="Not for sale.")
    with pytest.raises(InvalidValueError, match=r"Not for sale\. To accept them: turnout data pull votes --accept-lic"):
        bound.pull()
    assert hub.requests == []
    bound.pull(accepted=True)
    assert bound.is_pulled


def test_a_damaged_lock_is_an_error_that_says_what_to_do(hub):
    VOTES_SET.pull()
    (VOTES_SET.folder / LOCK).write_text('{"files": {"votes.csv": {}}, "revisions": {}}')
    with pytest.raises(DataError, match=r"lock\.json: is damaged .* pull again"):
        VOTES_SET.pull()


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(UnknownNameError, match="Did you mean 'arena-55k'"):
        remote_set("arena55k")


@pytest.mark.parametrize("remote", CATALOGUE.values(), ids=list(CATALOGUE))
def test_the_catalogue_is_in_order(remote):
    files = [file for part in remote.repositories for file in part.files]
    assert len({file.local_name for file in files}) == len(files)
    assert all(part.revision is None or len(part.revision) == 40 for part in remote.repositories)
    assert all(file.sha256 is None or len(file.sha256) == 64 for file in files)
    assert all(not file.local_name.startswith("/") and ".." not in file.local_name for file in files)
    assert remote.terms or "not stated" not in remote.licence
    assert all(max(file.max_bytes for file in files) >= remote.n_bytes / len(files) for _ in files)


def test_the_released_outcomes_are_laid_out_as_the_importers_read_them():
    names = {file.local_name for part in CATALOGUE["routellm-outcomes"].repositories for file in part.files}
    assert len([name for name in names if name.startswith("mmlu/mmlu_")]) == 57
    assert {
        "mmlu/contaminated_prompts.jsonl",
        "gsm8k/gsm8k_responses.csv",
        "gsm8k/contaminated_prompts.jsonl",
        "mt_bench/question.jsonl",
        "mt_bench/judgements.jsonl",
        "mt_bench/contaminated_prompts.jsonl",
    } <= names
