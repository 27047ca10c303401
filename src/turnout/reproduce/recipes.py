"""Which routers are run, under which settings, and which of the paper's routers each is beside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import get_args

from turnout import registry
from turnout.reproduce.paper import BERT, CAUSAL_LLM, MF, SW
from turnout.routers.base import learns_many_models
from turnout.routers.learning.similarity_weights import Similarity
from turnout.routers.matrix_factorization import MatrixFactorization
from turnout.types import JSON

DEFAULT_ROUTERS = ("knn", "mf", "sw")


@dataclass(frozen=True)
class Recipe:
    """A router with its settings."""

    label: str
    router: str
    """The registered name."""
    settings: Mapping[str, JSON] = field(default_factory=dict)
    """The others are the defaults."""
    paper: str | None = None
    """Its name in the paper's tables."""

    @property
    def shown_settings(self) -> dict[str, JSON]:
        """The settings for the report, which does not tell where files lie on a machine."""
        return {key: without_folder(value) if isinstance(value, str) else value for key, value in self.settings.items()}

    @property
    def knows_models(self) -> bool:
        """Whether it learns about models, and can be asked about any pair of them."""
        return learns_many_models(registry.load("router", self.router))


_KNOWN: Mapping[str, tuple[Recipe, ...]] = {
    "mf": (Recipe("mf (paper preset)", "mf", MatrixFactorization.PRESETS["paper"], MF), Recipe("mf", "mf", {}, MF)),
    "sw": tuple(Recipe(f"sw ({form})", "sw", {"similarity": form}, SW) for form in get_args(Similarity)),
    "bert": (Recipe("bert", "bert", {}, BERT),),
    "causal-llm": (Recipe("causal-llm", "causal-llm", {}, CAUSAL_LLM),),
}


def without_folder(text: str) -> str:
    """The last part of an absolute path; any other text as it is, such as a name on the hub.

    >>> without_folder("/home/me/models/minilm"), without_folder("google-bert/bert-base-uncased")
    ('minilm', 'google-bert/bert-base-uncased')
    """
    return Path(text).name if Path(text).is_absolute() else text


def recipes_for(names: Sequence[str], settings: Mapping[str, Mapping[str, JSON]]) -> list[Recipe]:
    """The recipes of these routers, in order; the settings given come on top of each recipe's own.

    Raises:
        UnknownNameError: no router has this name.
    """
    recipes: list[Recipe] = []
    for name in dict.fromkeys(names):
        registry.load("router", name)
        for recipe in _KNOWN.get(name, (Recipe(name, name),)):
            recipes.append(replace(recipe, settings={**recipe.settings, **settings.get(name, {})}))
    return recipes
