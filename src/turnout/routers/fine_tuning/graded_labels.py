"""Strong … tie … weak as a scale of labels: shares become targets, label probabilities become win rates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from turnout.errors import InvalidValueError
from turnout.types import FloatArray


@dataclass(frozen=True)
class GradedLabels:
    """`n` labels at equal steps, from a clear win of strong (label 1) to a clear win of weak (label n).

    Three of them are the paper's win of strong, tie and win of weak. Read from the other end they are scores: label 5
    of 5 says that the weak model does perfectly well, as in the paper's released causal model.
    """

    n: int
    """2 or more."""
    score_threshold: int | None = None
    """None: the win rate is the expected share of strong, for three labels P(strong) + P(tie)/2. A number from 2 to n:
    it is P(label < score_threshold), as in the paper's released code (4 of 5 labels; 2 of 3 gives ties to weak)."""

    def __post_init__(self) -> None:
        if self.n < 2:
            raise InvalidValueError(f"n_labels must be at least 2, got {self.n}.")
        if self.score_threshold is not None and not 2 <= self.score_threshold <= self.n:
            raise InvalidValueError(
                f"score_threshold must be from 2 to the {self.n} labels, got {self.score_threshold}. "
                "None takes the expected share instead."
            )

    @property
    def shares(self) -> FloatArray:
        """What each label says about strong's share, shape (n,), from 1 to 0.

        >>> GradedLabels(5).shares.tolist()
        [1.0, 0.75, 0.5, 0.25, 0.0]
        """
        return np.linspace(1.0, 0.0, self.n)

    def targets(self, strong_share: FloatArray) -> FloatArray:
        """A distribution over labels for each share, shape (n_rows, n), whose expected share is the share itself.

        A share between two labels is divided between these two.

        >>> GradedLabels(3).targets(np.array([1.0, 0.5, 0.4])).tolist()
        [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.8, 0.2]]
        """
        position = (1.0 - np.asarray(strong_share, dtype=np.float64)) * (self.n - 1)
        distance = np.abs(position[:, None] - np.arange(self.n))
        targets: FloatArray = np.maximum(0.0, 1.0 - distance).round(12)
        return targets

    def win_rates(self, logits: npt.NDArray[np.floating]) -> FloatArray:
        """Win rate of each row of label logits, shape (n_rows,); NaN where a logit is not a finite number.

        >>> GradedLabels(3).win_rates(np.log([[0.5, 0.3, 0.2]])).round(6).tolist()
        [0.65]
        """
        values: FloatArray = np.asarray(logits, dtype=np.float64)
        valid = np.asarray(np.isfinite(values).all(axis=1, keepdims=True))
        values = np.where(valid, values, 0.0)
        powers = np.exp(values - values.max(axis=1, keepdims=True))
        probabilities = powers / powers.sum(axis=1, keepdims=True)
        gains = self.shares if self.score_threshold is None else np.arange(1, self.n + 1) < self.score_threshold
        rates: FloatArray = np.where(valid.ravel(), np.clip(probabilities @ gains.astype(np.float64), 0.0, 1.0), np.nan)
        return rates
