import click
import pytest

from turnout.cli.training_plan import label_counts, unfitted_routers
from turnout.data.outcomes import Outcomes
from turnout.errors import InvalidValueError, UnknownNameError
from turnout.evaluation.pair_table import PairTable
from turnout.types import ModelPair

PAIR = ModelPair("big", "small")
TABLES = [
    PairTable(name, name.upper(), PAIR, Outcomes.from_columns(["q"], {"big": [1], "small": [0]}).for_pair(PAIR))
    for name in ("mmlu", "gsm8k")
]


def counted(*words: str) -> list[tuple[str, int | None]]:
    return [(table.title, number) for table, number in label_counts(words, TABLES)]


def test_one_number_is_for_all_and_needs_no_title() -> None:
    assert counted() == [("MMLU", None), ("GSM8K", None)]
    assert counted("500") == [("MMLU", 500), ("GSM8K", 500)]


def test_a_benchmarks_own_numbers_go_before_those_for_all() -> None:
    assert counted("200", "mmlu=1500", "mmlu=200", "mmlu=200") == [
        ("MMLU, 1,500 labels", 1500),
        ("MMLU, 200 labels", 200),
        ("GSM8K, 200 labels", 200),
    ]
    assert counted("50", "200") == [
        ("MMLU, 50 labels", 50),
        ("MMLU, 200 labels", 200),
        ("GSM8K, 50 labels", 50),
        ("GSM8K, 200 labels", 200),
    ]


def test_a_benchmark_that_no_number_is_for_has_none() -> None:
    assert counted("gsm8k=100") == [("MMLU", None), ("GSM8K, 100 labels", 100)]


def test_mistakes_are_named() -> None:
    with pytest.raises(UnknownNameError, match="No benchmark in this run named 'gsm8'. Did you mean 'gsm8k'"):
        counted("gsm8=100")
    for word in ("many", "mmlu=", "mmlu=-1", "1e3", ""):
        with pytest.raises(InvalidValueError, match=f"whole number or BENCHMARK=NUMBER, got '{word}'"):
            counted(word)


def test_routers_share_their_encoders_and_may_name_one() -> None:
    with click.Context(click.Command("evaluate")):
        found = unfitted_routers(
            ["random", "knn", "mf@hashing", "linear@hashing", "default"], encoder_name="static", settings=(), n_texts=9
        )
    assert list(found) == ["knn", "mf@hashing", "linear@hashing"]
    assert [one.name for one in found.values()] == ["knn", "mf", "linear"]
    assert found["mf@hashing"].encoder is found["linear@hashing"].encoder
    assert [found[name].encoder.name for name in ("knn", "mf@hashing")] == ["static", "hashing"]


@pytest.mark.parametrize(("name", "problem"), [("kn@hashing", "'kn'"), ("knn@hashin", "'hashin'")])
def test_an_unknown_router_or_encoder_is_named(name: str, problem: str) -> None:
    with click.Context(click.Command("evaluate")), pytest.raises(UnknownNameError, match=problem):
        unfitted_routers([name], encoder_name="static", settings=(), n_texts=9)
