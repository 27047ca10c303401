"""RouteLLM's released checkpoints as Turnout's routers, from a folder, a file or a name on the hub.

| router | layout | becomes |
|---|---|---|
| `mf` | `P.weight` (one row a model), `text_proj.0.weight`, `classifier.0.weight`; safetensors or a torch file | `mf` |
| `bert` | a sequence classifier of three labels: strong wins, tie, weak wins | `bert` |
| `causal_llm` | a causal model with label tokens [[1]] … [[5]], and the prompt in two text files | `causal-llm` |
| `sw_ranking` | no checkpoint: battles, and the vectors of their queries | `sw` |

The win rates are the released code's: `mf` scores gpt-4-1106-preview against Mixtral whatever models are served, `bert`
gives ties to the weak model, `causal_llm` is P(score < 4), `sw_ranking` takes battles within a tier for battles against
a rating of zero. Thresholds mean what they meant.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from turnout.compat.routellm.released_ranking import load_ranking
from turnout.data.remote_sets import RemoteFile, RemoteSet, Repository
from turnout.encoders.base import unit_rows
from turnout.encoders.cache import CachedEncoder
from turnout.encoders.openai import OpenAIEncoder
from turnout.errors import ArtifactError, EncoderMismatchError, InvalidValueError, MissingExtraError, UnknownNameError
from turnout.routers.base import Router, router_folder
from turnout.routers.baselines import RandomRouter
from turnout.routers.matrix_factorization import MatrixFactorization
from turnout.types import JSON, Encoder, ModelPair

TRAINED_PAIR = ModelPair("gpt-4-1106-preview", "mixtral-8x7b-instruct-v0.1")
"""The pair of every released checkpoint."""

MODEL_NAMES = tuple(
    """
    RWKV-4-Raven-14B alpaca-13b chatglm-6b chatglm2-6b chatglm3-6b claude-1 claude-2.0 claude-2.1
    claude-instant-1 codellama-34b-instruct deepseek-llm-67b-chat dolly-v2-12b dolphin-2.2.1-mistral-7b
    falcon-180b-chat fastchat-t5-3b gemini-pro gemini-pro-dev-api gpt-3.5-turbo-0125 gpt-3.5-turbo-0314
    gpt-3.5-turbo-0613 gpt-3.5-turbo-1106 gpt-4-0125-preview gpt-4-0314 gpt-4-0613 gpt-4-1106-preview
    gpt4all-13b-snoozy guanaco-33b koala-13b llama-13b llama-2-13b-chat llama-2-70b-chat llama-2-7b-chat
    llama2-70b-steerlm-chat mistral-7b-instruct mistral-7b-instruct-v0.2 mistral-medium
    mixtral-8x7b-instruct-v0.1 mpt-30b-chat mpt-7b-chat nous-hermes-2-mixtral-8x7b-dpo oasst-pythia-12b
    openchat-3.5 openchat-3.5-0106 openhermes-2.5-mistral-7b palm-2 pplx-70b-online pplx-7b-online qwen-14b-chat
    qwen1.5-4b-chat qwen1.5-72b-chat qwen1.5-7b-chat solar-10.7b-instruct-v1.0 stablelm-tuned-alpha-7b
    starling-lm-7b-alpha stripedhyena-nous-7b tulu-2-dpo-70b vicuna-13b vicuna-33b vicuna-7b wizardlm-13b
    wizardlm-70b yi-34b-chat zephyr-7b-alpha zephyr-7b-beta
    """.split()  # noqa: SIM905 - one name a line would be 64 lines
)
"""Which model each row of `P.weight` is: the 64 models of the votes, in their sorted order."""

_PROJECTION, _OUTPUT, _MODELS = "text_proj.0.weight", "classifier.0.weight", "P.weight"
_PINNED: Mapping[str, tuple[str, str]] = {
    "routellm/mf_gpt4_augmented": (
        "5eb3dc745cbe7cb16ca342ceb83b7f6ecf8c77c5",
        "bfc93d473b48f8b85ce719f0d7e8bb86a139fa052e8b0c3ac387eabf45e47293",
    )
}
"""Name on the hub → (commit, SHA-256 of model.safetensors), as published by others who pinned them."""
_MAX_MF_BYTES = 1 << 30

_SCORES = ("[[1]]", "[[2]]", "[[3]]", "[[4]]", "[[5]]")
"""The label tokens of the released causal model."""


def load_router(name: str, arguments: Mapping[str, JSON] | None = None, *, encoder: Encoder | None = None) -> Router:
    """A router by RouteLLM's name, or any of Turnout's by its folder or shipped name.

    Args:
        name: `mf`, `bert`, `causal_llm`, `sw_ranking`, `random`; or a name of yours if `checkpoint_path` is a router
            folder.
        arguments: what RouteLLM's configuration gives for the router, such as `checkpoint_path`.
        encoder: for `mf` and `sw_ranking`, instead of OpenAI's text-embedding-3-small; its vectors must be those of
            training.

    Raises:
        ArtifactError: the checkpoint is not of the layout.
        DataError: battles or vectors cannot be used.
        InvalidValueError: an argument is missing or not known.
        UnknownNameError: there is no such router.
        UpstreamUnreachableError: the checkpoint is on the hub, and that is out of reach.
    """
    arguments = dict(arguments or {})
    place = str(arguments.get("checkpoint_path", ""))
    if (Path(place or name) / "router.json").is_file():
        return Router.load(place or name)
    loaders: dict[str, Callable[..., Router]] = {
        "mf": _load_mf,
        "bert": _load_bert,
        "causal_llm": _load_causal_llm,
        "sw_ranking": _load_ranking,
        "random": _load_random,
    }
    if name not in loaders:
        if not place:
            try:
                return Router.load(router_folder(name))
            except UnknownNameError:
                pass
        raise UnknownNameError("router of RouteLLM, shipped router or router folder", name, loaders)
    if name in ("mf", "sw_ranking"):
        arguments["encoder"] = encoder
    try:
        return loaders[name](**arguments)
    except TypeError as error:
        raise InvalidValueError(f"The router '{name}' cannot be loaded with these arguments: {error}.") from error


def is_released(router: Router) -> bool:
    """Whether a router came from a checkpoint of RouteLLM's, so that thresholds mean what they meant there."""
    return getattr(router, "origin_", None) == "routellm"


