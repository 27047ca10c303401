"""Transformers of a few thousand random weights, with a tokenizer of a few words, as folders of Hugging Face's kind."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
SIZES = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 32}


def word_tokenizer(words: Sequence[str], *, closed: bool) -> Any:
    """Every word is a token; `closed` puts [CLS] before a text and [SEP] behind it."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    vocabulary = [*SPECIAL, *dict.fromkeys(words)]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(vocabulary)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens(list(SPECIAL))
    if closed:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
        )
    return tokenizer


def random_network(network_class: Any, config: Any, *, seed: int = 0) -> Any:
    """The same weights whenever it is made."""
    import torch

    torch.manual_seed(seed)
    return network_class(config)


def save_tokenizer(tokenizer: Any, folder: Path, **settings: Any) -> None:
    from transformers import PreTrainedTokenizerFast

    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **settings).save_pretrained(folder)


def save(network: Any, tokenizer: Any, folder: Path, **settings: Any) -> Path:
    """Both in one folder, which it returns; the tokenizer is a `word_tokenizer`."""
    network.save_pretrained(folder)
    save_tokenizer(tokenizer, folder, pad_token="[PAD]", unk_token="[UNK]", **settings)
    return folder
