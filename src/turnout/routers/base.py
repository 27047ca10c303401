"""What every router is: settings, `fit`, `predict_win_rate`, and a folder to be saved to and loaded from."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self, cast, runtime_checkable

import numpy as np

from turnout import registry
from turnout._version import __version__
from turnout.artifacts import Artifact, read_artifact, write_artifact
from turnout.data.battles import Battles
from turnout.errors import (
    ArtifactError,
    EmptyDataError,
    EncoderMismatchError,
    InvalidValueError,
    NotFittedError,
    UnknownNameError,
)
from turnout.types import JSON, Encoder, FloatArray, IntArray, ModelPair

DEFAULT_ROUTER = "default"
"""The name of the shipped router that is used when none is named."""


class Router(ABC):
    """Estimates how likely the strong model's answer would be preferred, for each query.

    The life cycle is scikit-learn's: `__init__` stores settings, `fit` learns and returns self, learned attributes
    end in `_`. Whatever `fit` stores in such attributes (arrays, dicts of named arrays, numbers, text, lists, dicts) is
    saved and loaded without further code.
    """

    name: ClassVar[str]
    """The registered name, such as `mf`."""

    pair_: ModelPair
    """The pair that the router was trained for."""

    seen_queries_: IntArray
    """Fingerprints of the queries it learned from (`data.split.fingerprints`), where they are known: no evaluation
    tests it on them."""

    @abstractmethod
    def fit(self, battles: Battles) -> Self:
        """Learn from battles whose pair is settled (`Battles.for_pair`, `Battles.with_pair`).

        Raises:
            EmptyDataError: there is no battle.
            InvalidValueError: the pair is not settled.
        """

    @abstractmethod
    def predict_win_rate(self, queries: Sequence[str]) -> FloatArray:
        """P(strong preferred) + P(tie)/2 for each query, shape (n_queries,), in [0, 1].

        Raises:
            NotFittedError: called before `fit`.
            InvalidValueError: `queries` is one text, not a sequence of texts; see `turnout.types.check_queries`.
        """

    def save(
        self,
        folder: str | Path,
        *,
        card: str = "",
        calibration: Mapping[str, JSON] | None = None,
        extra: Mapping[str, JSON] | None = None,
    ) -> None:
        """Write the fitted router to a folder, whole or not at all.

        Args:
            folder: replaced if it is there.
            card: Markdown that says what the router was trained on and what it is worth.
            calibration: `Calibration.to_json()`.
            extra: facts for people and tools, such as the data and its licences.
        """
        check_fitted(self, "pair_")
        encoder = getattr(self, "encoder", None)
        arrays, learned = self._learned()
        write_artifact(
            folder,
            Artifact(
                router=self.name,
                settings={key: value for key, value in settings_of(self).items() if key != "encoder"},
                learned=learned,
                arrays=arrays,
                encoder=None if encoder is None else describe_encoder(encoder),
                turnout_version=__version__,
                calibration=calibration,
                card=card,
                extra=extra or {},
            ),
        )

    def _learned(self) -> tuple[dict[str, np.ndarray[Any, Any]], dict[str, JSON]]:
        arrays: dict[str, np.ndarray[Any, Any]] = {}
        learned: dict[str, JSON] = {}
        for key, value in vars(self).items():
            if not key.endswith("_"):
                continue
            if isinstance(value, np.ndarray):
                arrays[key] = value
            elif isinstance(value, dict) and value and all(isinstance(part, np.ndarray) for part in value.values()):
                arrays |= {f"{key}/{name}": part for name, part in value.items()}
            elif isinstance(value, ModelPair):
                learned[key] = {"strong": value.strong, "weak": value.weak}
            else:
                learned[key] = value
        return arrays, learned

    @staticmethod
    def load(name_or_folder: str | Path = DEFAULT_ROUTER, *, encoder: Encoder | None = None) -> Router:
        """The fitted router of a folder, or a shipped one by name.

        Args:
            name_or_folder: a shipped router's name (see `shipped_routers`), or a folder that `save` wrote.
            encoder: the encoder that the router was trained with, if it is to be shared or wrapped in a cache;
                by default it is built from the folder's description.

        Raises:
            ArtifactError: the folder is absent, damaged, or of a router that is not installed.
            EncoderMismatchError: the encoder is not the one that the router was trained with.
        """
        return restore(read_artifact(router_folder(name_or_folder)), encoder=encoder)


def restore(artifact: Artifact, *, encoder: Encoder | None = None) -> Router:
    """The fitted router that an artifact describes; see `Router.load`."""
    router_class = registry.load("router", artifact.router)
    settings = dict(artifact.settings)
    try:
        if artifact.encoder is not None:
            settings["encoder"] = _matching_encoder(artifact.encoder, encoder)
        router = router_class(**settings)
    except TypeError as error:
        raise ArtifactError(
            f"The router '{artifact.router}' of this version does not take the saved settings ({error}). Train it anew."
        ) from error
    for key, value in artifact.learned.items():
        setattr(router, key, _pair(value) if key == "pair_" else value)
    for key, array in artifact.arrays.items():
        attribute, slash, part = key.partition("/")
        if slash:  # one of a dict of named arrays
            vars(router).setdefault(attribute, {})[part] = array
        else:
            setattr(router, key, array)
    return cast("Router", router)


def _pair(value: JSON) -> ModelPair:
    try:
        return ModelPair(strong=value["strong"], weak=value["weak"])
    except (TypeError, KeyError, ValueError) as error:
        raise ArtifactError(f"The saved pair {value!r:.100} is damaged: train the router anew.") from error


def describe_encoder(encoder: Encoder) -> dict[str, JSON]:
    """The encoder's name, identity and settings, from which `restore` builds it again."""
    inner = getattr(encoder, "inner", encoder)  # what a cache wraps is what must be there again
    return {"name": inner.name, "identity": inner.identity, "settings": settings_of(inner)}


