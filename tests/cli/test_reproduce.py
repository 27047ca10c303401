import json
from pathlib import Path

import pytest
from made_up_data import make_data

SMALL = ["--golden-labels", "60", "--seeds", "1", "--replicates", "10", "--encoder", "hashing"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(autouse=True)
def _nothing_pulled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TURNOUT_HOME", str(tmp_path / "home"))


def test_a_report_from_one_command(run, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "report"
    arguments = ["--data", data, "--out", out, "--routers", "knn,random", *SMALL]
    code, said, told = run("reproduce", *arguments, "--set", "knn.k=20", "--machine-usd-per-hour", "1.5")
    assert code == 0
    assert "report.md, report.json" in said
    assert "00:00  reading the benchmarks …" in told
    report = json.loads((out / "report.json").read_text())
    assert report["command"] == (
        "turnout reproduce --data DIR --out FOLDER --routers knn,random --set knn.k=20 --encoder hashing "
        "--golden-labels 60 --seeds 1 --replicates 10 --machine-usd-per-hour 1.5"
    )
    knn = next(row for row in report["tables"][0]["rows"] if row["router"] == "knn")
    assert knn["settings"] == {"k": 20}
    assert any("1.5 an hour (as given)" in note for note in report["tables"][6]["notes"])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--routers", "knnn"], "Did you mean 'knn'"),
        (["--routers", "random"], "names no router that learns"),
        (["--set", "knn"], "ROUTER.KEY=VALUE"),
        (["--set", "bert.n_steps=5"], "No router in --routers named 'bert'"),
        (["--set", "knn.kk=5"], "Did you mean 'k'"),
        (["--machine-usd-per-hour", "0"], "must be above 0"),
        (["--pulled", "nowhere"], "There is no folder nowhere"),
    ],
)
def test_mistakes_get_one_clear_line(run, data: Path, tmp_path: Path, arguments: list[str], said: str) -> None:
    code, _, err = run("reproduce", "--data", data, "--out", tmp_path / "out", *SMALL, *arguments)
    assert code == 2
    assert said in err
    assert "Traceback" not in err


def test_a_folder_that_is_not_there_is_named(run, tmp_path: Path) -> None:
    code, _, err = run("reproduce", "--data", tmp_path / "none", "--out", tmp_path / "out")
    assert code == 2
    assert "There is no folder" in err
