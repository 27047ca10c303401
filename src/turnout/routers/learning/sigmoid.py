"""The logistic function: log odds → probability."""

from __future__ import annotations

from typing import Any

import numpy as np


def sigmoid(log_odds: Any) -> Any:
    """1 / (1 + e^−log_odds), elementwise, in [0, 1], without overflow, in the precision of the input.

    >>> sigmoid(np.array([-1e9, 0.0, 1e9])).tolist()
    [0.0, 0.5, 1.0]
    """
    return 0.5 * (1 + np.tanh(0.5 * log_odds))
