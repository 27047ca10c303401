import json
from pathlib import Path
from typing import Any

import pytest

from turnout import Battles, registry
from turnout.data.importers.source import Reading, Source
from turnout.errors import DataError


def read(name: str, path: Path, **settings: Any) -> list[dict[str, Any]]:
    source: Source = registry.load("importer", name)(**settings)
    return [record for _, record in Reading(source, path).records()]


def write(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


ARENA = {"model_a": "x", "model_b": "y", "winner": "model_b", "turns": ["Hi there.", "And now?"]}


def test_every_registered_source_says_what_it_expects() -> None:
    for name in registry.names("importer"):
        source = registry.load("importer", name)
        assert issubclass(source, Source)
        assert source.name == name
        assert len(source.expects) > 20


@pytest.mark.parametrize(
    ("winner", "share"), [("model_a", 1), ("model_b", 0), ("tie", 0.5), ("tie (bothbad)", 0.5), ("both_bad", 0.5)]
)
def test_arena_winners(tmp_path: Path, winner: str, share: float) -> None:
    (row,) = read("arena", write(tmp_path / "a.jsonl", {**ARENA, "winner": winner}))
    assert row["share_a"] == share


def test_arena_conversations_in_each_form(tmp_path: Path) -> None:
    conversation = [
        {"role": "user", "content": "Hi there."},
        {"role": "assistant", "content": "Hello."},
        {"role": "user", "content": [{"type": "text", "text": "And now?"}, {"type": "image"}]},
    ]
    bare = {key: value for key, value in ARENA.items() if key != "turns"}
    for form in ({"turns": ARENA["turns"]}, {"conversation_a": conversation}, {"prompt": "Hi there.\n\nAnd now?"}):
        path = write(tmp_path / "a.jsonl", {**bare, **form})
        assert read("arena", path)[0]["query"] == "Hi there.\n\nAnd now?"
    assert read("arena", write(tmp_path / "b.jsonl", ARENA), turns="first")[0]["query"] == "Hi there."
    (tmp_path / "c.json").write_text(json.dumps([ARENA, ARENA]))
    assert len(read("arena", tmp_path / "c.json")) == 2


def test_the_55k_csv_has_turns_as_json_with_nulls(tmp_path: Path) -> None:
    path = tmp_path / "train.csv"
    path.write_text(
        "id,model_a,model_b,prompt,response_a,response_b,winner_model_a,winner_model_b,winner_tie\n"
        '1,x,y,"[""Hi,\nthere"", null, ""More""]","[""a""]","[""b""]",0,0,1\n'
        '2,x,y,"[""Bye""]","[""a""]","[""b""]",1,0,0\n'
    )
    rows = read("arena-55k", path)
    assert [(row["query"], row["share_a"]) for row in rows] == [("Hi,\nthere\n\nMore", 0.5), ("Bye", 1.0)]
    path.write_text(path.read_text().replace(",1,0,0", ",1,1,0"))
    with pytest.raises(DataError, match=r"train.csv, line 4: exactly one of winner_model_a"):
        read("arena-55k", path)


def test_half_a_surrogate_pair_does_not_stop_an_import(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(
        "model_a,model_b,prompt,winner_model_a,winner_model_b,winner_tie\n"
        + r'x,y,"[""cut \ud83d here \ud83d\ude00""]",1,0,0'
    )
    assert read("arena-55k", tmp_path / "t.csv")[0]["query"] == "cut \ufffd here \U0001f600"


def test_a_csv_row_with_too_few_fields_is_named(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("query,model_a,model_b,winner\nq,a,b,a\nq,a,b\n")
    with pytest.raises(DataError, match="line 3: has not the 4 fields"):
        read("battles", tmp_path / "t.csv")


def test_alpaca_preferences_run_from_first_to_second(tmp_path: Path) -> None:
    row = {"instruction": "Say hi.", "generator_1": "ref", "generator_2": "new", "preference": 1.25}
    assert read("alpaca-eval", write(tmp_path / "a.jsonl", row))[0]["share_a"] == 0.75
    with pytest.raises(DataError, match="from 1 .first. to 2 .second., got 0"):
        read("alpaca-eval", write(tmp_path / "a.jsonl", {**row, "preference": 0}))


def test_the_leaderboard_takes_its_prompts_from_the_file_beside_it(tmp_path: Path) -> None:
    write(tmp_path / "prompts.jsonl", {"prompt_id": 7, "prompt": "Say hi."})
    base = {"prompt_id": 7, "ref": "gpt4_1106_preview", "model": "new", "judge": "j", "pref": 2.0}
    path = write(
        tmp_path / "prefs.jsonl",
        base,
        {**base, "ref": "gpt4_0613"},
        {**base, "model": "example"},
        {**base, "pref": None},
    )
    reading = Reading(registry.load("importer", "alpaca-eval-leaderboard")(), path)
    (row,) = [record for _, record in reading.records()]
    assert (row["query"], row["model_a"], row["share_a"]) == ("Say hi.", "gpt4_1106_preview", 0.0)
    assert sum(reading.dropped.values()) == 3


def test_mmlu_pro_leaves_out_mmlu_unless_told(tmp_path: Path) -> None:
    row = {"idx": 1, "src": "ori_mmlu-law", "category": "law", "question": "Who?", "options": ["I", "You"]}
    path = write(
        tmp_path / "m.jsonl", {**row, "correct": {"m": 1, "n": None}}, {**row, "src": "stemez", "correct": {"m": 0}}
    )
    (kept,) = read("mmlu-pro", path)
    assert (kept["query"], kept["source"], kept["scores"]) == ("Who?\nA. I\nB. You", "mmlu-pro/stemez", {"m": 0.0})
    assert len(read("mmlu-pro", path, with_mmlu=True)) == 2


def test_arena_bench_scores_may_be_lists_and_nulls(tmp_path: Path) -> None:
    row = {"question_id": "q", "prompt": "Hi", "scores": {"a": [1, None, 4], "b": 7, "c": None, "d": [None]}}
    assert read("arena-bench", write(tmp_path / "a.jsonl", row))[0]["scores"] == {"a": 2.5, "b": 7.0}


def test_a_pool_may_write_its_scores_as_text(tmp_path: Path) -> None:
    row = {"question": "Q?", "scores": "{'a': 0.5, 'b': 1.0}"}
    assert read("llm-pool", write(tmp_path / "p.jsonl", row))[0]["scores"] == {"a": 0.5, "b": 1.0}
    with pytest.raises(DataError, match="line 1"):
        read("llm-pool", write(tmp_path / "p.jsonl", {"question": "Q?", "scores": "__import__('os')"}))


def test_columns_of_your_own(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text("prompt,left,right,best\nWhy?,gpt,llama,llama\nHow?,gpt,llama,tie\n")
    settings = {"query_column": "prompt", "model_a_column": "left", "model_b_column": "right", "winner_column": "best"}
    assert [row["share_a"] for row in read("battles", tmp_path / "mine.csv", **settings)] == [0.0, 0.5]
    (tmp_path / "scores.csv").write_text("q,gpt,llama_score\nWhy?,True,0.25\n")
    (row,) = read("outcomes", tmp_path / "scores.csv", query_column="q", score_columns="gpt, llama=llama_score")
    assert row["scores"] == {"gpt": 1.0, "llama": 0.25}


def test_bad_rows_are_errors_or_kept_apart_never_lost(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", ARENA, {**ARENA, "winner": "nobody"}, {**ARENA, "turns": ["Hi"]})
    with pytest.raises(
        DataError, match=r"a.jsonl, line 2: winner must be .* got 'nobody'. To skip such rows: --skip-bad"
    ):
        read("arena", path)
    reading = Reading(registry.load("importer", "arena")(), path, skip_bad=True, min_characters=5)
    assert reading.to_file(tmp_path / "out.jsonl") == 1
    assert len(Battles.read_jsonl(tmp_path / "out.jsonl")) == 1
    kept = json.loads((tmp_path / "out.jsonl.rejected.jsonl").read_text())
    assert kept["line"] == 2
    assert kept["row"]["winner"] == "nobody"
    assert reading.dropped == {"that cannot be used": 1, "shorter than 5 characters": 1}


def test_an_empty_import_leaves_the_file_that_is_there(tmp_path: Path) -> None:
    (tmp_path / "out.jsonl").write_text("precious")
    path = write(tmp_path / "a.jsonl")
    with pytest.raises(DataError, match="no row to import"):
        Reading(registry.load("importer", "arena")(), path).to_file(tmp_path / "out.jsonl")
    assert (tmp_path / "out.jsonl").read_text() == "precious"
