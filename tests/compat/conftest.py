"""Checkpoints in RouteLLM's layouts, of tiny sizes and random weights, and a provider of answers and vectors."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file
from scripted_provider import Provider, Request, default_reply, plain
from tiny_networks import SIZES, random_network, save, save_tokenizer, word_tokenizer

from turnout.encoders.hashing import HashingEncoder

DIM, N_INPUTS = 8, 12
PROMPT_FILES = {
    "system_ft_v5.txt": "[Instruction]\nSay how well an assistant will answer. Scores are [[1]] to [[5]].\n",
    "classifier_ft_v5.txt": "[Question]\n{question}\n\nPrediction:\n",
}


@pytest.fixture
def mf_weights() -> dict[str, Any]:
    random = np.random.default_rng(0)
    shapes = {"P.weight": (64, DIM), "text_proj.0.weight": (DIM, N_INPUTS), "classifier.0.weight": (1, DIM)}
    return {name: random.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


@pytest.fixture
def mf_folder(mf_weights: dict[str, Any], tmp_path: Path) -> Path:
    folder = tmp_path / "mf"
    folder.mkdir()
    save_file(mf_weights, folder / "model.safetensors")
    return folder


@pytest.fixture(scope="session")
def bert_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sequence classifier of three labels, with its tokenizer."""
    pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    tokenizer = word_tokenizer(["prove", "that", "poem", "hello", "a", "b", "c", "?"], closed=True)
    config = transformers.BertConfig(
        vocab_size=tokenizer.get_vocab_size(),
        num_hidden_layers=1,
        max_position_embeddings=24,
        initializer_range=1.0,
        num_labels=3,
        **SIZES,
    )
    network = random_network(transformers.BertForSequenceClassification, config)
    return save(network, tokenizer, tmp_path_factory.mktemp("bert"), model_max_length=24)


@pytest.fixture(scope="session")
def causal_folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(checkpoint, tokenizer): a causal model with its prompt and no tokenizer; the tokenizer without labels."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    special = ["<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<|end_of_text|>"]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"\w+|[^\w\s]+\n*|\s+"), "isolated"),
            pre_tokenizers.ByteLevel(False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    texts = ["[Question]\nWhat is a river?\n\nPrediction:", "Is it so?\n\nPrediction:", "system user assistant"] * 20
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<|begin_of_text|> $A", special_tokens=[("<|begin_of_text|>", 0)]
    )
    n_words = tokenizer.get_vocab_size()
    config = transformers.LlamaConfig(
        vocab_size=n_words + 5,
        num_hidden_layers=1,
        max_position_embeddings=512,
        initializer_range=0.5,
        tie_word_embeddings=False,
        bos_token_id=0,
        eos_token_id=4,
        **SIZES,
    )
    network = random_network(transformers.LlamaForCausalLM, config, seed=1)
    with torch.no_grad():
        network.lm_head.weight[n_words:] *= 1.3  # a label is likeliest now and then
    folder, tokenizer_folder = tmp_path_factory.mktemp("causal"), tmp_path_factory.mktemp("tokenizer")
    network.save_pretrained(folder)
    for name, text in PROMPT_FILES.items():
        (folder / name).write_text(text)
    save_tokenizer(tokenizer, tokenizer_folder, eos_token="<|end_of_text|>", bos_token="<|begin_of_text|>")
    return folder, tokenizer_folder


async def chat_or_vectors(provider: Provider, request: Request, writer: asyncio.StreamWriter) -> None:
    """A provider of chat completions that has embeddings too."""
    if not request.path.endswith("/embeddings"):
        return await default_reply(provider, request, writer)
    vectors = HashingEncoder(dim=N_INPUTS).encode(request.body["input"])
    data = [{"index": i, "embedding": vector.tolist()} for i, vector in enumerate(vectors)]
    return await plain({"data": data})(provider, request, writer)


@pytest.fixture
async def provider(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Provider]:
    async with Provider(default=chat_or_vectors) as running:
        for variable in ("OPENAI_API_KEY", "ANYSCALE_API_KEY"):
            monkeypatch.setenv(variable, f"sk-{variable.lower()}")
        monkeypatch.setenv("OPENAI_BASE_URL", running.base_url)
        monkeypatch.setenv("ANYSCALE_API_BASE", running.base_url)
        yield running
