"""A `bert` router exported for serving: onnxruntime instead of torch (extra `minilm`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt

from turnout.data.battles import Battles
from turnout.errors import InvalidValueError, MissingExtraError
from turnout.routers.base import Router, check_fitted
from turnout.routers.fine_tuning.graded_labels import GradedLabels
from turnout.routers.fine_tuning.text_tokens import Keep, TextTokens, logits_by_length
from turnout.types import FloatArray, IntArray, check_queries


def bert_labels(n_labels: int, score_threshold: int | None) -> GradedLabels:
    """The scale behind a head of 1 logit (the odds of strong, a scale of two) or of 3 (strong, tie, weak)."""
    if n_labels not in (1, 3):
        raise InvalidValueError(f"n_labels must be 1 (sigmoid) or 3 (strong, tie, weak), got {n_labels}.")
    return GradedLabels(2 if n_labels == 1 else 3, score_threshold)


class BertOnnx(Router):
    """Win rates of a `bert` router, computed by an ONNX graph. Made by `Bert.to_onnx`; it cannot be trained."""

    name = "bert-onnx"

    graph_: npt.NDArray[np.uint8]
    """The bytes of the ONNX model."""
    tokenizer_: str
    """The content of tokenizer.json."""
    pad_id_: int

    def __init__(
        self,
        *,
        n_labels: Literal[1, 3] = 1,
        score_threshold: int | None = None,
        max_tokens: int = 512,
        keep: Keep = "start",
        n_threads: int = 1,
        prediction_batch_size: int = 32,
    ) -> None:
        """Store the settings, which are those of the `bert` router; `n_threads` is onnxruntime's."""
        self.n_labels = n_labels
        self.score_threshold = score_threshold
        self.max_tokens = max_tokens
        self.keep = keep
        self.n_threads = n_threads
        self.prediction_batch_size = prediction_batch_size
        self._session: Any = None
        self._text_tokens: TextTokens | None = None

    def fit(self, battles: Battles) -> Self:
        """Refuse: train a `bert` router and export it."""
        raise InvalidValueError(
            "A 'bert-onnx' router cannot be trained. Train a 'bert' router; in Python, its to_onnx() makes one."
        )

    def predict_win_rate(self, queries: Sequence[str]) -> FloatArray:
        """As `Bert.predict_win_rate`, shape (n_queries,), in [0, 1]; NaN where the output is invalid."""
        check_fitted(self, "graph_")
        check_queries(queries)
        if not len(queries):
            return np.empty(0)
        if self._text_tokens is None:
            self._text_tokens = TextTokens(self.tokenizer_, max_tokens=self.max_tokens, keep=self.keep)
        logits = logits_by_length(
            self._text_tokens.ids(queries), self._run_graph, pad_id=self.pad_id_, batch_size=self.prediction_batch_size
        )
        if self.n_labels == 1:
            logits = np.pad(logits, ((0, 0), (0, 1)))
        return bert_labels(self.n_labels, self.score_threshold).win_rates(logits)

    def _run_graph(self, ids: IntArray, mask: IntArray) -> npt.NDArray[np.floating]:
        if self._session is None:
            self._session = self._open_session()
        logits: npt.NDArray[np.floating] = self._session.run(None, {"input_ids": ids, "attention_mask": mask})[0]
        return logits

    def _open_session(self) -> Any:
        try:
            import onnxruntime
        except ImportError as error:
            raise MissingExtraError("onnxruntime", extra="minilm", purpose="An exported router") from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.n_threads
        return onnxruntime.InferenceSession(self.graph_.tobytes(), options, providers=["CPUExecutionProvider"])

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_session": None, "_text_tokens": None}