def _matching_encoder(described: Mapping[str, JSON], given: Encoder | None) -> Encoder:
    encoder = given
    if encoder is None:
        encoder = cast("Encoder", registry.load("encoder", described["name"])(**described["settings"]))
    if encoder.identity != described["identity"]:
        raise EncoderMismatchError(described["identity"], encoder.identity)
    return encoder


def settings_of(thing: object) -> dict[str, Any]:
    """The arguments of a thing's `__init__`, read from the attributes of the same names."""
    return {name: getattr(thing, name) for name in inspect.signature(type(thing)).parameters}


def check_fitted(router: object, *attributes: str) -> None:
    """Raise NotFittedError unless the router has all these learned attributes."""
    if not all(hasattr(router, name) for name in attributes):
        raise NotFittedError(f"router '{getattr(router, 'name', type(router).__name__)}'")


def check_trainable(battles: Battles) -> ModelPair:
    """The pair of the battles, or the error that every router's `fit` raises for data it cannot learn from."""
    if not len(battles):
        raise EmptyDataError("There is no battle to learn from: the data set is empty.")
    if battles.pair is None:
        raise InvalidValueError(
            f"It is not said which of the {len(battles.models)} models in these battles is strong and which is "
            "weak. Call battles.for_pair(ModelPair(strong, weak)), or battles.with_pair(...) to keep all battles."
        )
    return battles.pair


def check_known(pair: ModelPair, models: Sequence[str], kind: str) -> None:
    """Raise UnknownNameError unless both models are among these, which are of this kind ("model in these battles")."""
    for name in (pair.strong, pair.weak):
        if name not in models:
            raise UnknownNameError(kind, name, models)


@runtime_checkable
class KnowsModels(Protocol):
    """A router that has learned about models, and can score any pair of them."""

    models_: Sequence[str]

    def predict_win_rate(self, queries: Sequence[str], *, pair: ModelPair | None = None) -> FloatArray:
        """As `Router.predict_win_rate`, for the pair asked about; None means the pair it was trained for."""
        ...


