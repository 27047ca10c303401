import numpy as np
import pytest

from turnout.routers.learning.lbfgs import minimise
from turnout.types import FloatArray


def test_a_curved_valley_is_followed_to_its_end() -> None:
    def rosenbrock(x: FloatArray) -> tuple[float, FloatArray]:
        a, b = 1 - x[0], x[1] - x[0] ** 2
        return float(a * a + 100 * b * b), np.array([-2 * a - 400 * x[0] * b, 200 * b])

    found = minimise(rosenbrock, np.array([-1.2, 1.0]), tolerance=1e-15)
    assert found.tolist() == pytest.approx([1.0, 1.0], abs=1e-4)


def test_an_ill_scaled_bowl() -> None:
    scale = np.logspace(-1.5, 1.5, 30)
    found = minimise(
        lambda x: (float((scale * (x - 1) ** 2).sum()), 2 * scale * (x - 1)), np.zeros(30), tolerance=1e-14
    )
    np.testing.assert_allclose(found, 1.0, atol=0.02)


def test_the_steps_are_bounded_and_a_minimum_stays() -> None:
    calls = []

    def bowl(x: FloatArray) -> tuple[float, FloatArray]:
        calls.append(x)
        return float(x @ x), 2 * x

    assert minimise(bowl, np.zeros(3)).tolist() == [0.0] * 3
    calls.clear()
    minimise(bowl, np.ones(3), n_steps=1)
    assert len(calls) == 2
