import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
import pytest

from turnout import registry
from turnout.cli.main import main
from turnout.data.battles import Battles
from turnout.data.outcomes import Outcomes
from turnout.errors import UnknownNameError
from turnout.routers.base import Router, check_trainable
from turnout.routers.baselines import RandomRouter
from turnout.types import Encoder, FloatArray, ModelPair

needs_data = pytest.mark.skipif("TURNOUT_DATA" not in os.environ, reason="TURNOUT_DATA does not name the data")
FEW = ["--replicates", "20"]


class Nearest(Router):
    """The share of the most similar query that it was trained on."""

    name = "nearest"

    def __init__(self, encoder: Encoder, *, sharpness: float = 1.0) -> None:
        self.encoder = encoder
        self.sharpness = sharpness

    def fit(self, battles: Battles) -> Self:
        self.pair_ = check_trainable(battles)
        self.vectors_ = self.encoder.encode(battles.queries)
        self.shares_ = battles.strong_share()
        return self

    def predict_win_rate(self, queries: Sequence[str]) -> FloatArray:
        nearest = (self.encoder.encode(queries) @ self.vectors_.T).argmax(axis=1)
        rates: FloatArray = self.shares_[nearest] ** self.sharpness
        return rates


@pytest.fixture
def outcomes(tmp_path: Path) -> Path:
    hard = [row % 3 == 0 for row in range(120)]
    Outcomes.from_columns(
        [f"{'hard' if is_hard else 'easy'} question number {row}" for row, is_hard in enumerate(hard)],
        {"big": [1.0] * 120, "small": [float(not is_hard) for is_hard in hard]},
    ).write_jsonl(tmp_path / "mine.jsonl")
    return tmp_path / "mine.jsonl"


@pytest.fixture
def nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    load, names = registry.load, registry.names
    monkeypatch.setattr(registry, "load", lambda kind, name: Nearest if name == "nearest" else load(kind, name))
    monkeypatch.setattr(registry, "names", lambda kind: [*names(kind), "nearest"] if kind == "router" else names(kind))


