"""The whole report on a made-up folder; and, where the real data is, on that."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_up_data import LLAMA, QUICK, question, write_lines

from turnout.data.contamination import nearest_cosine
from turnout.encoders.hashing import HashingEncoder
from turnout.encoders.static import StaticEncoder
from turnout.errors import DataError, InvalidValueError
from turnout.evaluation.metrics import apgr
from turnout.reproduce import sources
from turnout.reproduce.paper import ARENA, ARENA_GOLD, ARENA_JUDGE, RANDOM, rows_of
from turnout.reproduce.plan import Plan
from turnout.reproduce.report import markdown
from turnout.reproduce.run import Reproduction, reproduce
from turnout.reproduce.sources import Candidate, DataFile
from turnout.reproduce.table import Row, Table

needs_data = pytest.mark.skipif("TURNOUT_DATA" not in os.environ, reason="TURNOUT_DATA does not name the data")


def table(done: Reproduction, number: int) -> Table:
    return next(one for one in done.tables if one.number == number)


def row(one: Table, *labels: str) -> Row:
    return next(row for row in one.rows if set(labels) <= set(row.labels))


def test_there_are_seven_tables_with_every_line_of_the_paper(done: Reproduction) -> None:
    assert [one.number for one in done.tables] == [1, 2, 3, 4, 5, 6, 7]
    for number in (1, 2, 3, 4):
        shown = {(f["apgr"].paper, f["cpt_50"].paper) for f in (row.figures for row in table(done, number).rows)}
        assert {(paper.apgr, paper.cpt50) for paper in rows_of(number)} <= shown
    for one in done.tables:
        assert all(row.difference.endswith(".") for row in one.rows)


def test_a_router_that_learned_hard_from_easy_beats_random_beside_the_papers(done: Reproduction) -> None:
    figure = row(table(done, 3), ARENA_JUDGE, "knn").figures["apgr"]
    assert figure.ours is not None
    assert figure.low is not None
    assert figure.low > 0.5
    assert figure.low <= figure.ours <= figure.high
    beside = row(table(done, 3), ARENA_JUDGE, "mf (paper preset)", "MF")
    assert beside.figures["apgr"].paper == 0.565


def test_figures_are_those_of_the_evaluation(done: Reproduction) -> None:
    evaluation = done.pictures["gsm8k"]
    found = row(table(done, 3), ARENA_JUDGE, "knn").figures["cpt_50"].ours
    assert found == next(one for one in evaluation.results if one.router == "knn").cpt[0.5].value


def test_random_is_a_half_and_lines_that_were_not_run_say_so(done: Reproduction) -> None:
    assert row(table(done, 1), RANDOM).figures["apgr"].ours == 0.5
    for name in ("BERT", "Causal LLM", "SW"):
        missing = row(table(done, 1), ARENA, name)
        assert missing.figures["apgr"].ours is None
        assert "--routers" in missing.difference


def test_golden_labels_are_tested_on_other_questions(done: Reproduction) -> None:
    shown = row(table(done, 2), ARENA_GOLD, "knn")
    assert len(shown.facts["apgr_by_seed"]) == 2
    assert shown.facts["n_queries"] <= 240 - 60
    assert shown.facts["n_queries"] == row(table(done, 2), ARENA, "knn").facts["n_queries"]


def test_the_papers_own_golden_labels_train_once_and_all_questions_test(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = Candidate("own labels", (DataFile("mmlu-battles/*.jsonl.gz", "battles"),), True, "They are the paper's.")
    monkeypatch.setattr(sources, "CANDIDATES", {**sources.CANDIDATES, sources.D_GOLD: (own,)})
    questions = [question("validation", row) for row in range(90)]
    models = {"model_a": sources.PAPERS_PAIR.strong, "model_b": sources.PAPERS_PAIR.weak}
    write_lines(
        tmp_path / "mmlu-battles" / "own.jsonl.gz",
        [{"query": text, "winner": "a" if "prove" in text else "tie", **models} for text in questions],
    )
    settings = {**QUICK, "routers": ("knn",)}
    found = reproduce(Plan(data, tmp_path / "out", pulled_dir=tmp_path, **settings), HashingEncoder())
    shown = row(table(found, 2), ARENA_GOLD, "knn")
    assert shown.facts["n_queries"] == 240
    assert shown.figures["apgr"].low > 0.5
    assert len(found.sets.lifted[ARENA_GOLD]) > len(found.sets.lifted[ARENA])
    assert found.golden == ""
    (account,) = [one for one in found.sets.account() if one["data_set"] == "D_gold"]
    assert account["papers_own"]


def test_transfer_names_the_stand_ins_and_what_is_absent(done: Reproduction) -> None:
    transfer = table(done, 4)
    llama = row(transfer, "Llama 3.1 70B / 8B", "mf", "MF")
    assert "CRUX" in llama.labels[1]
    assert llama.figures["apgr"].paper == 0.738
    assert row(transfer, "Claude 3 Opus / Sonnet", "MF").figures["apgr"].ours is None
    assert any("MMLU-Pro" in note and "not measured" in note for note in transfer.notes)


def test_a_router_that_knows_models_is_asked_about_a_pair_by_name(done: Reproduction) -> None:
    named = [row for row in table(done, 4).rows if row.labels[2].endswith("by name")]
    assert {row.labels[2] for row in named} == {"mf, by name", "mf (paper preset), by name"}
    assert all("gpt-3.5-turbo-1106" in row.labels[1] for row in named)
    assert all(row.figures["apgr"].ours is not None for row in named)


def test_similarity_is_the_mean_of_the_highest_cosines(done: Reproduction) -> None:
    tested = done.pictures["gsm8k"].table.outcomes.queries
    learned = done.sets.lifted[ARENA].queries
    similarity, _ = nearest_cosine(HashingEncoder(), tested, learned)
    assert row(table(done, 5), "GSM8K", ARENA).figures["similarity"].ours == pytest.approx(similarity.mean())


def test_savings_are_of_the_best_router_and_in_dollars(done: Reproduction) -> None:
    dollars = table(done, 6)
    best = row(dollars, "GSM8K", "50 % of the gap")
    assert best.figures["ratio"].ours is not None
    assert best.figures["ratio"].paper == 1.49
    assert best.figures["ratio"].low <= best.figures["ratio"].ours <= best.figures["ratio"].high
    router = best.labels[2].split(", ")[0]
    assert best.figures["ratio"].ours == pytest.approx(
        0.5 / row(table(done, 3), ARENA_JUDGE, router).figures["cpt_50"].ours
    )
    recorded = row(dollars, "MBPP (RouterBench)", "50 % of the gap")
    per_thousand = recorded.facts["usd_per_1000_queries"]
    assert per_thousand["always_strong"] == pytest.approx(10.0)
    saved = 1 - per_thousand["router"] / per_thousand["random_at_equal_quality"]
    assert recorded.figures["against_random"].ours == pytest.approx(saved)
    assert recorded.figures["against_random"].low <= saved <= recorded.figures["against_random"].high


def test_a_second_run_makes_nothing_anew_and_says_the_same(done: Reproduction) -> None:
    again = reproduce(done.plan, HashingEncoder())
    assert again.n_parts_reused > 0
    first, second = (json.dumps([table.to_json() for table in one.tables]) for one in (done, again))
    assert first == second


def test_a_run_that_was_killed_goes_on(data: Path, tmp_path: Path) -> None:
    class Killed(Exception):
        pass

    n_told = 0

    def kill(said: str) -> None:
        nonlocal n_told
        n_told += "learns from" in said
        if n_told == 3:
            raise Killed

    plan = Plan(data, tmp_path, **QUICK)
    with pytest.raises(Killed):
        reproduce(plan, HashingEncoder(), tell=kill)
    assert len(list((tmp_path / "parts").iterdir())) == 2
    assert reproduce(plan, HashingEncoder()).n_parts_reused == 2


def test_the_interval_is_another_with_another_seed_and_the_figure_is_not(done: Reproduction) -> None:
    other = reproduce(replace(done.plan, bootstrap_seed=1), HashingEncoder())
    ours, theirs = (row(table(one, 1), ARENA_JUDGE, "knn").figures["apgr"] for one in (done, other))
    assert ours.ours == theirs.ours
    assert (ours.low, ours.high) != (theirs.low, theirs.high)


def test_a_sample_measures_on_that_many_queries_and_trains_on_the_same(done: Reproduction) -> None:
    part = reproduce(replace(done.plan, n_sampled=50), HashingEncoder())
    assert {name: len(battles) for name, battles in part.sets.lifted.items()} == {
        name: len(battles) for name, battles in done.sets.lifted.items()
    }
    assert row(table(part, 2), ARENA_GOLD, "knn").facts["n_queries"] == 50
    assert row(table(part, 2), ARENA, "knn").facts["n_queries"] == 50
    assert row(table(part, 3), ARENA_JUDGE, "knn").facts["n_queries"] == 50
    assert "50 questions, a seeded sample of" in table(part, 3).data
    assert "seeded sample of that many" in "\n".join(markdown(part, [], "turnout reproduce"))


def test_pairs_without_a_gap_are_left_out_and_named(data: Path, tmp_path: Path) -> None:
    shutil.copytree(data, tmp_path / "data")
    strong, weak = LLAMA
    write_lines(
        tmp_path / "data" / "zeroeval" / "crux_math.jsonl.gz",
        [
            {"task": task, "id": f"{task}-{n}", "question": question(task, n), "correct": {strong: right, weak: 0.0}}
            for task, right in (("crux", 0.0), ("math-l5", 1.0))
            for n in range(20)
        ],
    )
    found = reproduce(Plan(tmp_path / "data", tmp_path / "out", **{**QUICK, "routers": ("knn",)}), HashingEncoder())
    transfer = table(found, 4)
    why = "was not measured: on the 20 queries asked the strong model is not better."
    assert f"CRUX (ZeroEval): {strong} / {weak} {why}" in transfer.notes
    assert "MATH" in row(transfer, "Llama 3.1 70B / 8B", "knn").labels[1]


def test_a_sample_with_nothing_to_measure_is_told_before_anything_is_trained(data: Path, tmp_path: Path) -> None:
    plan = Plan(data, tmp_path, **QUICK, n_sampled=1)
    with pytest.raises(InvalidValueError, match=r"In a sample of 1 rows of .* Take a larger --sample"):
        reproduce(plan, HashingEncoder())
    assert not list((tmp_path / "parts").glob("*"))


def test_a_price_of_nothing_is_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidValueError, match="must be above 0 US dollars"):
        reproduce(Plan(data, tmp_path, machine_usd_per_hour=0.0), HashingEncoder())


def test_a_folder_without_the_release_is_told_what_is_expected(data: Path, tmp_path: Path) -> None:
    shutil.copytree(data / "arena_human_2023", tmp_path / "arena_human_2023")
    with pytest.raises(DataError, match=r"routellm_release/mt_bench"):
        reproduce(Plan(tmp_path, tmp_path / "out", **QUICK), HashingEncoder())


@needs_data
def test_the_real_data_gives_tables_whose_figures_are_the_metrics(tmp_path: Path) -> None:
    plan = Plan(Path(os.environ["TURNOUT_DATA"]), tmp_path, routers=("knn",), n_seeds=1, n_replicates=20)
    found = reproduce(plan, StaticEncoder())
    evaluation = found.pictures["mt-bench"]
    assert len(evaluation.table) == 72
    shown = row(table(found, 1), ARENA_JUDGE, "knn").figures["apgr"]
    parts = [np.load(path, allow_pickle=False)["win_rates"] for path in (tmp_path / "parts").iterdir()]
    scores = evaluation.table.strong_scores, evaluation.table.weak_scores
    of_all = [rates[0][:72] for rates in parts if rates.ndim == 2]
    assert any(apgr(rates, *scores) == pytest.approx(shown.ours) for rates in of_all)
    assert {key for one in found.sets.account() for key in one["left_out_as_tested"]} >= {"same text"}
