"""Tiny random transformers with a tiny tokenizer, and battles that they can learn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from turnout.data.battles import Battles
from turnout.types import ModelPair

PAIR = ModelPair("big", "small")
_WORDS = [
    "hello",
    "prove",
    "sum",
    "integral",
    "theorem",
    "story",
    "poem",
    "the",
    "of",
    "strong",
    "weak",
    "tie",
    *"12345",
]
_LETTERS = [*"abcdefghijklmnopqrstuvwxyz[].,:!?()"]


def _tokenizer(*, closed: bool) -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *dict.fromkeys(_WORDS + _LETTERS)]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(vocabulary)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens(vocabulary[:4])
    if closed:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
        )
    return tokenizer


def _save(network: Any, tokenizer: Any, folder: Path) -> str:
    from transformers import PreTrainedTokenizerFast

    network.save_pretrained(folder)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]").save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of a BERT encoder without a head."""
    torch = pytest.importorskip("torch")
    from transformers import BertConfig, BertModel

    tokenizer = _tokenizer(closed=True)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
    )
    return _save(BertModel(config), tokenizer, tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture(scope="session", params=[True, False], ids=["tied", "untied"])
def tiny_llama(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> str:
    """The folder of a Llama-type causal model, with input and output vectors in one table or in two."""
    torch = pytest.importorskip("torch")
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = _tokenizer(closed=False)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        intermediate_size=32,
        max_position_embeddings=128,
        initializer_range=0.2,
        tie_word_embeddings=request.param,
    )
    return _save(LlamaForCausalLM(config), tokenizer, tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture(scope="session")
def easy_battles() -> Battles:
    """Strong wins on proofs and loses on poems; a tie or a graded share now and then."""
    n, random = 64, np.random.default_rng(0)
    hard = random.random(n) < 0.5
    queries = [f"{'prove theorem' if h else 'poem story'} {' '.join(random.choice(_LETTERS, 3))}" for h in hard]
    share = np.where(hard, 1.0, 0.0)
    share[::9] = 0.5
    share[1::9] = np.where(share[1::9] > 0.5, 0.9, 0.1)
    return Battles.from_columns(queries, "big", "small", share, source="tiny", pair=PAIR)
