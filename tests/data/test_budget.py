import asyncio

import pytest

from turnout.data.budget import Budget
from turnout.errors import BudgetExceededError, InvalidValueError


async def test_the_worst_case_of_calls_under_way_counts() -> None:
    budget = Budget(1.0)
    await budget.reserve(0.6)
    waiting = asyncio.create_task(budget.reserve(0.6))
    await asyncio.sleep(0)
    assert not waiting.done()
    budget.settle(0.6, 0.4)
    await waiting
    budget.settle(0.6, 0.6)
    assert budget.spent_usd == pytest.approx(1.0)


async def test_what_does_not_fit_with_nothing_under_way_is_refused() -> None:
    budget = Budget(1.0, spent_usd=0.5)
    await budget.reserve(0.5)
    budget.settle(0.5, 0.3)
    with pytest.raises(BudgetExceededError, match=r"\$1 does not allow .* \$0.8000 is spent, .* may cost \$0.3000"):
        await budget.reserve(0.3)
    await budget.reserve(0.2)


async def test_all_that_wait_are_refused_when_nothing_makes_room() -> None:
    budget = Budget(1.0)
    await budget.reserve(1.0)
    waiting = [asyncio.create_task(budget.reserve(0.5)) for _ in range(3)]
    await asyncio.sleep(0)
    budget.settle(1.0, 1.0)
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(result) for result in results] == [BudgetExceededError] * 3


async def test_no_limit_counts_only() -> None:
    budget = Budget()
    await budget.reserve(1e9)
    budget.settle(1e9, 2.0)
    assert budget.spent_usd == 2.0


@pytest.mark.parametrize("limit", [0.0, -1.0, float("nan"), float("inf")])
def test_a_budget_that_is_none_is_refused(limit: float) -> None:
    with pytest.raises(InvalidValueError, match="above 0"):
        Budget(limit)