@dataclass(frozen=True)
class Neighbor:
    """A training query that resembles a query."""

    cosine: float
    """Of the two queries' vectors, in [-1, 1]."""
    share: float
    """The strong model's share of its battles, in [0, 1]."""
    votes: float
    """How much it counts, in units of the mean battle."""


@runtime_checkable
class RemembersQueries(Protocol):
    """A router that decides by training queries, and can show them; of their texts it keeps none."""

    def neighbors(self, query: str, n: int) -> list[Neighbor]:
        """The n training queries that resemble the query most, nearest first."""
        ...


@runtime_checkable
class LearnsTemplates(Protocol):
    """A router that can cut off what a route's queries come wrapped in: a system prompt, examples."""

    templates_: list[dict[str, JSON]]
    """What it cuts off, in order."""

    def for_route(self, queries: Sequence[str]) -> Router:
        """The same router, which also cuts off what most of these queries share; nothing new if that is nothing."""
        ...


class Estimates(Protocol):
    """Win rates, and how far each can be trusted."""

    @property
    def win_rates(self) -> FloatArray:
        """Shape (n_queries,), in [0, 1]: as `predict_win_rate`."""
        ...

    @property
    def novelty(self) -> FloatArray:
        """Shape (n_queries,): above 1 the query is unlike the training data, and drawn to the training mean."""
        ...


@runtime_checkable
class KnowsWhatIsNew(Protocol):
    """A router that says which queries are unlike what it learned from."""

    def predict_with_uncertainty(self, queries: Sequence[str]) -> Estimates:
        """Win rates, and how far each can be trusted."""
        ...


@dataclass(frozen=True)
class PairWinRates:
    """Win rates, and the pair that they are about."""

    win_rates: FloatArray
    """Shape (n_queries,), in [0, 1]."""
    pair: ModelPair
    """The pair that was scored."""
    fell_back: bool
    """Whether that is the router's training pair instead of the pair asked for."""


def learns_many_models(router: Router) -> bool:
    """Whether the router learns from battles between any models, fitted or not; others need those of their pair."""
    return "pair" in inspect.signature(router.predict_win_rate).parameters


def for_training(battles: Battles, pair: ModelPair, router: Router) -> Battles:
    """The battles that this router can learn this pair from: all of them if it learns about many models.

    Raises:
        UnknownNameError, EmptyDataError: a model of the pair is in no battle; or the two never met, and the router
            learns from nothing else (see `Battles.for_pair`).
    """
    if not learns_many_models(router):
        return battles.for_pair(pair)
    if len(battles):
        check_known(pair, battles.models, "model in these battles")
    return battles.with_pair(pair)


def predict_for_pair(router: Router, queries: Sequence[str], pair: ModelPair) -> PairWinRates:
    """Win rates of the pair asked about if the router knows both models, else of its training pair; it says which."""
    if pair == router.pair_:
        return PairWinRates(router.predict_win_rate(queries), pair, fell_back=False)
    # A protocol's isinstance takes longer than some routers do, so the attribute is asked for first.
    asked = {pair.strong, pair.weak}
    if hasattr(router, "models_") and isinstance(router, KnowsModels) and asked <= set(router.models_):
        return PairWinRates(router.predict_win_rate(queries, pair=pair), pair, fell_back=False)
    return PairWinRates(router.predict_win_rate(queries), router.pair_, fell_back=True)


def shipped_routers() -> dict[str, Path]:
    """Name → folder of the routers that come with the package."""
    home = Path(str(files("turnout.routers"))) / "shipped"
    if not home.is_dir():
        return {}
    return {folder.name: folder for folder in sorted(home.iterdir()) if (folder / "router.json").exists()}


def router_folder(name_or_folder: str | Path) -> Path:
    """The folder of a shipped router's name, or the folder itself.

    Raises:
        UnknownNameError: it is neither; the message suggests the nearest shipped name.
    """
    shipped = shipped_routers()
    if str(name_or_folder) in shipped:
        return shipped[str(name_or_folder)]
    folder = Path(name_or_folder)
    if not folder.exists() and len(folder.parts) == 1:
        raise UnknownNameError("shipped router or router folder", str(name_or_folder), shipped)
    return folder
