"""RouteLLM's causal model: its prompt, its five label tokens, and a tokenizer that lies elsewhere (extra `torch`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from turnout.data.remote_sets import RemoteFile, RemoteSet, Repository
from turnout.errors import ArtifactError, InvalidValueError
from turnout.routers.causal_llm import LABEL_TOKENS, CausalLLM
from turnout.routers.fine_tuning.networks import quiet
from turnout.routers.fine_tuning.torch_extra import transformers
from turnout.types import ModelPair

SYSTEM_FILE, QUESTION_FILE = "system_ft_v5.txt", "classifier_ft_v5.txt"

_TURN = "<|start_header_id|>{role}<|end_header_id|>\n\n"
_END = "<|eot_id|>"
_MOST_TOKENS = 8192
_WRITES_AT_MOST = 6


def load_causal_llm(checkpoint: str, pair: ModelPair, *, score_threshold: int, tokenizer_name: str) -> CausalLLM:
    """The fitted router of a folder or a name on the hub.

    Args:
        checkpoint: with the weights and the two files of the prompt.
        pair: what it was trained for.
        score_threshold: the weak model does well enough from this score on; the win rate is P(score < it).
        tokenizer_name: whose tokenizer it has, where the checkpoint holds none.

    Raises:
        ArtifactError: a file of the prompt is missing, or the vocabulary has no room for the labels.
        InvalidValueError: the checkpoint or the tokenizer cannot be loaded.
    """
    system, question = (_prompt_file(checkpoint, name) for name in (SYSTEM_FILE, QUESTION_FILE))
    before, slot, after = question.strip().partition("{question}")
    if not slot:
        raise ArtifactError(f"{checkpoint}: {QUESTION_FILE} has no place for the {{question}}.")
    with quiet():
        network, tokenizer = _network(checkpoint), _tokenizer(checkpoint, tokenizer_name)
    missing = [label for label in LABEL_TOKENS[5] if label not in tokenizer.get_vocab()]
    tokenizer.add_tokens(missing, special_tokens=True)
    label_ids: list[int] = tokenizer.convert_tokens_to_ids(list(LABEL_TOKENS[5]))
    n_rows = network.get_output_embeddings().weight.shape[0]
    if max(label_ids) >= n_rows:
        raise ArtifactError(
            f"{checkpoint} has a vocabulary of {n_rows} tokens, but with this tokenizer the labels are the tokens "
            f"{min(label_ids)} to {max(label_ids)}. Give the tokenizer that it was trained with as model_id."
        )
    router = CausalLLM(
        checkpoint,
        n_labels=5,
        score_threshold=score_threshold,
        label_within=_WRITES_AT_MOST,
        joined=True,
        instruction=_TURN.format(role="system") + system.strip() + _END + _TURN.format(role="user") + before,
        answer=after + _END,
        lora_rank=None,
        weights_dtype="bfloat16" if str(network.dtype) == "torch.bfloat16" else "float32",
        max_tokens=min(network.config.max_position_embeddings - _WRITES_AT_MOST, _MOST_TOKENS),
    )
    router.label_ids_ = label_ids
    return router.adopt(network, tokenizer, pair)


def _network(checkpoint: str) -> Any:
    try:
        return transformers.AutoModelForCausalLM.from_pretrained(checkpoint, dtype="auto")
    except (OSError, ValueError) as error:
        raise InvalidValueError(
            f"The checkpoint '{checkpoint}' cannot be loaded: {str(error).strip().splitlines()[0]}"
        ) from error


def _tokenizer(checkpoint: str, name: str) -> Any:
    """The checkpoint's own tokenizer, or else the one of this name: the released checkpoints hold none."""
    places = (checkpoint, name) if not Path(checkpoint).is_dir() or _holds_tokenizer(checkpoint) else (name,)
    problem: Exception | None = None
    for place in places:
        try:
            return transformers.AutoTokenizer.from_pretrained(place)
        except (OSError, ValueError) as error:
            problem = error
    raise InvalidValueError(
        f"'{checkpoint}' holds no tokenizer, and that of '{name}' cannot be loaded: "
        f"{str(problem).strip().splitlines()[0]} Give a folder or a name on the hub as model_id."
    ) from problem


def _holds_tokenizer(folder: str) -> bool:
    return (Path(folder) / "tokenizer.json").is_file()


def _prompt_file(checkpoint: str, name: str) -> str:
    folder = Path(checkpoint)
    if not folder.is_dir():
        files = tuple(RemoteFile(part, max_bytes=1 << 20) for part in (SYSTEM_FILE, QUESTION_FILE))
        folder = RemoteSet(
            name=checkpoint.replace("/", "--"),
            what="the prompt of a causal model",
            licence="as on its page",
            repositories=(Repository("hub-models", checkpoint, files),),
            n_bytes=1_000,
            pinned_from="nowhere: the first pull writes it down",
            kept_in="checkpoints",
        ).pull()
    try:
        return (folder / name).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ArtifactError(f"{folder / name} cannot be read: the prompt belongs to the checkpoint.") from error
