from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnout.errors import InvalidValueError
from turnout.routers.fine_tuning.graded_labels import GradedLabels


@given(st.integers(2, 9), st.lists(st.floats(0, 1), min_size=1, max_size=5))
def test_targets_are_distributions_that_keep_the_share(n, shares):
    labels = GradedLabels(n)
    targets = labels.targets(np.array(shares))
    np.testing.assert_allclose(targets.sum(axis=1), 1, atol=1e-9)
    np.testing.assert_allclose(targets @ labels.shares, shares, atol=1e-9)
    assert ((targets > 1e-9).sum(axis=1) <= 2).all()


def test_three_labels_count_a_tie_half():
    assert GradedLabels(3).win_rates(np.log([[0.2, 0.6, 0.2], [0.7, 0.2, 0.1]])) == pytest.approx([0.5, 0.8])


def test_score_threshold_is_that_of_the_released_code():
    logits = np.log([[0.1, 0.1, 0.2, 0.25, 0.35]])
    assert GradedLabels(5, score_threshold=4).win_rates(logits) == pytest.approx([0.4])  # P(score < 4)
    assert GradedLabels(3, score_threshold=2).win_rates(np.log([[0.2, 0.6, 0.2]])) == pytest.approx([0.2])


def test_huge_logits_neither_overflow_nor_leave_the_range():
    assert GradedLabels(2).win_rates(np.array([[1e4, -1e4], [-1e4, 1e4]])).tolist() == [1.0, 0.0]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_an_invalid_row_has_no_win_rate_and_spoils_no_other(bad):
    rates = GradedLabels(3).win_rates(np.array([[bad, 0.0, 0.0], [0.0, 0.0, 0.0]]))
    assert np.isnan(rates[0])
    assert rates[1] == 0.5


@pytest.mark.parametrize("threshold", [1, 4])
def test_score_threshold_out_of_range(threshold):
    with pytest.raises(InvalidValueError, match="from 2 to the 3 labels"):
        GradedLabels(3, score_threshold=threshold)
