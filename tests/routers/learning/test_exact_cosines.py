import numpy as np
import pytest

from turnout.routers.learning.exact_cosines import stretch, whole_numbers


@pytest.mark.parametrize("dim", [1, 2, 192, 1536, 3072])
def test_products_are_exact_and_near_the_cosine(dim: int) -> None:
    vectors = np.random.default_rng(0).normal(size=(200, dim)).astype(np.float32)
    whole = whole_numbers(vectors)
    exact = whole.astype(np.int64) @ whole.astype(np.int64).T
    np.testing.assert_array_equal(whole @ whole.T, exact)
    assert exact.max() < 2**24
    np.testing.assert_array_equal(whole.astype(np.int16), whole)
    length = np.linalg.norm(vectors, axis=1)
    np.testing.assert_allclose(exact / stretch(dim) ** 2, vectors @ vectors.T / np.outer(length, length), atol=1e-3)


def test_zeros_stay_zeros() -> None:
    assert whole_numbers(np.zeros((2, 3), dtype=np.float32)).tolist() == [[0.0] * 3] * 2
