"""The state of a training run as a folder, so that a run that was killed goes on where it stopped. Never pickle."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from turnout.atomic_write import check_writable_folder, write_folder_atomically
from turnout.errors import ArtifactError
from turnout.routers.fine_tuning.torch_extra import torch

_STATE_FILE = "state.json"
_TENSORS_FILE = "tensors.safetensors"


class TrainingState:
    """All that changes while a network is trained."""

    def __init__(self, parameters: dict[str, Any], optimizer: Any, scaler: Any) -> None:
        self.parameters = parameters
        self.optimizer = optimizer
        self.scaler = scaler
        self.step = 0
        self.curve: list[dict[str, float]] = []
        self.best_loss = math.inf
        self.best: dict[str, Any] = {}
        """A copy of the parameters at the lowest validation loss; empty before the first look."""
        self.n_worse = 0
        """Looks since then."""
        self.stopped = False

    def judge(self, validation_loss: float, patience: int | None) -> None:
        """Keep the parameters if they are the best so far; stop if none was better for `patience` looks."""
        if validation_loss < self.best_loss:
            self.best_loss, self.n_worse = validation_loss, 0
            self.best = {name: p.detach().cpu().clone() for name, p in self.parameters.items()}
        else:
            self.n_worse += 1
            self.stopped = patience is not None and self.n_worse >= patience

    def keep_best(self) -> None:
        """Put the best parameters back, where there was a validation loss to judge them by."""
        _copy_into(self.parameters, self.best)


class TrainingCheckpoint:
    """A folder that holds the latest state of one run: these settings on these examples, and no other."""

    def __init__(self, folder: str | Path, *, run: str) -> None:
        """See the class; `run` says which run it is (a hash of settings and examples)."""
        self.folder = Path(folder)
        self.run = run

    def save(self, state: TrainingState) -> None:
        """Replace the folder, whole or not at all."""
        tensors = {f"parameter/{name}": p.detach() for name, p in state.parameters.items()}
        tensors |= {f"best/{name}": p for name, p in state.best.items()}
        for index, moments in state.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer/{index}/{name}": torch.as_tensor(value) for name, value in moments.items()}
        values = {
            "run": self.run,
            "step": state.step,
            "curve": state.curve,
            "best_loss": state.best_loss if state.best else None,
            "n_worse": state.n_worse,
            "stopped": state.stopped,
            "scaler": state.scaler.state_dict(),
        }
        with write_folder_atomically(self.folder) as place:
            (place / _STATE_FILE).write_text(json.dumps(values, indent=2), encoding="utf-8")
            save_file({name: t.contiguous() for name, t in tensors.items()}, place / _TENSORS_FILE)

    def restore(self, state: TrainingState) -> None:
        """Bring the state to what was saved; an absent or an empty folder changes nothing.

        Raises:
            ArtifactError: the folder holds something else, is damaged, or belongs to another run.
            NotWritableError: it is a file.
        """
        check_writable_folder(self.folder)
        if not self.folder.exists() or not any(self.folder.iterdir()):
            return
        if not (self.folder / _STATE_FILE).exists():
            found = sorted(path.name for path in self.folder.iterdir())
            raise ArtifactError(
                f"{self.folder} is no checkpoint of a training: it holds {', '.join(found[:3])}"
                f"{' …' if len(found) > 3 else ''}, and would be replaced. Name another folder."
            )
        try:
            values = json.loads((self.folder / _STATE_FILE).read_text(encoding="utf-8"))
            if values["run"] != self.run:
                raise ArtifactError(
                    f"The checkpoint {self.folder} belongs to a run with other settings or other battles. Give those "
                    "to go on with it, or name another folder."
                )
            tensors = load_file(self.folder / _TENSORS_FILE)
            _copy_into(state.parameters, _under(tensors, "parameter/"))
            state.best = _under(tensors, "best/")
            moments: dict[int, dict[str, Any]] = {}
            for name, tensor in _under(tensors, "optimizer/").items():
                index, _, key = name.partition("/")
                moments.setdefault(int(index), {})[key] = tensor
            state.optimizer.load_state_dict({**state.optimizer.state_dict(), "state": moments})
            state.scaler.load_state_dict(values["scaler"])
            state.step, state.curve, state.n_worse = values["step"], values["curve"], values["n_worse"]
            state.best_loss = math.inf if values["best_loss"] is None else values["best_loss"]
            state.stopped = values["stopped"]
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            raise ArtifactError(
                f"The checkpoint {self.folder} is damaged, or another program's ({error}). Name another folder."
            ) from error


def _under(tensors: dict[str, Any], prefix: str) -> dict[str, Any]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _copy_into(parameters: dict[str, Any], values: dict[str, Any]) -> None:
    with torch.no_grad():
        for name, value in values.items():
            parameters[name].copy_(value)
