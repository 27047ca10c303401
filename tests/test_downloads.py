"""Fetching from a hub on loopback that redirects, serves ranges, and does everything that a hub should not."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_server import COMMIT, TOKEN, Blob, HubServer, cut_after, ignoring_range, sha256, status, without_end

from turnout import downloads
from turnout.downloads import Expected, fetch, user_folder
from turnout.errors import ArtifactError, ConfigError, UpstreamUnreachableError
from turnout.file_lock import lock_file

CONTENT = bytes(range(256)) * 40
PATH = "/datasets/someone/votes/resolve/main/votes.csv"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    with HubServer({PATH: Blob(CONTENT)}) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        yield server


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that were waited, without waiting."""
    waited: list[float] = []
    monkeypatch.setattr(downloads.time, "sleep", waited.append)
    return waited


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "data" / "votes.csv"


def get(hub: HubServer, target: Path, expected: Expected | None = None, path: str = PATH) -> downloads.Fetched:
    return fetch(hub.url + path, target, expected or Expected())


def leftovers(target: Path) -> list[str]:
    return sorted(path.name for path in target.parent.iterdir()) if target.parent.is_dir() else []


def test_a_large_file_comes_over_a_redirect_and_is_checked_against_the_hubs_hash(hub, target):
    arrived = []
    fetched = fetch(hub.url + PATH, target, Expected(), progress=arrived.append)
    assert target.read_bytes() == CONTENT
    assert fetched == downloads.Fetched(sha256(CONTENT), len(CONTENT), "hub's hash", COMMIT)
    assert sum(arrived) == len(CONTENT)
    assert leftovers(target) == ["votes.csv"]


def test_a_small_file_is_checked_against_its_git_hash(hub, target):
    hub.files[PATH] = Blob(CONTENT, lfs=False)
    assert get(hub, target).vouched_by == "hub's hash"
    hub.files[PATH] = Blob(CONTENT, lfs=False, claimed_hash="0" * 40)
    with pytest.raises(ArtifactError, match=r"the git hash is \w+, expected 0000"):
        get(hub, target)


def test_a_pinned_hash_counts_for_more_than_what_the_hub_says(hub, target):
    hub.files[PATH] = Blob(CONTENT, claimed_hash="0" * 64)
    assert get(hub, target, Expected(sha256=sha256(CONTENT))).vouched_by == "pinned hash"


@pytest.mark.parametrize("claimed", ["0" * 64, None])
def test_other_bytes_than_expected_are_not_kept(hub, target, claimed):
    hub.files[PATH] = Blob(CONTENT, claimed_hash=claimed)
    expected = Expected() if claimed else Expected(sha256="1" * 64)
    with pytest.raises(ArtifactError, match=r"votes\.csv: sha256 is \w+, expected [01]{64}"):
        get(hub, target, expected)
    assert leftovers(target) == []


def test_an_etag_of_another_server_is_no_hash(hub, target):
    hub.hub_faults = [ignoring_range]  # a plain 200, with an ETag but without the hub's headers
    hub.etag = f'"{"0" * 64}"'
    fetched = get(hub, target)
    assert (fetched.vouched_by, fetched.revision) == ("nobody", None)


def test_a_cut_connection_is_taken_up_where_it_was_cut(hub, target):
    hub.store_faults = [cut_after(4000), cut_after(1000)]
    get(hub, target)
    assert target.read_bytes() == CONTENT
    assert hub.ranges() == [None, "bytes=4000-", "bytes=5000-"]


def test_the_next_run_goes_on_with_what_an_earlier_one_left(hub, target):
    hub.store_faults = [cut_after(4000)] + [cut_after(0)] * 6
    with pytest.raises(UpstreamUnreachableError, match="the connection was cut"):
        get(hub, target)
    assert "votes.csv.part" in leftovers(target)
    hub.requests.clear()
    arrived = []
    fetch(hub.url + PATH, target, Expected(), progress=arrived.append)
    assert target.read_bytes() == CONTENT
    assert hub.ranges() == ["bytes=4000-"]
    assert arrived[0] == 4000
    assert sum(arrived) == len(CONTENT)
    assert leftovers(target) == ["votes.csv"]


