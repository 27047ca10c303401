"""Fine-tune a transformer on soft labels: AdamW, warm-up, clipping, early stopping, checkpoints that resume."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from turnout.errors import InvalidValueError
from turnout.routers.fine_tuning.text_tokens import pad
from turnout.routers.fine_tuning.torch_extra import torch
from turnout.routers.fine_tuning.training_checkpoint import TrainingCheckpoint, TrainingState
from turnout.types import FloatArray, IntArray

Precision = Literal["auto", "float32", "bfloat16", "float16"]
LabelLogits = Callable[[Any, Any], Any]
"""(ids, mask) → label logits: tensors of shapes (n, length), (n, length) and (n, n_labels)."""


@dataclass(frozen=True)
class Recipe:
    """How a network is fine-tuned."""

    n_steps: int
    """Optimiser steps at most."""
    batch_size: int
    learning_rate: float
    """Reached after the warm-up; falls linearly to 0 at the last step."""
    weight_decay: float
    """Of matrices; biases and norms are left alone."""
    micro_batch_size: int | None = None
    """Rows on the device at a time, for little memory; None means the whole batch. The result is the same."""
    warmup_fraction: float = 0.06
    max_gradient_norm: float = 1.0
    evaluate_every: int = 50
    """Steps between two looks at the validation loss (and checkpoints)."""
    patience: int | None = 5
    """Looks without a better validation loss before it stops; None never stops early."""
    precision: Precision = "auto"
    """Of the arithmetic; weights stay as they are. `auto` is float32 on a CPU and 16 bits on a GPU."""
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("n_steps", "batch_size", "evaluate_every", "micro_batch_size", "patience"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InvalidValueError(f"{name} must be at least 1, got {value}.")
        for name in ("learning_rate", "max_gradient_norm"):
            if not getattr(self, name) > 0:
                raise InvalidValueError(f"{name} must be above 0, got {getattr(self, name)}.")
        if not 0 <= self.warmup_fraction < 1:
            raise InvalidValueError(f"warmup_fraction must be in [0, 1), got {self.warmup_fraction}.")
        if not self.weight_decay >= 0:
            raise InvalidValueError(f"weight_decay must be at least 0, got {self.weight_decay}.")
        if self.precision not in ("auto", "float32", "bfloat16", "float16"):
            raise InvalidValueError(
                f"precision must be 'auto', 'float32', 'bfloat16' or 'float16', got '{self.precision}'."
            )

    def learning_rate_at(self, step: int) -> float:
        """The learning rate of a step, counted from 0.

        >>> recipe = Recipe(n_steps=10, batch_size=1, learning_rate=8.0, weight_decay=0, warmup_fraction=0.2)
        >>> [recipe.learning_rate_at(step) for step in (0, 1, 2, 9)]
        [4.0, 8.0, 8.0, 1.0]
        """
        warmup = round(self.n_steps * self.warmup_fraction)
        if step < warmup:
            return self.learning_rate * (step + 1) / warmup
        return self.learning_rate * (self.n_steps - step) / (self.n_steps - warmup)


@dataclass(frozen=True)
class Examples:
    """What is learned from: token ids, a distribution over labels and a weight for each row."""

    token_ids: list[list[int]]
    targets: FloatArray
    """Shape (n, n_labels); each row adds up to 1."""
    weight: FloatArray
    """Shape (n,)."""

    def __len__(self) -> int:
        return len(self.token_ids)


@dataclass(frozen=True)
class TrainingProgress:
    """Told after each step to whoever wants to draw a progress bar."""

    step: int
    n_steps: int
    train_loss: float
    """Cross-entropy of the step's batch, in nats."""
    validation_loss: float | None
    """The latest, in nats; None before the first look and where there is no validation split."""


ProgressCallback = Callable[[TrainingProgress], None]


def choose_device(name: str) -> Any:
    """The torch device of a name; `auto` is a GPU where there is one, else the CPU."""
    if name != "auto":
        try:
            return torch.device(name)
        except RuntimeError as error:
            raise InvalidValueError(f"device must be 'auto', 'cpu', 'cuda' or 'mps', got '{name}'.") from error
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def mixed_precision(device: Any, precision: Precision) -> tuple[Any, bool]:
    """(context in which the network computes, whether gradients must be scaled)."""
    if precision == "auto":
        precision = _native_precision(device)
    if precision == "float32":
        return contextlib.nullcontext(), False
    return torch.autocast(device.type, dtype=getattr(torch, precision)), precision == "float16"


def _native_precision(device: Any) -> Precision:
    if device.type != "cuda":
        return "float32"
    return "bfloat16" if torch.cuda.is_bf16_supported() else "float16"


