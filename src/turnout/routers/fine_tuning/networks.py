"""Hugging Face networks: loaded from a checkpoint, kept as arrays, and built from these again."""

from __future__ import annotations

import contextlib
import json
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from turnout.errors import ArtifactError, InvalidValueError
from turnout.routers.fine_tuning.torch_extra import torch, transformers
from turnout.types import JSON


def load_checkpoint(
    auto_class: Any, checkpoint: str, *, weights_dtype: str = "float32", **options: Any
) -> tuple[Any, Any]:
    """(network, tokenizer) of a Hugging Face checkpoint.

    Raises:
        InvalidValueError: it is neither a folder here nor to be had from the hub.
    """
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoint)
        network = auto_class.from_pretrained(checkpoint, **options)
    except (OSError, ValueError) as error:
        raise InvalidValueError(
            f"The checkpoint '{checkpoint}' cannot be loaded: {str(error).strip().splitlines()[0]} Give the folder of "
            "a Hugging Face model with its tokenizer, or a name on the hub (which needs a network)."
        ) from error
    return network.to(getattr(torch, weights_dtype)), tokenizer


def check_length(config: Any, max_tokens: int) -> None:
    """Raise InvalidValueError if the network has fewer positions than `max_tokens`."""
    limit = getattr(config, "max_position_embeddings", None)
    if limit is not None and max_tokens > limit:
        raise InvalidValueError(f"max_tokens must be at most {limit}, the model's limit, got {max_tokens}.")


def tokenizer_json(tokenizer: Any, checkpoint: str) -> str:
    """The content of the tokenizer's tokenizer.json.

    Raises:
        InvalidValueError: the checkpoint has none.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise InvalidValueError(
            f"The checkpoint '{checkpoint}' has no tokenizer.json (a fast tokenizer), and needs one."
        )
    text: str = backend.to_str()
    return text


def architecture_of(network: Any) -> dict[str, JSON]:
    """The Hugging Face configuration, from which `from_arrays` builds the network again."""
    values: dict[str, JSON] = json.loads(network.config.to_json_string(use_diff=False))
    values.pop("_name_or_path", None)  # a place on the machine that trained is nobody's business
    # The checkpoint's may be others: a bare encoder, 16-bit weights.
    return values | {"architectures": [type(network).__name__], "dtype": str(network.dtype).removeprefix("torch.")}


def to_arrays(network: Any) -> dict[str, np.ndarray[Any, Any]]:
    """The state dict, tied weights once. bfloat16, which numpy lacks, is kept bit by bit as uint16."""
    arrays: dict[str, np.ndarray[Any, Any]] = {}
    seen: set[int] = set()
    for name, tensor in network.state_dict().items():
        if tensor.data_ptr() in seen and tensor.numel():
            continue  # tied to one that is there already
        seen.add(tensor.data_ptr())
        tensor = tensor.detach().cpu().contiguous()
        if tensor.dtype == torch.bfloat16:
            arrays[name] = tensor.view(torch.int16).numpy().view(np.uint16)
        else:
            arrays[name] = tensor.numpy()
    return arrays


def from_arrays(architecture: Mapping[str, JSON], arrays: Mapping[str, np.ndarray[Any, Any]]) -> Any:
    """The network of `architecture_of` with the weights of `to_arrays`.

    Raises:
        ArtifactError: weights are missing.
    """
    config = transformers.AutoConfig.for_model(**architecture)
    network_class = getattr(transformers, architecture["architectures"][0])
    with quiet():
        network, info = network_class.from_pretrained(
            None,
            config=config,
            state_dict={name: _to_tensor(array) for name, array in arrays.items()},
            output_loading_info=True,
        )
    if info["missing_keys"]:
        raise ArtifactError(
            f"The weights '{min(info['missing_keys'])}' are missing: the router is damaged, or was trained with "
            f"another version of transformers (this is {transformers.__version__}). Train it anew."
        )
    return network


def _to_tensor(array: np.ndarray[Any, Any]) -> Any:
    writable = array if array.flags.writeable else array.copy()  # torch does not take read-only memory
    if array.dtype == np.uint16:
        return torch.from_numpy(writable.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(writable)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without the progress bars and load reports of transformers, and the libraries' notes on each other's old ways."""
    logging = transformers.utils.logging
    bars, verbosity = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        with warnings.catch_warnings():
            for category in (FutureWarning, DeprecationWarning):
                warnings.simplefilter("ignore", category)
            yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