def run(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[str, str]:
    with pytest.raises(SystemExit) as stop:
        main(["evaluate", *arguments])
    out, err = capsys.readouterr()
    assert stop.value.code == 0, err
    return out, err


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as stop:
        main(["evaluate", *arguments])
    assert stop.value.code == 2
    return capsys.readouterr().err


def test_baselines_on_outcomes_of_ones_own(outcomes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, err = run(
        ["random", "always-strong", "--outcomes", str(outcomes), "--pair", "big,small", *FEW],
        capsys,
    )
    assert out.splitlines()[0].startswith("mine.jsonl: 120 queries. Strong: big (100.0 %). Weak: small (66.7 %).")
    assert "always-strong gives every query the same win rate" in out
    assert "US dollars" not in out  # nobody knows what big and small cost
    assert "measuring" in err


def test_json_and_files(outcomes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    words = ["random", "--outcomes", str(outcomes), "--pair", "big,small", *FEW, "--json"]
    words += ["--out", str(tmp_path / "out"), "--plot", str(tmp_path / "curves.png")]
    printed = json.loads(run(words, capsys)[0])
    assert printed == json.loads((tmp_path / "out" / "results.json").read_text())
    assert printed["evaluations"][0]["pair"] == {"strong": "big", "weak": "small"}
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.usefixtures("nearest")
def test_a_router_is_trained_on_golden_labels(
    outcomes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    battles = Battles.from_columns(["hard question number 0", "something else"], "big", "small", [1.0, 0.5])
    battles.write_jsonl(tmp_path / "battles.jsonl")
    words = ["nearest", "random", "--outcomes", str(outcomes), "--pair", "big,small", *FEW, "--json"]
    words += ["--golden-labels", "40", "--seeds", "3", "--encoder", "hashing", "--set", "sharpness=2"]
    words += ["--battles", str(tmp_path / "battles.jsonl")]
    out, err = run(words, capsys)
    report = json.loads(out)
    assert "1 battles left out: mine.jsonl asks the same queries." in err
    assert report["protocol"]["golden_labels"] == 40
    assert report["protocol"]["battles"]["sha256"]
    assert report["routers"]["nearest"]["settings"] == {"sharpness": 2}
    nearest, random = report["evaluations"][0]["results"]
    assert len(nearest["apgr"]["by_seed"]) == len(random["apgr"]["by_seed"]) == 3
    assert nearest["n_queries"] == random["n_queries"] == 80
    assert nearest["apgr"]["low"] > 0.6  # 'hard' and 'easy' are easily told apart


def test_a_router_that_knows_another_pair_says_so(
    outcomes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    battles = Battles.from_columns(["q"], "large", "little", [1.0])
    RandomRouter().fit(battles.with_pair(ModelPair("large", "little"))).save(tmp_path / "router")
    words = [str(tmp_path / "router"), "--outcomes", str(outcomes), "--pair", "big,small", *FEW]
    assert "does not know both models: its win rates are about its own pair, large,little" in run(words, capsys)[1]


@pytest.mark.usefixtures("nearest")
@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["nearest", "--golden-labels", "120"], "from 1 to 119 of the 120 distinct queries, got 120"),
        (["nearest", "--golden-labels", "10", "--seeds", "0"], "Invalid value for '--seeds'"),
        (["nearest", "--golden-labels", "10", "--set", "sharpnes=1"], "Did you mean 'sharpness'"),
        (["nearest", "--golden-labels", "10", "--set", "sharpness"], "A setting is written KEY=VALUE, got 'sharpness'"),
        (["nearest", "--golden-labels", "10", "--encoder", "hashin"], "Did you mean 'hashing'"),
        (["nearest"], "'nearest' has to be trained first"),
        (["random", "--set", "a=1"], "give --golden-labels or --battles too"),
        (["nearest", "--golden-labels", "some"], "a whole number or BENCHMARK=NUMBER, got 'some'"),
        (["nearest", "--golden-labels", "mmlu=5"], "No benchmark in this run named 'mmlu'"),
        (["random", "--against", "random"], "--against names one of the routers that --compare compares"),
        (["random", "--against", "mf", "--compare"], "--against names one of the routers that --compare compares"),
        (["nearst"], "No router folder, shipped router or baseline named 'nearst'"),
        (["random", "--replicates", "0"], "Invalid value for '--replicates'"),
        (["random", "--plot", "curves.gif"], "must end in png, pdf, svg"),
        (["random", "--benchmark", "mmlu"], "got both"),
    ],
)
def test_mistakes_are_one_clear_line(
    words: list[str], problem: str, outcomes: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert problem in refused([*words, "--outcomes", str(outcomes), "--pair", "big,small"], capsys)


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--benchmark", "mmlu", "--data", ".", "--by-source"], "--by-source cuts a file of --outcomes"),
        (["--benchmark", "mmul", "--data", "."], "No benchmark named 'mmul'. Did you mean 'mmlu'?"),
        (["--benchmark", "mmlu"], "--benchmark needs --data DIR"),
        (["--benchmark", "mmlu", "--data", "nowhere"], "nowhere: there is no such folder"),
        (["--benchmark", "mmlu", "--data", "."], "holds no folder mmlu/"),
        ([], "got neither"),
        (["--outcomes", "nowhere.jsonl"], "--outcomes needs --pair"),
        (["--outcomes", "nowhere.jsonl", "--pair", "big,small"], "nowhere.jsonl: cannot be read"),
    ],
)
def test_what_to_measure_on_must_be_said(
    words: list[str],
    problem: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert problem in refused(["random", *words], capsys)


def test_battles_of_another_pair_are_answered_with_what_to_type(
    outcomes: Path, nearest: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    queries = [f"another question {row}" for row in range(20)]
    other = Battles.from_columns(queries, "large", "little", [1.0, 0.0] * 10)
    ours = Battles.from_columns(["one more question"], "small", "big", [0.0])
    words = [
        "nearest",
        "--outcomes",
        str(outcomes),
        "--pair",
        "big,small",
        "--battles",
        str(tmp_path / "b.jsonl"),
        *FEW,
    ]
    other.write_jsonl(tmp_path / "b.jsonl")
    for more in ([], ["--golden-labels", "10"]):
        error = refused([*words, *more], capsys)
        assert "'nearest' can learn nothing about big and small" in error
        assert "between large, little" in error
        assert "--pair STRONG,WEAK" in error
        assert "turnout data tiers" in error
    Battles.concat([other, ours]).write_jsonl(tmp_path / "b.jsonl")
    assert "20 battles left out, except for routers that learn about many models" in run(words, capsys)[1]
    (tmp_path / "b.jsonl").write_text("")
    assert "There is no battle to learn from: the data set is empty" in refused(words, capsys)


@pytest.mark.parametrize(("option", "name"), [("--out", "results.json"), ("--plot", "curves.png")])
def test_what_cannot_be_written_is_told_before_anything_is_measured(
    option: str, name: str, outcomes: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    place = outcomes if option == "--out" else outcomes / name
    error = refused(["random", "--outcomes", str(outcomes), "--pair", "big,small", option, str(place)], capsys)
    assert f"{name} cannot be written" in error
    assert "measuring" not in error


def test_a_swapped_pair_is_told_both_means(outcomes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    error = refused(["random", "--outcomes", str(outcomes), "--pair", "small,big"], capsys)
    assert "on mine.jsonl: 0.6667 against 1" in error
    assert "Are the two models swapped?" in error
    assert "measuring" not in error


def test_an_empty_file_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty.jsonl").write_text("")
    refused(["random", "--outcomes", str(tmp_path / "empty.jsonl"), "--pair", "big,small"], capsys)


@needs_data
@pytest.mark.slow
def test_mmlu_with_intervals_takes_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    started = time.process_time()
    out, _ = run(["random", "--benchmark", "mmlu", "--data", os.environ["TURNOUT_DATA"]], capsys)
    assert time.process_time() - started < 10
    assert "MMLU: 14,037 questions" in out
    assert "1.285" in out


def test_an_unknown_router_class_stays_an_error() -> None:
    with pytest.raises(UnknownNameError):
        registry.load("router", "nearest")


def test_routing_more_gives_no_less_here(outcomes: Path) -> None:
    # Strong is right everywhere in this file: a law that the fixture must keep for the tests above to mean anything.
    table = Outcomes.read_jsonl(outcomes)
    assert np.all(table.scores[:, 0] >= table.scores[:, 1])


def test_a_leaderboard(outcomes: Path, nearest: None, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--outcomes", str(outcomes), "--pair", "big,small", *FEW, "--compare"]
    trained = ["--golden-labels", "30", "--seeds", "2", "--encoder", "hashing"]
    out, _ = run(["nearest", "random", *words, *trained], capsys)
    header, _, first, second, luck = out.splitlines()[:5]
    assert header.startswith(
        "| router | mean APGR [95 %] | SD over seeds | minus nearest [95 %] | mine.jsonl | train, s"
    )
    assert first.startswith("| nearest |")
    assert second.startswith("| random |")
    assert luck.startswith("| one random router")
    assert "### mine.jsonl: 90 of 120 queries for each of 2 seeds." in out
    out, _ = run(["random", *words, "--json"], capsys)
    assert json.loads(out)["leaderboard"][0]["footprint"]["train_s"] is None


@pytest.mark.usefixtures("nearest")
def test_several_numbers_of_labels_are_tables_of_one_leaderboard(
    outcomes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["nearest@hashing", "length", "--outcomes", str(outcomes), "--pair", "big,small", *FEW, "--seeds", "2"]
    words += ["--golden-labels", "20", "--golden-labels", "60", "--compare", "--against", "length", "--json"]
    words += ["--vectors", str(tmp_path / "vectors.sqlite")]
    report = json.loads(run(words, capsys)[0])
    titles = ["mine.jsonl, 20 labels", "mine.jsonl, 60 labels"]
    assert [one["title"] for one in report["evaluations"]] == titles
    assert [one["results"][0]["n_queries"] for one in report["evaluations"]] == [100, 60]
    assert report["protocol"]["golden_labels"] == dict(zip(titles, [20, 60], strict=True))
    assert {entry["against"]["router"] for entry in report["leaderboard"]} == {"length"}
    assert (tmp_path / "vectors.sqlite").stat().st_size > 0
    again = json.loads(run(words, capsys)[0])
    assert again["evaluations"] == report["evaluations"]


@pytest.mark.usefixtures("nearest")
def test_each_source_is_tested_by_routers_that_learned_from_the_others(
    outcomes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = Outcomes.read_jsonl(outcomes)
    two = [name for name in ("even", "odd") for _ in range(60)]
    rows = [*range(0, 120, 2), *range(1, 120, 2)]
    Outcomes.from_columns(
        [table.queries[row] for row in rows],
        {model: table.scores[rows, column] for column, model in enumerate(table.models)},
        source=two,
    ).write_jsonl(tmp_path / "two.jsonl")
    whole = Outcomes.read_jsonl(tmp_path / "two.jsonl").battles(ModelPair("big", "small"))
    Battles.concat(
        [whole, Battles.from_columns(["hard nut", "easy task"], "big", "small", [1.0, 0.5], source="third")]
    ).write_jsonl(tmp_path / "battles.jsonl")
    words = ["nearest", "--outcomes", str(tmp_path / "two.jsonl"), "--pair", "big,small", "--by-source", *FEW]
    words += ["--battles", str(tmp_path / "battles.jsonl"), "--encoder", "hashing", "--json"]
    out, err = run(words, capsys)
    report = json.loads(out)
    assert [(one["benchmark"], one["n_queries"]) for one in report["evaluations"]] == [("even", 60), ("odd", 60)]
    assert "60 battles left out: even asks the same queries." in err
    assert "60 battles left out: odd asks the same queries." in err
    assert "seeds" not in report["protocol"]
    assert report["protocol"]["battles"]["sha256"]
