import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from saved_routers import save_random_router

from turnout import ModelPair

Run = Callable[..., tuple[int, str, str]]
PAIR = ModelPair("gpt-4-1106-preview", "mixtral-8x7b-instruct-v0.1")


@pytest.fixture
def router(tmp_path: Path) -> Path:
    return save_random_router(tmp_path / "r", PAIR)


def test_it_prints_the_choice_the_win_rate_and_both_costs(run: Run, router: Path) -> None:
    code, out, err = run("route", "What is the capital of France?", "--router", router, "--threshold", 0)
    assert code == 0
    assert out.startswith("strong: gpt-4-1106-preview\n  win rate 0.")
    assert "costs about $0.008000 with the strong model, $0.000065 with the weak one" in out
    assert "264 tokens" in err


def test_json_is_one_object_a_line(run: Run, router: Path) -> None:
    code, out, _ = run("route", "one", "two", "--router", router, "--threshold", 2, "--json")
    first, second = map(json.loads, out.splitlines())
    assert (code, first["query"], second["query"]) == (0, "one", "two")
    assert first["side"] == second["side"] == "weak"
    assert 0 <= first["win_rate"] < 1


def test_a_query_unlike_the_training_data_is_said_to_be(run: Run, router: Path) -> None:
    usual, strange = "How do I write a poem about the moon?", "zxqv 8!!! ಅಆ"
    _, out, _ = run("route", usual, strange, "--json")
    novelty = [json.loads(line)["novelty"] for line in out.splitlines()]
    assert novelty[0] < 1 < novelty[1]
    assert f"(novelty {novelty[1]:.2f})" in run("route", strange)[1]
    assert "novelty" not in run("route", usual)[1]
    assert json.loads(run("route", strange, "--router", router, "--json")[1])["novelty"] is None


def test_queries_come_from_standard_input(run: Run, router: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("\ufeffone\r\n\ntwo\n"))
    decided = run("route", "-", "--router", router, "--json")[1].splitlines()
    assert [json.loads(line)["query"] for line in decided] == ["one", "two"]


def test_a_strong_fraction_is_kept(run: Run, router: Path) -> None:
    queries = [str(n) for n in range(100)]
    _, out, _ = run("route", *queries, "--router", router, "--strong-fraction", 0.25, "--json")
    assert sum(json.loads(line)["side"] == "strong" for line in out.splitlines()) == 25


def test_a_pair_it_was_not_trained_for_is_said_so(run: Run, router: Path) -> None:
    code, out, err = run("route", "Hi", "--router", router, "--pair", "mine,cheap", "--threshold", 0)
    assert (code, out.splitlines()[0]) == (0, "strong: mine")
    assert "No price is known" in err
    assert f"those of {PAIR}" in err
    _, out, _ = run(
        "route", "Hi", "--router", router, "--pair", "mine,cheap", "--threshold", 0, "--price-strong", "10,30",
        "--price-weak", "1,1",
    )  # fmt: skip
    assert "costs about $0.007930 with the strong model, $0.000265" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("route",), "Give a query"),
        (("route", "x", "--router", "defalt"), "No shipped router or router folder named 'defalt'"),
        (("route", "x", "--router", "no/such"), "There is no router folder at no/such"),
        (("route", "x", "--router", "ROUTER", "--strong-fraction", "50"), "For 50 % write 0.5."),
        (("route", "x", "--router", "ROUTER", "--threshold", "1", "--strong-fraction", "1"), "not both"),
        (("route", "x", "--router", "ROUTER", "--pair", "one"), "written STRONG,WEAK"),
        (("route", "x", "--router", "ROUTER", "--price-strong", "1"), "A price is written IN,OUT"),
    ],
)
def test_a_mistake_ends_with_exit_code_2(run: Run, router: Path, arguments: tuple[str, ...], message: str) -> None:
    code, out, err = run(*(str(router) if argument == "ROUTER" else argument for argument in arguments))
    assert (code, out) == (2, "")
    assert message in err
