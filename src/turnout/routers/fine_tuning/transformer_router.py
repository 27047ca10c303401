"""What `bert` and `causal-llm` share: a Hugging Face transformer as a router that holds all it needs to run."""

from __future__ import annotations

import hashlib
import json
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np

from turnout.data.battles import Battles
from turnout.data.split import split_rows
from turnout.errors import InvalidValueError, UnknownNameError
from turnout.routers.base import Router, check_fitted, check_trainable, settings_of
from turnout.routers.fine_tuning.fine_tune import (
    Examples,
    Precision,
    ProgressCallback,
    Recipe,
    choose_device,
    fine_tune,
    mixed_precision,
    seeded,
)
from turnout.routers.fine_tuning.graded_labels import GradedLabels
from turnout.routers.fine_tuning.networks import architecture_of, from_arrays, quiet, to_arrays, tokenizer_json
from turnout.routers.fine_tuning.text_tokens import Keep, TextTokens, logits_by_length
from turnout.routers.fine_tuning.torch_extra import torch
from turnout.routers.fine_tuning.training_checkpoint import TrainingCheckpoint
from turnout.types import JSON, FloatArray, IntArray, ModelPair, check_queries

_NOT_THE_RUN = {"device", "micro_batch_size", "prediction_batch_size"}
"""Settings that say where and in what portions to compute, not what: a checkpoint may go on with others."""