def test_a_server_that_ignores_ranges_gives_it_all_again(hub, target):
    hub.store_faults = [cut_after(4000), ignoring_range]
    arrived = []
    fetch(hub.url + PATH, target, Expected(), progress=arrived.append)
    assert target.read_bytes() == CONTENT
    assert sum(arrived) == len(CONTENT)


def test_a_file_that_changed_meanwhile_is_begun_anew(hub, target):
    hub.store_faults = [cut_after(4000)] + [cut_after(0)] * 6
    with pytest.raises(UpstreamUnreachableError):
        get(hub, target)
    new = CONTENT[::-1]
    hub.files[PATH], hub.etag = Blob(new), '"v2"'
    get(hub, target)
    assert target.read_bytes() == new


def test_a_part_that_nothing_can_vouch_for_is_not_gone_on_with(hub, target):
    target.parent.mkdir(parents=True)
    target.with_name("votes.csv.part").write_bytes(b"of something else")
    get(hub, target)
    assert target.read_bytes() == CONTENT
    assert hub.ranges() == [None]


def test_a_part_that_is_all_of_it_needs_no_more_bytes(hub, target):
    target.parent.mkdir(parents=True)
    target.with_name("votes.csv.part").write_bytes(CONTENT)
    get(hub, target, Expected(sha256=sha256(CONTENT)))
    assert target.read_bytes() == CONTENT
    assert hub.ranges() == [f"bytes={len(CONTENT)}-"]


def test_a_part_longer_than_the_file_is_thrown_away(hub, target):
    target.parent.mkdir(parents=True)
    target.with_name("votes.csv.part").write_bytes(CONTENT + b"more")
    get(hub, target, Expected(sha256=sha256(CONTENT)))
    assert target.read_bytes() == CONTENT


def test_too_many_requests_waits_as_long_as_it_is_told(hub, target, waits):
    hub.hub_faults = [status(429, Retry_After="7")]
    get(hub, target)
    assert len(waits) == 1
    assert 7 <= waits[0] <= 7.7


def test_a_wait_of_hours_is_not_waited_for(hub, target, waits):
    hub.hub_faults = [status(429, Retry_After="7200")]
    with pytest.raises(UpstreamUnreachableError, match=r"votes\.csv: HTTP status 429\."):
        get(hub, target)
    assert waits == []


def test_an_error_of_the_server_is_tried_again_a_few_times(hub, target, waits):
    hub.hub_faults = [status(503)] * 5
    get(hub, target)
    assert len(waits) == 5
    hub.hub_faults = [status(503)] * 6
    with pytest.raises(UpstreamUnreachableError, match="HTTP status 503"):
        get(hub, target)


def test_without_a_token_a_gated_file_says_what_to_do(hub, target):
    hub.files[PATH] = Blob(CONTENT, gated=True)
    with pytest.raises(UpstreamUnreachableError, match=r"401\. It is not open to all: accept .*/votes, .* HF_TOKEN"):
        get(hub, target)


def test_a_token_that_does_not_open_it_is_not_shown(hub, target, monkeypatch):
    hub.files[PATH] = Blob(CONTENT, gated=True)
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with pytest.raises(UpstreamUnreachableError, match="403. The token in HF_TOKEN does not open it") as raised:
        get(hub, target)
    assert "hf_wrong" not in str(raised.value)


def test_the_token_goes_to_the_hub_and_to_no_other_host(hub, target, monkeypatch):
    hub.files[PATH] = Blob(CONTENT, gated=True)
    hub.moved = {"/datasets/old/name/resolve/main/votes.csv": PATH}
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    get(hub, target, path="/datasets/old/name/resolve/main/votes.csv")
    assert target.read_bytes() == CONTENT
    assert [(host, headers.get("authorization")) for host, _, headers in hub.requests] == [
        ("hub", f"Bearer {TOKEN}"),
        ("hub", f"Bearer {TOKEN}"),
        ("store", None),
    ]
    hub.requests.clear()
    monkeypatch.setenv("HF_ENDPOINT", "https://hub.example")
    with pytest.raises(UpstreamUnreachableError, match="401"):
        get(hub, target)
    assert "authorization" not in hub.requests[0][2]