def _mark(router: Router) -> Router:
    vars(router)["origin_"] = "routellm"  # saved with the router
    return router


def _load_random() -> Router:
    router = RandomRouter()
    router.pair_ = TRAINED_PAIR
    return _mark(router)


def _load_mf(
    checkpoint_path: str,
    *,
    strong_model: str = TRAINED_PAIR.strong,
    weak_model: str = TRAINED_PAIR.weak,
    hidden_size: int | None = None,
    num_models: int = len(MODEL_NAMES),
    text_dim: int | None = None,
    num_classes: int = 1,
    use_proj: bool = True,
    encoder: Encoder | None = None,
) -> Router:
    """Win rate sigmoid(c · ((p_strong − p_weak) ∘ W q)) with p of length 1, as the released code computes it."""
    weights = _mf_weights(checkpoint_path)
    models = _matrix(weights, _MODELS, (num_models, hidden_size), checkpoint_path)
    dim = models.shape[1]
    output = _matrix(weights, _OUTPUT, (num_classes, dim), checkpoint_path)
    if num_models != len(MODEL_NAMES) or num_classes != 1:
        raise InvalidValueError(
            f"Known are checkpoints of {len(MODEL_NAMES)} models and 1 class, got num_models={num_models} and "
            f"num_classes={num_classes}."
        )
    projection = np.eye(dim, dtype=np.float32)
    if use_proj:
        projection = _matrix(weights, _PROJECTION, (dim, text_dim), checkpoint_path)
    n_inputs = projection.shape[1]
    encoder = encoder or _openai_encoder(n_inputs)
    if encoder.dim != n_inputs:
        raise EncoderMismatchError(f"one of {n_inputs} dimensions", f"{encoder.name} of {encoder.dim}")
    router = MatrixFactorization(encoder, dim=dim, bias=False, normalise_models=True)
    router.factors_ = {
        "projection": np.ascontiguousarray(projection.T),
        "output": np.ascontiguousarray(output[0]),
        "models": unit_rows(models),
    }
    router.models_ = list(MODEL_NAMES)
    for model in (strong_model, weak_model):
        if model not in MODEL_NAMES:
            raise UnknownNameError("model of the checkpoint", model, MODEL_NAMES)
    router.pair_ = ModelPair(strong_model, weak_model)
    return _mark(router)


def _load_ranking(
    arena_battle_datasets: Sequence[str],
    arena_embedding_datasets: Sequence[str],
    *,
    strong_model: str = TRAINED_PAIR.strong,
    weak_model: str = TRAINED_PAIR.weak,
    num_tiers: int = 10,
    encoder: Encoder | None = None,
) -> Router:
    """Win rate from ratings fitted to all battles, weighted by how much their queries resemble the one at hand."""
    for name, value in (("battle", arena_battle_datasets), ("embedding", arena_embedding_datasets)):
        if isinstance(value, str) or not value:
            raise InvalidValueError(f"arena_{name}_datasets must be a list of files, folders or names, got {value!r}.")
    return _mark(
        load_ranking(
            arena_battle_datasets,
            arena_embedding_datasets,
            ModelPair(strong_model, weak_model),
            n_tiers=num_tiers,
            encoder_of=lambda dim: encoder or _openai_encoder(dim),
        )
    )


def _openai_encoder(dim: int) -> Encoder:
    """What every released vector comes from."""
    base_url = os.environ.get("OPENAI_BASE_URL", "https://api.openai.com/v1")
    return CachedEncoder(OpenAIEncoder("text-embedding-3-small", dim=dim, base_url=base_url))


