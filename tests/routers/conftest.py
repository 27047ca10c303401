"""Tiny random transformers, and battles that they can learn."""

from __future__ import annotations

import numpy as np
import pytest
from tiny_networks import SIZES, random_network, save, word_tokenizer

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


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of a BERT encoder without a head."""
    pytest.importorskip("torch")
    from transformers import BertConfig, BertModel

    tokenizer = word_tokenizer(_WORDS + _LETTERS, closed=True)
    config = BertConfig(vocab_size=tokenizer.get_vocab_size(), num_hidden_layers=2, max_position_embeddings=64, **SIZES)
    return str(save(random_network(BertModel, config), tokenizer, tmp_path_factory.mktemp("checkpoint")))


@pytest.fixture(scope="session", params=[True, False], ids=["tied", "untied"])
def tiny_llama(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> str:
    """The folder of a Llama-type causal model, with input and output vectors in one table or in two."""
    pytest.importorskip("torch")
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = word_tokenizer(_WORDS + _LETTERS, closed=False)
    config = LlamaConfig(
        vocab_size=tokenizer.get_vocab_size(),
        num_hidden_layers=2,
        num_key_value_heads=1,
        max_position_embeddings=128,
        initializer_range=0.2,
        tie_word_embeddings=request.param,
        **SIZES,
    )
    return str(save(random_network(LlamaForCausalLM, config), tokenizer, tmp_path_factory.mktemp("checkpoint")))


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
