import pytest
from made_up_outcomes import PAIR

from turnout.data.outcomes import Outcomes
from turnout.evaluation.costs import query_costs
from turnout.pricing import PUBLISHED_PRICES

SCORES = {PAIR.strong: [1.0, 1.0], PAIR.weak: [0.0, 1.0]}


def known(outcomes: Outcomes) -> tuple[list[float], list[float], str]:
    costs = query_costs(outcomes.for_pair(PAIR))
    assert costs is not None
    return costs.strong_usd.tolist(), costs.weak_usd.tolist(), costs.basis


def test_recorded_dollars_come_first() -> None:
    cost = {PAIR.strong: [0.5, 0.25], PAIR.weak: [0.1, 0.2]}
    outcomes = Outcomes.from_columns(["a", "b"], SCORES, cost_usd=cost)
    assert known(outcomes) == ([0.5, 0.25], [0.1, 0.2], "as recorded in the outcomes")


def test_tokens_are_priced_where_dollars_are_missing() -> None:
    tokens = {PAIR.strong: [1e6, 0.0], PAIR.weak: [0.0, 0.0]}
    outcomes = Outcomes.from_columns(
        ["a", "b"], SCORES, input_tokens=tokens, output_tokens=tokens, cost_usd={PAIR.strong: [0.5, float("nan")]}
    )
    strong, weak, basis = known(outcomes)
    price = PUBLISHED_PRICES[PAIR.strong].price
    assert strong == [price.usd_per_million_input_tokens + price.usd_per_million_output_tokens, 0]
    assert weak == [0, 0]
    assert basis.startswith("recorded tokens at published prices")


def test_else_every_query_is_the_papers_average() -> None:
    strong, weak, basis = known(Outcomes.from_columns(["a", "b"], SCORES))
    assert strong == pytest.approx([0.00887, 0.00887])
    assert weak == pytest.approx([359 * 0.24e-6] * 2)
    assert basis.startswith("estimated: 95 tokens read and 264 written")


def test_an_organisation_before_the_name_does_not_hide_the_price() -> None:
    outcomes = Outcomes.from_columns(["a"], {"gpt-4o": [1], "mistralai/Mixtral-8x7B-Instruct-v0.1": [0]})
    assert query_costs(outcomes) is not None


def test_unknown_models_have_no_price() -> None:
    assert query_costs(Outcomes.from_columns(["a"], {"gpt-4o": [1], "mine": [0]})) is None