def _load_bert(checkpoint_path: str, *, num_labels: int = 3) -> Router:
    """Win rate P(strong wins): 1 − (P(tie) + P(weak wins)), the order of the labels."""
    if num_labels != 3:
        raise InvalidValueError(f"num_labels must be 3 (strong wins, tie, weak wins), got {num_labels}.")
    from turnout.routers.bert import Bert
    from turnout.routers.fine_tuning.torch_extra import transformers

    limit = _limit(transformers, checkpoint_path, 512)
    return _mark(Bert.from_fine_tuned(checkpoint_path, TRAINED_PAIR, n_labels=3, score_threshold=2, max_tokens=limit))


def _load_causal_llm(
    checkpoint_path: str,
    *,
    score_threshold: int = 4,
    special_tokens: list[str] | None = None,
    num_outputs: int = 5,
    model_type: str = "causal",
    model_id: str = "meta-llama/Meta-Llama-3-8B",
    flash_attention_2: bool = False,
) -> Router:
    """Win rate P(score < score_threshold) at the first label token that the model writes, of six tokens at most."""
    del flash_attention_2  # how fast, not what
    if num_outputs != 5 or model_type != "causal" or tuple(special_tokens or _SCORES) != _SCORES:
        raise InvalidValueError("Known are causal checkpoints of the five label tokens [[1]] to [[5]].")
    from turnout.compat.routellm.released_causal_llm import load_causal_llm

    return _mark(
        load_causal_llm(checkpoint_path, TRAINED_PAIR, score_threshold=score_threshold, tokenizer_name=model_id)
    )


def _limit(transformers: Any, checkpoint: str, most: int) -> int:
    """How many tokens the released code lets through: the tokenizer's limit, within the network's positions."""
    try:
        config = transformers.AutoConfig.from_pretrained(checkpoint)
    except (OSError, ValueError) as error:
        raise InvalidValueError(
            f"The checkpoint '{checkpoint}' cannot be loaded: {str(error).strip().splitlines()[0]}"
        ) from error
    positions = getattr(config, "max_position_embeddings", most)
    if "roberta" in str(config.model_type):
        positions -= 2  # its first two positions are for padding
    return int(min(most, positions))


def _mf_weights(place: str) -> dict[str, np.ndarray[Any, Any]]:
    path = Path(place)
    if path.is_dir():
        found = [path / name for name in ("model.safetensors", "pytorch_model.bin") if (path / name).is_file()]
        if not found:
            raise ArtifactError(f"{path}: neither model.safetensors nor pytorch_model.bin is in this folder.")
        path = found[0]
    elif not path.is_file():
        path = _pulled_mf(place) / "model.safetensors"
    return _read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path)


def _pulled_mf(name: str) -> Path:
    """The folder of a checkpoint on the hub, brought now if it is not here."""
    if name.count("/") != 1 or name.startswith((".", "/")):
        raise InvalidValueError(f"checkpoint_path must be a folder, a file or a name on the hub, got '{name}'.")
    revision, sha256 = _PINNED.get(name, (None, None))
    return RemoteSet(
        name=name.replace("/", "--"),
        what="a matrix factorization checkpoint",
        licence="as on its page",
        repositories=(
            Repository(
                "hub-models",
                name,
                (RemoteFile("model.safetensors", sha256=sha256, max_bytes=_MAX_MF_BYTES),),
                revision,
            ),
        ),
        n_bytes=820_000,
        pinned_from="public code that pins this commit and this hash",
        kept_in="checkpoints",
    ).pull()


def _read_safetensors(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError, TypeError) as error:
        raise ArtifactError(f"{path} cannot be read as safetensors: {error}.") from error


def _read_torch(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    """A torch file of nothing but weights: anything else in it is refused, not run."""
    try:
        import torch
    except ImportError as error:
        raise MissingExtraError("torch", extra="torch", purpose="Reading a torch file") from error
    try:
        value = torch.load(path, map_location="cpu", weights_only=True)
        return {str(name): tensor.float().numpy() for name, tensor in value.items()}
    except Exception as error:
        raise ArtifactError(
            f"{path} cannot be read as a torch file of weights alone: {str(error).splitlines()[0]}"
        ) from error


def _matrix(
    weights: Mapping[str, np.ndarray[Any, Any]], name: str, shape: tuple[int | None, int | None], place: str
) -> np.ndarray[Any, Any]:
    if name not in weights:
        raise ArtifactError(f"{place}: '{name}' is missing; this is not a matrix factorization of RouteLLM's.")
    value = weights[name]
    fits = value.ndim == 2 and all(want is None or want == have for want, have in zip(shape, value.shape, strict=True))
    if not fits or not np.isfinite(value).all():
        wanted = " × ".join("any" if number is None else str(number) for number in shape)
        raise ArtifactError(f"{place}: '{name}' has the shape {value.shape}, expected {wanted} finite numbers.")
    return value.astype(np.float32)