@contextlib.contextmanager
def seeded(seed: int, device: Any) -> Iterator[None]:
    """Torch's random numbers start from `seed` inside, and go on as if nothing had happened afterwards."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


def fine_tune(
    network: Any,
    label_logits: LabelLogits,
    train: Examples,
    validation: Examples,
    recipe: Recipe,
    *,
    pad_id: int,
    device: Any,
    checkpoint: TrainingCheckpoint | None = None,
    progress: ProgressCallback | None = None,
) -> list[dict[str, float]]:
    """The learning curve; the network keeps the weights of the lowest validation loss (or the last, without one).

    The order of the rows and the dropout of a step depend on the seed and the step alone, so that a run that was cut
    off and resumed ends with the same weights as one that was not.

    Args:
        network: trained in place; parameters that need no gradient are left alone.
        label_logits: runs the network.
        train: at least one row.
        validation: may be empty; then nothing is stopped early.
        recipe: how.
        pad_id: fills up short rows.
        device: where the network is.
        checkpoint: where the state is kept, and taken up again if it is there.
        progress: called after each step.

    Raises:
        InvalidValueError: the loss is no longer a number.
        ArtifactError: the checkpoint is damaged, or belongs to another run.
    """
    parameters = {name: p for name, p in network.named_parameters() if p.requires_grad}
    optimizer = torch.optim.AdamW(
        [
            {"params": [p for p in parameters.values() if p.ndim >= 2], "weight_decay": recipe.weight_decay},
            {"params": [p for p in parameters.values() if p.ndim < 2], "weight_decay": 0.0},
        ],
        lr=recipe.learning_rate,
    )
    context, scales = mixed_precision(device, recipe.precision)
    scaler = torch.amp.GradScaler(device.type, enabled=scales)
    state = TrainingState(parameters, optimizer, scaler)
    if checkpoint is not None:
        checkpoint.restore(state)
    losses = _Losses(network, label_logits, pad_id, device, context)
    mean_weight = float(train.weight.mean())
    lengths = np.array([len(ids) for ids in train.token_ids])
    since_look: list[float] = []

    while state.step < recipe.n_steps and not state.stopped:
        rows = _rows_of_step(lengths, recipe, state.step)
        for group in optimizer.param_groups:
            group["lr"] = recipe.learning_rate_at(state.step)
        network.train()
        with seeded(recipe.seed * 1_000_003 + state.step, device):
            train_loss = 0.0
            for part in np.array_split(rows, -(-len(rows) // (recipe.micro_batch_size or len(rows)))):
                loss = losses.weighted_sum(train, part) / (mean_weight * len(rows))
                scaler.scale(loss).backward()
                train_loss += float(loss.detach())
        if not np.isfinite(train_loss):
            raise InvalidValueError(
                f"The training loss became {train_loss} at step {state.step + 1}: the training diverged. "
                f"Lower learning_rate (it is {recipe.learning_rate:g}) or train with precision='float32'."
            )
        scaler.unscale_(optimizer)
        torch.nn.utils.clip_grad_norm_(list(parameters.values()), recipe.max_gradient_norm)
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad(set_to_none=True)
        state.step += 1
        since_look.append(train_loss)
        if state.step % recipe.evaluate_every == 0 or state.step == recipe.n_steps:
            look = {"step": state.step, "train_loss": float(np.mean(since_look))}
            since_look.clear()
            if len(validation):
                look["validation_loss"] = losses.mean(validation, recipe.batch_size)
                state.judge(look["validation_loss"], recipe.patience)
            state.curve.append(look)
            if checkpoint is not None:
                checkpoint.save(state)
        if progress is not None:
            latest = state.curve[-1].get("validation_loss") if state.curve else None
            progress(TrainingProgress(state.step, recipe.n_steps, train_loss, latest))
    state.keep_best()
    network.eval()
    return copy.deepcopy(state.curve)


class _Losses:
    """Cross-entropy of soft labels, in nats."""

    def __init__(self, network: Any, label_logits: LabelLogits, pad_id: int, device: Any, context: Any) -> None:
        self.network = network
        self.label_logits = label_logits
        self.pad_id = pad_id
        self.device = device
        self.context = context

    def weighted_sum(self, examples: Examples, rows: IntArray) -> Any:
        """Of these rows, each times its weight: a tensor that gradients flow from."""
        ids, mask = pad([examples.token_ids[row] for row in rows], self.pad_id)
        with self.context:
            logits = self.label_logits(*(torch.from_numpy(a).to(self.device) for a in (ids, mask)))
        targets = torch.from_numpy(examples.targets[rows]).to(self.device, torch.float32)
        weight = torch.from_numpy(examples.weight[rows]).to(self.device, torch.float32)
        return -(targets * torch.log_softmax(logits.float(), dim=-1)).sum(-1) @ weight

    def mean(self, examples: Examples, batch_size: int) -> float:
        """Weighted mean over all rows, without dropout."""
        self.network.eval()
        order = np.argsort([len(ids) for ids in examples.token_ids], kind="stable")
        with torch.no_grad():
            total = sum(
                float(self.weighted_sum(examples, order[start : start + batch_size]))
                for start in range(0, len(order), batch_size)
            )
        return total / float(examples.weight.sum())


def _rows_of_step(lengths: IntArray, recipe: Recipe, step: int) -> IntArray:
    """The rows of a step's batch. Rows of like length share one, which saves padding; all come once an epoch."""
    n_batches = -(-len(lengths) // recipe.batch_size)
    epoch, index = divmod(step, n_batches)
    random = np.random.default_rng([recipe.seed, epoch])
    order = random.permutation(len(lengths))
    pool = 16 * recipe.batch_size  # large enough to save most padding, small enough to stay random
    for start in range(0, len(order), pool):
        some = order[start : start + pool]
        order[start : start + pool] = some[np.argsort(lengths[some], kind="stable")]
    batches = np.array_split(order, n_batches)
    rows: IntArray = batches[random.permutation(n_batches)[index]]
    return rows