def test_a_missing_file_says_so(hub, target):
    with pytest.raises(UpstreamUnreachableError, match="404. There is no such file at this revision"):
        get(hub, target, path="/datasets/someone/votes/resolve/main/no.csv")
    assert leftovers(target) == []


def test_a_redirect_without_end_is_left(hub, target):
    hub.moved = {PATH: PATH}
    with pytest.raises(UpstreamUnreachableError, match="HTTP status 307"):
        get(hub, target)
    assert len(hub.requests) <= 12


def test_a_file_without_end_is_left_once_it_is_too_long(hub, target):
    hub.store_faults = [without_end]
    with pytest.raises(ArtifactError, match="expected at most 20,000. Nothing was kept"):
        get(hub, target, Expected(max_bytes=20_000))
    assert leftovers(target) == []


def test_a_download_has_a_time_limit(hub, target, monkeypatch):
    monkeypatch.setattr(downloads, "_WHOLE_S", -1.0)
    with pytest.raises(UpstreamUnreachableError, match="not all here after"):
        get(hub, target)


def test_nobody_there_is_said_at_once(target, waits):
    with pytest.raises(UpstreamUnreachableError, match=r"127\.0\.0\.1:9/x: .*refused"):
        fetch("http://127.0.0.1:9/x", target, Expected())
    assert waits == []


def test_two_runs_do_not_write_to_one_part(hub, target):
    target.parent.mkdir(parents=True)
    with target.with_name("votes.csv.part").open("ab") as other:
        assert lock_file(other)
        with pytest.raises(ConfigError, match="another run is fetching this file"):
            get(hub, target)


def test_a_second_run_does_not_throw_away_what_the_first_has(hub, target):
    hub.etag = ""  # so that nothing could tell that the part is worth going on with
    refused = []

    def second_run(arrived: int) -> None:
        if arrived > 0 and not refused:
            with pytest.raises(ConfigError, match="another run is fetching this file") as caught:
                get(hub, target)
            refused.append(caught.value)

    fetch(hub.url + PATH, target, Expected(), progress=second_run)
    assert refused
    assert target.read_bytes() == CONTENT
    assert leftovers(target) == ["votes.csv"]


def test_a_second_run_adds_nothing_while_the_first_checks_what_has_arrived(hub, target, monkeypatch):
    real, refused = downloads.sha256_of, []

    def second_run(path):
        found = real(path)
        if not refused:
            with pytest.raises(ConfigError, match="another run is fetching this file") as caught:
                get(hub, target)
            refused.append(caught.value)
        return found

    monkeypatch.setattr(downloads, "sha256_of", second_run)
    get(hub, target)
    assert refused
    assert target.read_bytes() == CONTENT
    assert leftovers(target) == ["votes.csv"]


def test_a_part_that_its_run_has_just_renamed_is_not_written_to(hub, target, monkeypatch):
    target.parent.mkdir(parents=True)

    def lock_too_late(file):
        target.with_name("votes.csv.part").replace(target)
        return lock_file(file)

    target.with_name("votes.csv.part").write_bytes(CONTENT)
    monkeypatch.setattr(downloads, "lock_file", lock_too_late)
    with pytest.raises(ConfigError, match="another run is fetching this file"):
        get(hub, target)
    assert target.read_bytes() == CONTENT


def test_a_folder_that_cannot_be_written_names_the_variable(hub, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"votes\.csv cannot be written .*TURNOUT_HOME"):
        get(hub, tmp_path / "file" / "votes.csv")


def test_the_folder_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("TURNOUT_HOME", str(tmp_path))
    assert user_folder() == tmp_path
    monkeypatch.delenv("TURNOUT_HOME")
    monkeypatch.setattr(downloads.sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert user_folder() == tmp_path / "cache" / "turnout"
