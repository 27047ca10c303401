import math

import pytest

from turnout.errors import InvalidValueError
from turnout.executors import ProcessExecutor, SerialExecutor
from turnout.types import Executor


@pytest.mark.parametrize("executor", [SerialExecutor(), ProcessExecutor(2)])
def test_results_keep_the_order(executor: Executor) -> None:
    assert list(executor.map(math.sqrt, [9.0, 4.0, 1.0, 16.0])) == [3.0, 2.0, 1.0, 4.0]


def test_ray_gives_the_same() -> None:
    pytest.importorskip("ray")
    from turnout.executors import RayExecutor

    assert list(RayExecutor().map(math.sqrt, [9.0, 4.0])) == [3.0, 2.0]


def test_no_workers_are_refused() -> None:
    with pytest.raises(InvalidValueError, match="at least 1, got 0"):
        ProcessExecutor(0)
