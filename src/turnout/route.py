"""A route: router + pair + operating point. The same in Python, on the command line and in the gateway."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from turnout.artifacts import read_artifact
from turnout.calibration import Calibration
from turnout.errors import ArtifactError, InvalidValueError, UnknownNameError
from turnout.policy import Decision, Policy
from turnout.query import NO_TEXT, QueryPolicy, texts_to_score, weighted_mean
from turnout.routers.base import DEFAULT_ROUTER, Router, predict_for_pair, restore, router_folder
from turnout.types import Encoder, ModelPair, check_queries

if TYPE_CHECKING:  # the configuration brings the HTTP client with it, and deciding needs none
    from turnout.config import Config

DEFAULT_STRONG_FRACTION = 0.5


@dataclass(frozen=True)
class Route:
    """A fitted router, and the policy that turns its win rates into decisions."""

    router: Router
    policy: Policy
    calibration: Calibration | None = None
    """What win rates the router was seen to give; None if it was never calibrated."""
    query: QueryPolicy = "conversation"
    """What of a conversation `decide_messages` routes by."""
    strip_boilerplate: bool = True
    """Whether the router is spared what programs put into user turns."""

    @classmethod
    def load(
        cls,
        router: str | Path = DEFAULT_ROUTER,
        *,
        strong_fraction: float | None = None,
        threshold: float | None = None,
        pair: ModelPair | None = None,
        name: str | None = None,
        encoder: Encoder | None = None,
    ) -> Route:
        """The route of a shipped router's name or a router folder.

        Args:
            router: a shipped router's name, or a folder.
            strong_fraction: the largest share of queries to send to strong, in [0, 1]; 0.5 unless this or
                `threshold` is given. The router's own calibration turns it into a threshold.
            threshold: strong from this win rate on.
            pair: the models to choose between; by default those that the router was trained for. If the router
                does not know them, its win rates are those of its training pair (see `pair_scored`).
            name: the model name that clients ask for.
            encoder: see `Router.load`.

        Raises:
            InvalidValueError: both strong_fraction and threshold are given, or the fraction is outside [0, 1].
            ArtifactError: a strong fraction is wished for, but the router was never calibrated.
        """
        if strong_fraction is not None and threshold is not None:
            raise InvalidValueError("Give either strong_fraction or threshold, not both.")
        folder = router_folder(router)
        artifact = read_artifact(folder)
        fitted = restore(artifact, encoder=encoder)
        calibration = None if artifact.calibration is None else Calibration.from_json(artifact.calibration)
        if threshold is None:
            if calibration is None:
                raise ArtifactError(
                    f"The router at {folder} was never calibrated, so that no threshold is known for a strong "
                    f"fraction. Give a threshold, or calibrate it: turnout calibrate {folder} --queries FILE"
                )
            wish = DEFAULT_STRONG_FRACTION if strong_fraction is None else strong_fraction
            threshold = calibration.operating_point(wish).threshold
        return cls(fitted, Policy(pair or fitted.pair_, threshold, name), calibration)

    @classmethod
    def from_config(cls, config: Config, name: str) -> Route:
        """The route of this name in a gateway's configuration. No provider's key is read.

        Raises:
            UnknownNameError: the configuration has no such route.
            ArtifactError: its router cannot be loaded, or gives no threshold for the strong fraction.
        """
        if name not in config.routes:
            raise UnknownNameError("route", name, config.routes)
        settings = config.routes[name]
        route = cls.load(
            settings.router,
            strong_fraction=settings.strong_fraction,
            threshold=settings.threshold,
            pair=settings.pair,
            name=name,
        )
        return replace(route, query=settings.query, strip_boilerplate=settings.strip_boilerplate)

    @property
    def pair_scored(self) -> ModelPair:
        """The pair that the win rates are about: the policy's if the router knows it, else its training pair."""
        return predict_for_pair(self.router, [], self.policy.pair).pair

    def decide(self, queries: Sequence[str]) -> list[Decision]:
        """One decision for each query, in order.

        Raises:
            InvalidValueError: a query is not text, or one text is given instead of a sequence.
        """
        check_queries(queries)
        return self.policy.decide(predict_for_pair(self.router, queries, self.policy.pair).win_rates)

    def decide_messages(self, messages: Sequence[Mapping[str, Any]]) -> Decision:
        """The decision for one conversation, by the query that `turnout.query` makes of it.

        Args:
            messages: with `role` and `content` as OpenAI's chat completions have them, oldest first.

        A conversation without user text goes to strong: there is nothing to tell its win rate by.

        Raises:
            InvalidValueError: these are no messages.
        """
        if not all(isinstance(message, Mapping) for message in messages):  # the letters of a text are none
            raise InvalidValueError('Messages are written [{"role": "user", "content": "..."}], got something else.')
        texts = texts_to_score(self.query, messages, strip=self.strip_boilerplate)
        if not texts:
            return replace(self.policy.decide([math.nan])[0], reason=NO_TEXT)
        win_rates = predict_for_pair(self.router, texts, self.policy.pair).win_rates
        return self.policy.decide([weighted_mean(win_rates.tolist())])[0]
