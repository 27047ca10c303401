from dataclasses import replace
from pathlib import Path

import pytest
from made_up_outcomes import PAIR, make_outcomes

from turnout.errors import DataError, EmptyDataError, UnknownNameError
from turnout.evaluation.benchmarks.base import Benchmark
from turnout.evaluation.pair_table import PairTable
from turnout.types import ModelPair

BENCHMARK = Benchmark(
    name="graded",
    title="Graded",
    source="nowhere",
    revision="1",
    licence="MIT",
    scale=(1.0, 10.0),
    units="questions",
    pair=PAIR,
    read=lambda _: make_outcomes(),
)


def test_a_benchmark_brings_its_pair_scale_and_facts(tmp_path: Path) -> None:
    table = PairTable.of_benchmark(BENCHMARK, tmp_path)
    assert (table.pair, table.scale, table.units, table.in_per_cent) == (PAIR, 9.0, "questions", False)
    assert table.facts == {"source": "nowhere", "revision": "1", "licence": "MIT"}


def test_an_unknown_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'mixtral-8x7b'"):
        PairTable.of_benchmark(BENCHMARK, tmp_path, ModelPair(PAIR.strong, "mixtral-8x7"))


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere: there is no such folder.*Graded"):
        PairTable.of_benchmark(BENCHMARK, tmp_path / "nowhere")


def test_outcomes_of_ones_own(tmp_path: Path) -> None:
    make_outcomes(12).write_jsonl(tmp_path / "mine.jsonl")
    table = PairTable.of_file(tmp_path / "mine.jsonl", PAIR)
    assert (len(table), table.scale, table.in_per_cent) == (12, 1.0, True)


def test_empty_outcomes_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").write_text("")
    with pytest.raises((EmptyDataError, UnknownNameError)):
        PairTable.of_file(tmp_path / "empty.jsonl", PAIR)


def test_a_query_without_a_score_is_not_part_of_the_test(tmp_path: Path) -> None:
    path = tmp_path / "holes.jsonl"
    path.write_text(
        f'{{"query": "a", "scores": {{"{PAIR.strong}": 1, "{PAIR.weak}": 0}}}}\n'
        f'{{"query": "b", "scores": {{"{PAIR.strong}": 1}}}}\n'
    )
    assert list(PairTable.of_file(path, PAIR).outcomes.queries) == ["a"]


def test_a_score_that_is_not_a_number_is_refused_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text(f'{{"query": "a", "scores": {{"{PAIR.strong}": 1}}}}\n{{"query": "b", "scores": {{"x": NaN}}}}\n')
    with pytest.raises(DataError, match=r"bad\.jsonl, line 2"):
        PairTable.of_file(path, PAIR)


def test_the_hash_is_the_contents(table: PairTable) -> None:
    again = replace(table, outcomes=make_outcomes().for_pair(PAIR))
    other = replace(table, outcomes=make_outcomes().for_pair(PAIR).take([*range(239)]))
    assert table.sha256 == again.sha256 != other.sha256


def test_quality_is_printed_as_people_read_it(table: PairTable) -> None:
    assert table.quality_text(0.8056) == "80.6 %"
    assert replace(table, in_per_cent=False).quality_text(8.28125) == "8.28"


def test_each_source_is_a_table_of_its_own(table: PairTable) -> None:
    sources = ["chat" if row % 2 else "" for row in range(len(table))]
    chat_and_rest = replace(table, scale=None, outcomes=replace(table.outcomes, source=sources))
    rest, chat = chat_and_rest.by_source()
    assert (rest.name, rest.title, chat.name, chat.title) == ("made-up", "Made up", "chat", "chat")
    assert list(chat.outcomes.queries) == list(table.outcomes.queries)[1::2]
    assert (rest.scale, chat.scale, len(rest) + len(chat)) == (1.0, 1.0, len(table))
