"""RouteLLM's configuration: router name → the arguments that it is loaded with, as a dict or a YAML file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from turnout.errors import ConfigError, MissingExtraError
from turnout.types import JSON

RouterConfig = Mapping[str, Mapping[str, JSON]]

GPT_4_AUGMENTED_CONFIG: RouterConfig = MappingProxyType(
    {
        "sw_ranking": {
            "arena_battle_datasets": ["lmsys/lmsys-arena-human-preference-55k", "routellm/gpt4_judge_battles"],
            "arena_embedding_datasets": [
                "routellm/arena_battles_embeddings",
                "routellm/gpt4_judge_battles_embeddings",
            ],
        },
        "mf": {"checkpoint_path": "routellm/mf_gpt4_augmented"},
        "bert": {"checkpoint_path": "routellm/bert_gpt4_augmented"},
        "causal_llm": {"checkpoint_path": "routellm/causal_llm_gpt4_augmented"},
    }
)
"""The checkpoints and data sets that RouteLLM takes where no configuration is given."""


def read_config(path: str | Path) -> RouterConfig:
    """The configuration of a YAML file. Needs the extra `routellm` (PyYAML); only plain data is read.

    Raises:
        ConfigError: the file cannot be read, or is not router name → arguments.
        MissingExtraError: PyYAML is not installed.
    """
    try:
        import yaml
    except ImportError as error:
        raise MissingExtraError("pyyaml", extra="routellm", purpose="Reading a YAML configuration") from error
    try:
        value = yaml.safe_load(Path(path).read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path} cannot be read: {' '.join(str(error).split())}.") from error
    return check_config({} if value is None else value, where=f"{path}: ")


def check_config(value: JSON, *, where: str = "") -> RouterConfig:
    """The value, if it is router name → arguments.

    Raises:
        ConfigError: it is not.
    """
    if not isinstance(value, Mapping):
        raise ConfigError(f"{where}expected router names with arguments below them, got {type(value).__name__}.")
    for name, arguments in value.items():
        if not isinstance(name, str) or not isinstance(arguments, Mapping):
            raise ConfigError(f"{where}'{name}' must have arguments such as checkpoint_path below it.")
    return value
