"""A causal language model that is asked whose answer is better, and says it in a label token (extra `torch`)."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Literal

from turnout.errors import InvalidValueError, MissingExtraError
from turnout.routers.fine_tuning.fine_tune import Precision
from turnout.routers.fine_tuning.graded_labels import GradedLabels
from turnout.routers.fine_tuning.networks import check_length, load_checkpoint
from turnout.routers.fine_tuning.text_tokens import Keep, TextTokens
from turnout.routers.fine_tuning.torch_extra import torch, transformers
from turnout.routers.fine_tuning.transformer_router import TransformerRouter
from turnout.types import JSON

LABEL_TOKENS: Mapping[int, tuple[str, ...]] = MappingProxyType(
    {3: ("[[strong]]", "[[tie]]", "[[weak]]"), 5: ("[[1]]", "[[2]]", "[[3]]", "[[4]]", "[[5]]")}
)
"""Number of labels → the tokens that are added to the vocabulary, from a clear win of strong to a clear win of weak."""

INSTRUCTIONS: Mapping[int, str] = MappingProxyType(
    {
        3: (
            "A strong and a weak assistant answer the query. Say whose answer is better: "
            "[[strong]], [[weak]], or [[tie]] if neither.\n\nQuery:\n"
        ),
        5: (
            "A weak assistant answers the query. Rate how well it does beside a strong one, "
            "from [[1]] (much worse) to [[5]] (as well or better).\n\nQuery:\n"
        ),
    }
)
"""Number of labels → the text before the query, in which the labels are the label tokens themselves."""

ANSWER = "\n\nAnswer: "
"""The text after the query; the next token is the label."""


class CausalLLM(TransformerRouter):
    """Win rate from a softmax over label tokens: for three labels P(strong) + P(tie)/2."""

    name = "causal-llm"

    PRESETS: ClassVar[Mapping[str, Mapping[str, JSON]]] = MappingProxyType(
        {
            "paper": {
                "checkpoint": "meta-llama/Meta-Llama-3-8B",
                "n_labels": 5,
                "score_threshold": 4,
                "lora_rank": None,
                "max_tokens": 2048,
                "n_steps": 2000,
                "batch_size": 8,
                "learning_rate": 1e-6,
            }
        }
    )

    label_ids_: list[int]
    """The token ids of the labels."""

    def __init__(
        self,
        checkpoint: str = "HuggingFaceTB/SmolLM2-135M",
        *,
        n_labels: Literal[3, 5] = 3,
        score_threshold: int | None = None,
        require_label: bool = False,
        label_within: int = 1,
        joined: bool = False,
        instruction: str | None = None,
        answer: str | None = None,
        lora_rank: int | None = 16,
        lora_alpha: float = 32.0,
        lora_dropout: float = 0.0,
        weights_dtype: Literal["float32", "bfloat16"] = "float32",
        max_tokens: int = 1024,
        keep: Keep = "start",
        n_steps: int = 2000,
        batch_size: int = 8,
        micro_batch_size: int | None = None,
        learning_rate: float = 2e-4,
        weight_decay: float = 0.01,
        warmup_fraction: float = 0.06,
        max_gradient_norm: float = 1.0,
        validation_fraction: float = 0.05,
        evaluate_every: int = 50,
        patience: int | None = 5,
        precision: Precision = "auto",
        device: str = "auto",
        prediction_batch_size: int = 8,
        seed: int = 0,
    ) -> None:
        """Store the settings; the checkpoint is loaded by `fit`.

        Args:
            checkpoint: a folder with a Hugging Face causal model and its tokenizer, or a name on the hub.
            n_labels: 3 (strong, tie, weak) or 5 (scores of the weak model's answer, as in the released code).
            score_threshold: None takes the expected share; 4 with 5 labels is the released code's P(score < 4).
            require_label: count an output as invalid, too, where some token that is no label is likeliest, as the
                released code does.
            label_within: how many tokens the model may write, the likeliest each time, until one is a label; 1 reads
                the labels at the next token. The released code allows 6, and calls an output without a label invalid.
            joined: see `turnout.routers.fine_tuning.text_tokens.TextTokens`; the released code encodes its prompt in
                one piece.
            instruction: the text before the query, special tokens included; None takes ours.
            answer: the text after it, up to where the label follows; None takes ours.
            lora_rank: low-rank adapters (package peft) of this rank on all linear layers, and the label tokens'
                vectors; None trains all weights, which wants a much lower `learning_rate`.
            lora_alpha: the adapters' scale is lora_alpha / lora_rank.
            lora_dropout: in [0, 1).
            weights_dtype: bfloat16 halves the memory of the frozen weights that LoRA adapts, and of the saved router;
                full fine-tuning wants float32, in which small steps are not rounded away.
            max_tokens: the length limit of instruction and query together.
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
            seed: of the adapters' first weights, the order, the dropout and the split.
        """
        self.checkpoint = checkpoint
        self.n_labels = n_labels
        self.score_threshold = score_threshold
        self.require_label = require_label
        self.label_within = label_within
        self.joined = joined
        self.instruction = instruction
        self.answer = answer
        self.lora_rank = lora_rank
        self.lora_alpha = lora_alpha
        self.lora_dropout = lora_dropout
        self.weights_dtype = weights_dtype
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

    def _labels(self) -> GradedLabels:
        if self.n_labels not in LABEL_TOKENS:
            raise InvalidValueError(f"n_labels must be 3 or 5, got {self.n_labels}.")
        if self.label_within < 1:
            raise InvalidValueError(f"label_within must be at least 1 token, got {self.label_within}.")
        return GradedLabels(self.n_labels, self.score_threshold)

    def _new_tokens(self) -> TextTokens:
        return TextTokens(
            self.tokenizer_,
            max_tokens=self.max_tokens,
            keep=self.keep,
            before=INSTRUCTIONS[self.n_labels] if self.instruction is None else self.instruction,
            after=ANSWER if self.answer is None else self.answer,
            joined=self.joined,
        )

    def _start(self) -> tuple[Any, Any]:
        network, tokenizer = self._load()
        self.label_ids_ = _add_labels(network, tokenizer, LABEL_TOKENS[self.n_labels])
        return (network if self.lora_rank is None else self._with_adapters(network)), tokenizer

    def _start_fine_tuned(self) -> tuple[Any, Any]:
        network, tokenizer = self._load()
        vocabulary = tokenizer.get_vocab()
        missing = [token for token in LABEL_TOKENS[self.n_labels] if token not in vocabulary]
        if missing:
            raise InvalidValueError(
                f"The checkpoint '{self.checkpoint}' has no token '{missing[0]}': it was not fine-tuned for "
                f"{self.n_labels} labels. Train a router on it with fit(battles)."
            )
        self.label_ids_ = [vocabulary[token] for token in LABEL_TOKENS[self.n_labels]]
        return network, tokenizer

    def _load(self) -> tuple[Any, Any]:
        if self.weights_dtype not in ("float32", "bfloat16"):
            raise InvalidValueError(f"weights_dtype must be 'float32' or 'bfloat16', got '{self.weights_dtype}'.")
        network, tokenizer = load_checkpoint(
            transformers.AutoModelForCausalLM, self.checkpoint, weights_dtype=self.weights_dtype
        )
        check_length(network.config, self.max_tokens)
        return network, tokenizer

    def _with_adapters(self, network: Any) -> Any:
        try:
            import peft
        except ImportError as error:
            raise MissingExtraError("peft", extra="torch", purpose="LoRA (lora_rank)") from error
        config = peft.LoraConfig(
            r=self.lora_rank,
            lora_alpha=self.lora_alpha,
            lora_dropout=self.lora_dropout,
            target_modules="all-linear",
            trainable_token_indices=_label_rows(network, self.label_ids_),
            task_type="CAUSAL_LM",
        )
        return peft.get_peft_model(network, config)

    def _finish(self, network: Any) -> Any:
        return network if self.lora_rank is None else network.merge_and_unload()

    def _label_logits(self, network: Any, ids: Any, mask: Any) -> Any:
        if self.label_within > 1 and not network.training:
            return self._first_label_logits(network, ids, mask)
        logits = _next_logits(network, ids, mask)
        labels = logits[:, self.label_ids_]
        if self.require_label and not network.training:
            labels = labels.masked_fill((logits.amax(dim=1) > labels.amax(dim=1))[:, None], torch.nan)
        return labels

    def _first_label_logits(self, network: Any, ids: Any, mask: Any) -> Any:
        """The labels' logits where the model, writing on, first writes one; NaN where it does not in time."""
        found = torch.full((len(ids), len(self.label_ids_)), torch.nan, device=ids.device)
        label_ids = torch.tensor(self.label_ids_, device=ids.device)
        ends = torch.tensor(_end_ids(network), dtype=ids.dtype, device=ids.device)
        writing = torch.arange(len(ids), device=ids.device)
        for _ in range(self.label_within):
            logits = _next_logits(network, ids[writing], mask[writing])
            token = logits.argmax(dim=1)
            is_label = torch.isin(token, label_ids)
            found[writing[is_label]] = logits[is_label][:, self.label_ids_].to(found.dtype)
            going_on = ~is_label & ~torch.isin(token, ends)
            writing, token = writing[going_on], token[going_on]
            if not len(writing):
                break
            ids, mask = (torch.nn.functional.pad(part, (0, 1)) for part in (ids, mask))
            place = mask[writing].sum(dim=1)
            ids[writing, place], mask[writing, place] = token, 1
        return found


def _next_logits(network: Any, ids: Any, mask: Any) -> Any:
    """Logits of the whole vocabulary at the token after each text, (n, n_vocabulary)."""
    last = mask.sum(dim=1) - 1  # rows are filled up at the end, so that positions count from 0 in all of them
    kept, column = torch.unique(last, return_inverse=True)
    if _takes_kept_positions(network):
        logits = network(input_ids=ids, attention_mask=mask, use_cache=False, logits_to_keep=kept).logits
    else:
        logits = network(input_ids=ids, attention_mask=mask, use_cache=False).logits[:, kept]
    return logits[torch.arange(len(ids), device=ids.device), column]


def _end_ids(network: Any) -> list[int]:
    """The tokens that end a text."""
    ends = getattr(network.config, "eos_token_id", None)
    return [] if ends is None else [ends] if isinstance(ends, int) else list(ends)


def _takes_kept_positions(network: Any) -> bool:
    inner = network.get_base_model() if hasattr(network, "get_base_model") else network
    return "logits_to_keep" in inspect.signature(inner.forward).parameters


def _add_labels(network: Any, tokenizer: Any, tokens: tuple[str, ...]) -> list[int]:
    """Add tokens to vocabulary and network, each starting as the mean of the tokens that spell its word; their ids."""
    spelled = [tokenizer.encode(token.strip("[]"), add_special_tokens=False) for token in tokens]
    tokenizer.add_special_tokens({"additional_special_tokens": list(tokens)})
    ids: list[int] = tokenizer.convert_tokens_to_ids(list(tokens))
    if len(tokenizer) > network.get_input_embeddings().weight.shape[0]:
        network.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    with torch.no_grad():
        for table in _vocabulary_tables(network):
            for token, word in zip(ids, spelled, strict=True):
                table[token] = table[word].mean(dim=0)
    return ids


def _vocabulary_tables(network: Any) -> list[Any]:
    tables = [network.get_input_embeddings().weight]
    if network.get_output_embeddings().weight is not tables[0]:
        tables.append(network.get_output_embeddings().weight)
    return tables


def _label_rows(network: Any, label_ids: list[int]) -> dict[str, list[int]]:
    """Which rows of which vocabulary tables adapters train: of the one that gives the logits."""
    outer = network.get_output_embeddings()
    inner = network.get_input_embeddings()
    layer = inner if outer.weight is inner.weight else outer
    name = next(name for name, module in network.named_modules() if module is layer)
    return {name.rpartition(".")[2]: label_ids}