class TransformerRouter(Router):
    """A fine-tuned transformer that turns each query into label logits.

    The saved folder holds the weights, the architecture and the tokenizer: it loads without a hub and without the
    checkpoint that training began from.
    """

    weights_: dict[str, np.ndarray[Any, Any]]
    """See `networks.to_arrays`."""
    architecture_: dict[str, JSON]
    """The Hugging Face configuration."""
    tokenizer_: str
    """The content of tokenizer.json."""
    pad_id_: int
    learning_curve_: list[dict[str, float]]
    """step, train_loss and validation_loss (nats) at each look."""

    PRESETS: ClassVar[Mapping[str, Mapping[str, JSON]]]
    """Name → settings, such as those of the paper."""

    checkpoint: str
    max_tokens: int
    keep: Keep
    validation_fraction: float
    precision: Precision
    device: str
    prediction_batch_size: int
    seed: int
    _network: Any = None
    _text_tokens: TextTokens | None = None
    _n_invalid = 0

    @property
    def n_invalid_(self) -> int:
        """Queries so far that got no win rate because the output was invalid; the policy sends these to strong."""
        return self._n_invalid

    @classmethod
    def from_preset(cls, name: Literal["paper"], **settings: JSON) -> Self:
        """A router with a preset's settings, of which any may be overridden."""
        if name not in cls.PRESETS:
            raise UnknownNameError("preset", name, cls.PRESETS)
        return cls(**{**cls.PRESETS[name], **settings})

    @classmethod
    def from_fine_tuned(cls, checkpoint: str, pair: ModelPair, **settings: JSON) -> Self:
        """A fitted router from a checkpoint that was fine-tuned elsewhere for the same labels. Nothing is trained.

        Args:
            checkpoint: a folder, or a name on the hub.
            pair: what it was trained for.
            **settings: see `__init__`.

        Raises:
            InvalidValueError: the checkpoint cannot be loaded, or lacks the labels.
        """
        router = cls(**{**settings, "checkpoint": checkpoint})
        router._labels()
        with quiet():
            network, tokenizer = router._start_fine_tuned()
        return router.adopt(network, tokenizer, pair)

    def adopt(self, network: Any, tokenizer: Any, pair: ModelPair) -> Self:
        """Become the fitted router of a Hugging Face network and its tokenizer, as they are; returns self."""
        self._keep_tokenizer(tokenizer)
        self._keep_network(network)
        self.learning_curve_ = []
        self.pair_ = pair
        return self

    def fit(
        self,
        battles: Battles,
        *,
        checkpoint_folder: str | Path | None = None,
        progress: ProgressCallback | None = None,
    ) -> Self:
        """Fine-tune on battles of one pair; ties and graded shares are soft labels, weights count.

        A part of the queries (`validation_fraction`, by distinct text) is held out to stop early and to choose the
        step whose weights are kept.

        Args:
            battles: the pair must be settled.
            checkpoint_folder: the state of training is kept there at each look at the validation loss, and a run that
                was killed goes on from it. May be deleted afterwards.
            progress: called after each step.

        Raises:
            EmptyDataError: there is no battle.
            InvalidValueError: the pair is not settled, the checkpoint cannot be loaded, or training diverged.
            ArtifactError: `checkpoint_folder` belongs to another run.
        """
        pair = check_trainable(battles)
        if not 0 <= self.validation_fraction < 1:
            raise InvalidValueError(f"validation_fraction must be in [0, 1), got {self.validation_fraction}.")
        recipe = Recipe(**{field.name: getattr(self, field.name) for field in fields(Recipe)})
        labels, device = self._labels(), choose_device(self.device)
        share = battles.strong_share()
        with seeded(self.seed, device), quiet():
            network, tokenizer = self._start()
            self._keep_tokenizer(tokenizer)
            network.to(device)
        examples = Examples(self._tokens().ids(battles.queries), labels.targets(share), battles.weight)
        train, validation = self._divide(examples, battles)
        folder = checkpoint_folder
        self.learning_curve_ = fine_tune(
            network,
            lambda ids, mask: self._label_logits(network, ids, mask),
            train,
            validation,
            recipe,
            pad_id=self.pad_id_,
            device=device,
            checkpoint=None if folder is None else TrainingCheckpoint(folder, run=self._run(examples)),
            progress=progress,
        )
        with quiet():
            self._keep_network(self._finish(network))
        self.pair_ = pair
        return self

    def predict_win_rate(self, queries: Sequence[str]) -> FloatArray:
        """Win rate of each query, shape (n_queries,), in [0, 1]; NaN, and counted, where the output is invalid."""
        check_fitted(self, "weights_")
        check_queries(queries)
        if not len(queries):
            return np.empty(0)
        rates = self._labels().win_rates(self.predict_label_logits(queries))
        self._n_invalid += int(np.isnan(rates).sum())
        return rates

    def predict_label_logits(self, queries: Sequence[str]) -> FloatArray:
        """Logits of the labels from strong to weak, shape (n_queries, n_labels)."""
        check_fitted(self, "weights_")
        check_queries(queries)
        return logits_by_length(
            self._tokens().ids(queries), self._run_network, pad_id=self.pad_id_, batch_size=self.prediction_batch_size
        )

    @abstractmethod
    def _labels(self) -> GradedLabels:
        """The scale of labels."""

    def _tokens(self) -> TextTokens:
        if self._text_tokens is None:
            self._text_tokens = self._new_tokens()
        return self._text_tokens

    @abstractmethod
    def _new_tokens(self) -> TextTokens:
        """Queries → token ids, from `tokenizer_`."""

    @abstractmethod
    def _start(self) -> tuple[Any, Any]:
        """(network, tokenizer) to start training from."""

    @abstractmethod
    def _start_fine_tuned(self) -> tuple[Any, Any]:
        """(network, tokenizer) of a checkpoint that has its labels already."""

    def _keep_tokenizer(self, tokenizer: Any) -> None:
        self.pad_id_ = int(tokenizer.pad_token_id or 0)
        self.tokenizer_ = tokenizer_json(tokenizer, self.checkpoint)
        self._text_tokens = None

    def _keep_network(self, network: Any) -> None:
        self.architecture_ = architecture_of(network)
        self.weights_ = to_arrays(network)
        self._network = None  # built anew from the arrays, so that a saved router gives the same scores to the bit

    def _finish(self, network: Any) -> Any:
        """The trained network as a plain one."""
        return network

    @abstractmethod
    def _label_logits(self, network: Any, ids: Any, mask: Any) -> Any:
        """Logits of the labels from strong to weak: tensors, (n, length) and (n, length) → (n, n_labels)."""

    def _divide(self, examples: Examples, battles: Battles) -> tuple[Examples, Examples]:
        """(train, validation), by distinct query; too few queries to hold any out are all trained on."""
        held_out = self.validation_fraction
        if held_out:
            parts = split_rows(battles.queries, [1 - held_out, held_out], source=battles.source, seed=self.seed)
            if len(parts[0]):
                return _take(examples, parts[0]), _take(examples, parts[1])
        return examples, _take(examples, [])

    def _run_network(self, ids: IntArray, mask: IntArray) -> FloatArray:
        network = self._loaded_network()
        device = network.device
        context, _ = mixed_precision(device, self.precision)
        with torch.inference_mode(), context:
            logits = self._label_logits(network, *(torch.from_numpy(a).to(device) for a in (ids, mask)))
        result: FloatArray = logits.float().cpu().numpy().astype(np.float64)
        return result

    def _loaded_network(self) -> Any:
        if self._network is None:
            self._network = from_arrays(self.architecture_, self.weights_).to(choose_device(self.device)).eval()
        return self._network

    def _run(self, examples: Examples) -> str:
        settings = {key: value for key, value in settings_of(self).items() if key not in _NOT_THE_RUN}
        digest = hashlib.sha256(json.dumps([self.name, settings, examples.token_ids], sort_keys=True).encode())
        digest.update(examples.targets.tobytes() + examples.weight.tobytes())
        return digest.hexdigest()

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_network": None, "_text_tokens": None}


def _take(examples: Examples, rows: Sequence[int] | IntArray) -> Examples:
    index = np.asarray(rows, dtype=np.int64)
    return Examples([examples.token_ids[row] for row in index], examples.targets[index], examples.weight[index])
