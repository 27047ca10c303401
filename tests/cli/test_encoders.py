import json

import pytest

from turnout.cli import main
from turnout.encoders.minilm_files import MINILM
from turnout.model_files import ModelFiles


@pytest.fixture(autouse=True)
def home(monkeypatch, tmp_path):
    monkeypatch.setenv("TURNOUT_HOME", str(tmp_path))


def run(capsys, *arguments):
    code = 0
    try:
        main(arguments)
    except SystemExit as exit:
        code = exit.code
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def test_list_names_every_encoder_and_what_it_needs(capsys):
    code, out, _ = run(capsys, "encoders", "list")
    assert code == 0
    lines = {line.split()[0]: line for line in out.splitlines()[1:]}
    assert {"hashing", "minilm", "openai", "static"} <= set(lines)
    assert lines["static"].split()[2] == "ready"
    assert "pull minilm" in lines["minilm"] or "turnout[minilm]" in lines["minilm"]


def test_list_as_json(capsys):
    _, out, _ = run(capsys, "encoders", "list", "--json")
    states = {state["name"]: state for state in json.loads(out)}
    assert states["hashing"]["ready"]
    assert states["hashing"]["dim"] == 256
    assert states["minilm"]["ready"] is False


def test_pull_prints_where_the_weights_are(capsys, monkeypatch):
    monkeypatch.setattr(ModelFiles, "pull", lambda self, progress: "a hub")
    code, out, _ = run(capsys, "encoders", "pull", "minilm")
    assert (code, out) == (0, f"minilm: {MINILM.folder} (from a hub)\n")
    _, out, _ = run(capsys, "encoders", "pull", "minilm", "--json")
    assert json.loads(out) == {"name": "minilm", "folder": str(MINILM.folder), "source": "a hub"}


def test_pull_of_another_name_is_a_mistake_with_a_hint(capsys):
    code, _, err = run(capsys, "encoders", "pull", "minilmm")
    assert code == 2
    assert "Did you mean 'minilm'?" in err
