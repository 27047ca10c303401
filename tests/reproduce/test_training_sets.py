from pathlib import Path

import pytest
from made_up_data import question, write_lines

from turnout.data.battles import Battles
from turnout.data.tiers import LIFTED_PAIR
from turnout.encoders.hashing import HashingEncoder
from turnout.errors import DataError
from turnout.reproduce.paper import ARENA, ARENA_JUDGE
from turnout.reproduce.sources import D_JUDGE, PAPERS_PAIR
from turnout.reproduce.training_sets import battles_sha256, training_sets, without_tested


def test_sets_are_of_one_pair_and_the_larger_holds_the_smaller(data: Path) -> None:
    sets = training_sets([data], ["Some question that is tested?"], HashingEncoder())
    arena, judged = sets.lifted[ARENA], sets.lifted[ARENA_JUDGE]
    assert arena.pair == judged.pair == LIFTED_PAIR
    assert list(judged.queries[: len(arena)]) == list(arena.queries)
    assert len(judged) == len(arena) + 61 + 40
    strong = set(sets.tiers.members((0, 1, 2)))
    weak = set(sets.tiers.members((3, 4, 5)))
    assert len(arena) == len(sets.found[0].battles.between(strong, weak, pair=LIFTED_PAIR))
    assert sets.by_name is not None
    assert sets.by_name.pair == PAPERS_PAIR


def test_judgements_by_name_are_of_models_that_are_asked_about_or_voted_on(data: Path) -> None:
    sets = training_sets([data], [], HashingEncoder())
    asked = training_sets([data], [], HashingEncoder(), asked_about={"never-heard-of"})
    assert sets.by_name is not None
    assert asked.by_name is not None
    assert "never-heard-of" not in sets.by_name.models
    assert len(asked.by_name) == len(sets.by_name) + 60


def test_no_battle_is_about_a_tested_query_and_these_are_counted(data: Path) -> None:
    tested = question("mt-bench", 3)
    sets = training_sets([data], [tested.upper()], HashingEncoder())
    assert tested not in sets.lifted[ARENA_JUDGE].queries
    assert sets.met[D_JUDGE]["same text"] == 1
    account = {one["data_set"]: one["left_out_as_tested"] for one in sets.account()}
    assert account[D_JUDGE]["same text"] == 1


def test_all_battles_of_a_tested_query_leave() -> None:
    battles = Battles.from_columns(["Name a river.", "Name a lake.", "Name a river."], "a", "b", [1.0, 0.0, 0.0])
    kept, met = without_tested(battles, ["name a RIVER"], HashingEncoder())
    assert list(kept.queries) == ["Name a lake."]
    assert met == {"same text": 1}


def test_too_few_models_for_tiers_is_said(data: Path, tmp_path: Path) -> None:
    (tmp_path / "alpaca_eval").symlink_to(data / "alpaca_eval")
    (tmp_path / "arena_bench_v1").symlink_to(data / "arena_bench_v1")
    vote = {"model_a": "a", "model_b": "b", "winner": "tie", "turns": ["Which river is the longest?"]}
    write_lines(tmp_path / "arena_human_2023" / "battles.jsonl.gz", [vote])
    with pytest.raises(DataError, match="between 2 models cannot be cut into 10 tiers"):
        training_sets([tmp_path], ["Some question?"], HashingEncoder())


def test_the_hash_changes_with_a_share_and_with_the_pair() -> None:
    battles = Battles.from_columns(["q"], "a", "b", [1.0])
    other = Battles.from_columns(["q"], "a", "b", [0.5])
    hashes = {battles_sha256(one) for one in (battles, other, battles.with_pair(LIFTED_PAIR))}
    assert len(hashes) == 3
    assert battles_sha256(battles) in hashes
