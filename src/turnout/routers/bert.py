"""A BERT-type encoder with a classification head, fully fine-tuned (extra `torch`)."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Literal

import numpy as np

from turnout.errors import InvalidValueError
from turnout.routers.base import check_fitted
from turnout.routers.bert_onnx import BertOnnx, bert_labels
from turnout.routers.fine_tuning.fine_tune import Precision
from turnout.routers.fine_tuning.graded_labels import GradedLabels
from turnout.routers.fine_tuning.networks import check_length, load_checkpoint, quiet
from turnout.routers.fine_tuning.text_tokens import Keep, TextTokens
from turnout.routers.fine_tuning.torch_extra import torch, transformers
from turnout.routers.fine_tuning.transformer_router import TransformerRouter
from turnout.types import JSON

MAX_EXPORT_DIFFERENCE = 1e-4
"""How far a win rate of the exported router may lie from the original's."""


class Bert(TransformerRouter):
    """Win rate from the classification head of a fine-tuned encoder: sigmoid(W h_CLS + b), as in the paper.

    `to_onnx()` gives the same router for serving without torch.
    """

    name = "bert"

    PRESETS: ClassVar[Mapping[str, Mapping[str, JSON]]] = MappingProxyType(
        {
            "paper": {
                "checkpoint": "google-bert/bert-base-uncased",
                "n_labels": 1,
                "max_tokens": 512,
                "n_steps": 2000,
                "batch_size": 16,
                "learning_rate": 1e-5,
                "weight_decay": 0.01,
            }
        }
    )

    def __init__(
        self,
        checkpoint: str = "google-bert/bert-base-uncased",
        *,
        n_labels: Literal[1, 3] = 1,
        score_threshold: int | None = None,
        max_tokens: int = 512,
        keep: Keep = "start",
        n_steps: int = 2000,
        batch_size: int = 16,
        micro_batch_size: int | None = None,
        learning_rate: float = 3e-5,
        weight_decay: float = 0.01,
        warmup_fraction: float = 0.06,
        max_gradient_norm: float = 1.0,
        validation_fraction: float = 0.05,
        evaluate_every: int = 50,
        patience: int | None = 5,
        precision: Precision = "auto",
        device: str = "auto",
        prediction_batch_size: int = 32,
        seed: int = 0,
    ) -> None:
        """Store the settings; the checkpoint is loaded by `fit`.

        Args:
            checkpoint: a folder with a Hugging Face encoder and its tokenizer, or a name on the hub.
            n_labels: 1 is the paper's sigmoid; 3 is its released code's softmax over strong, tie and weak.
            score_threshold: with 3 labels, 2 gives ties to weak as the released code does; None counts them half.
            max_tokens: the length limit of a query, special tokens included.
            keep: which part of a longer query is read: `start`, `end` or `both`.
            n_steps: see `turnout.routers.fine_tuning.fine_tune.Recipe` for this and the next ones.
            batch_size: see there.
            micro_batch_size: see there.
            learning_rate: see there.
            weight_decay: see there.
            warmup_fraction: see there.
            max_gradient_norm: see there.
            validation_fraction: the share of distinct queries that is held out; 0 trains on all, for all steps.
            evaluate_every: see there.
            patience: see there.
            precision: see there.
            device: `auto`, `cpu`, `cuda`, `cuda:1`, `mps`.
            prediction_batch_size: queries at a time.
            seed: of the head's first weights, the order, the dropout and the split.
        """
        self.checkpoint = checkpoint
        self.n_labels = n_labels
        self.score_threshold = score_threshold
        self.max_tokens = max_tokens
        self.keep = keep
        self.n_steps = n_steps
        self.batch_size = batch_size
        self.micro_batch_size = micro_batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.warmup_fraction = warmup_fraction
        self.max_gradient_norm = max_gradient_norm
        self.validation_fraction = validation_fraction
        self.evaluate_every = evaluate_every
        self.patience = patience
        self.precision = precision
        self.device = device
        self.prediction_batch_size = prediction_batch_size
        self.seed = seed

    def to_onnx(self) -> BertOnnx:
        """The same fitted router as an ONNX graph, which runs on onnxruntime and never imports torch.

        Needs the packages onnx, onnxscript and onnxruntime. The export is checked on texts of several lengths.

        Raises:
            NotFittedError: called before `fit`.
            InvalidValueError: the graph's win rates differ by more than `MAX_EXPORT_DIFFERENCE`.
        """
        check_fitted(self, "weights_")
        exported = BertOnnx(
            n_labels=self.n_labels,
            score_threshold=self.score_threshold,
            max_tokens=self.max_tokens,
            keep=self.keep,
        )
        exported.pair_ = self.pair_
        exported.tokenizer_ = self.tokenizer_
        exported.pad_id_ = self.pad_id_
        exported.graph_ = np.frombuffer(self._graph(), dtype=np.uint8)
        probes = ["", "one", "What is the capital of France?", "long text " * self.max_tokens]
        difference = float(np.abs(exported.predict_win_rate(probes) - self.predict_win_rate(probes)).max())
        if not difference <= MAX_EXPORT_DIFFERENCE:
            raise InvalidValueError(
                f"The exported router's win rates differ by {difference:.2g} from the original's, and at most "
                f"{MAX_EXPORT_DIFFERENCE:g} is allowed. Serve the original instead."
            )
        return exported

    def _graph(self) -> bytes:
        network = self._loaded_network()
        names = ["input_ids", "attention_mask"]
        any_size = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
        with tempfile.TemporaryDirectory() as folder, quiet():
            path = Path(folder) / "graph.onnx"
            torch.onnx.export(
                network,
                kwargs={name: torch.ones((2, 8), dtype=torch.int64, device=network.device) for name in names},
                f=path,
                input_names=names,
                output_names=["logits"],
                dynamic_shapes=dict.fromkeys(names, any_size),
                dynamo=True,
                external_data=False,
                verbose=False,
            )
            return path.read_bytes()

    def _labels(self) -> GradedLabels:
        return bert_labels(self.n_labels, self.score_threshold)

    def _new_tokens(self) -> TextTokens:
        return TextTokens(self.tokenizer_, max_tokens=self.max_tokens, keep=self.keep)

    def _start(self) -> tuple[Any, Any]:
        network, tokenizer = load_checkpoint(
            transformers.AutoModelForSequenceClassification, self.checkpoint, num_labels=self.n_labels
        )
        check_length(network.config, self.max_tokens)
        return network, tokenizer

    def _start_fine_tuned(self) -> tuple[Any, Any]:
        network, tokenizer = load_checkpoint(transformers.AutoModelForSequenceClassification, self.checkpoint)
        check_length(network.config, self.max_tokens)
        if network.config.num_labels != self.n_labels:
            raise InvalidValueError(
                f"The checkpoint '{self.checkpoint}' has {network.config.num_labels} labels, but n_labels is "
                f"{self.n_labels}."
            )
        return network, tokenizer

    def _label_logits(self, network: Any, ids: Any, mask: Any) -> Any:
        logits = network(input_ids=ids, attention_mask=mask).logits
        # One logit is the log-odds of strong: a softmax over two labels, the second of which stays at 0.
        return logits if self.n_labels > 1 else torch.nn.functional.pad(logits, (0, 1))
