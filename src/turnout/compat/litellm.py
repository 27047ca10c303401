"""Turnout inside LiteLLM (extra `litellm`): its proxy or its Router calls the models, Turnout says which of them.

Both doors are LiteLLM's documented ones. Each decides on the whole request, as the gateway would, and hands LiteLLM the
name of a model group: load balancing, cooldowns, retries and fallbacks stay LiteLLM's.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from turnout.config import Config, load_config
from turnout.errors import ConfigError, MissingExtraError
from turnout.gateway.choosing.chooser import Choice
from turnout.gateway.deciding import Decider
from turnout.gateway.errors import RequestError
from turnout.routers.base import Router

try:
    from litellm import BadRequestError
    from litellm.integrations.custom_logger import CustomLogger
    from litellm.types.router import CustomRoutingStrategyBase
except ImportError:
    raise MissingExtraError("litellm", extra="litellm", purpose="Deciding for LiteLLM") from None

_WEIGHED = (
    "functions",
    "input",
    "instructions",
    "max_completion_tokens",
    "max_output_tokens",
    "max_tokens",
    "messages",
    "output_config",
    "response_format",
    "text",
    "tools",
)
"""The fields that a decision depends on; LiteLLM's own stay out."""

_METADATA = ("litellm_metadata", "metadata")


class TurnoutHook(CustomLogger):  # type: ignore[misc]
    """A callback for LiteLLM's proxy: a request for one of Turnout's routes becomes one for the model it should go to.

    The answer's headers say what was decided, as the gateway's do. Whoever may ask the proxy for a route may thereby
    use both of its models.
    """

    def __init__(self, config: Config | str | Path, *, routers: Mapping[str, Router] | None = None) -> None:
        """Read the configuration and load its routers.

        Args:
            config: the configuration, or its file; its models are named as the proxy's model list names them.
            routers: fitted routers by the name that routes use, for those that come from no folder.
        """
        super().__init__()
        self._decisions = _Decisions(config, routers)

    async def async_pre_call_hook(
        self, user_api_key_dict: Any, cache: Any, data: dict[str, Any], call_type: str
    ) -> dict[str, Any]:
        """The request with the chosen model's name."""
        for name in _METADATA:
            if isinstance(data.get(name), dict):
                data[name].pop("turnout", None)  # a client's own must not become headers
        if self._decisions.are_for(data.get("model"), data):
            choice = await self._decisions.choose(data)
            data["model"] = choice.model.name
            place = next((name for name in _METADATA if isinstance(data.get(name), dict)), "metadata")
            data.setdefault(place, {})["turnout"] = {
                name.decode(): value.decode() for name, value in choice.headers(choice.model)
            }
        return data

    async def async_post_call_response_headers_hook(
        self, data: dict[str, Any], *args: Any, **more: Any
    ) -> dict[str, str] | None:
        """The headers of the answer."""
        for name in _METADATA:
            metadata = data.get(name)
            if isinstance(metadata, dict) and isinstance(metadata.get("turnout"), dict):
                return dict(metadata["turnout"])
        return None


class TurnoutStrategy(CustomRoutingStrategyBase):  # type: ignore[misc]
    """A routing strategy for `litellm.Router`: a request for a route gets a deployment of the model it should go to."""

    def __init__(
        self, router: Any, config: Config | str | Path, *, routers: Mapping[str, Router] | None = None
    ) -> None:
        """Read the configuration and load its routers.

        Args:
            router: LiteLLM's; give it the strategy with `router.set_custom_routing_strategy(strategy)`.
            config: as for `TurnoutHook`.
            routers: as for `TurnoutHook`.

        Raises:
            ConfigError: a route's model is none of the router's.
        """
        self._decisions = _Decisions(config, routers)
        _check_names(self._decisions.config, router.get_model_names())
        # What the strategy takes the place of, and still leaves the choice among a model's deployments to.
        self._pick, self._pick_async = router.get_available_deployment, router.async_get_available_deployment

    async def async_get_available_deployment(
        self, model: str, *args: Any, messages: Any = None, input: Any = None, request_kwargs: Any = None, **more: Any
    ) -> Any:
        """A deployment of the chosen model."""
        body = _body(model, messages, input, request_kwargs)
        if self._decisions.are_for(model, body):
            model = (await self._decisions.choose(body)).model.name
        return await self._pick_async(
            model, *args, messages=messages, input=input, request_kwargs=request_kwargs, **more
        )

    def get_available_deployment(
        self, model: str, *args: Any, messages: Any = None, input: Any = None, request_kwargs: Any = None, **more: Any
    ) -> Any:
        """The same for calls that wait."""
        body = _body(model, messages, input, request_kwargs)
        if self._decisions.are_for(model, body):
            model = self._decisions.choose_now(body).model.name
        return self._pick(model, *args, messages=messages, input=input, request_kwargs=request_kwargs, **more)


class _Decisions:
    """A decider on an event loop of its own: LiteLLM calls from any loop, and from threads that have none."""

    def __init__(self, config: Config | str | Path, routers: Mapping[str, Router] | None) -> None:
        self.config = config if isinstance(config, Config) else load_config(config)
        self._decider = Decider.from_config(self.config, routers=routers)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._starting = threading.Lock()

    def are_for(self, model: Any, body: Mapping[str, Any]) -> bool:
        """Whether a request asks for a route, with something to route by."""
        return model in self.config.routes and (body.get("messages") is not None or body.get("input") is not None)

    async def choose(self, body: Mapping[str, Any]) -> Choice:
        try:
            return await asyncio.wrap_future(self._begin(body))
        except RequestError as error:
            raise _refusal(error, body) from error

    def choose_now(self, body: Mapping[str, Any]) -> Choice:
        try:
            return self._begin(body).result()
        except RequestError as error:
            raise _refusal(error, body) from error

    def _begin(self, body: Mapping[str, Any]) -> Future[Choice]:
        weighed = {name: body[name] for name in ("model", *_WEIGHED) if body.get(name) is not None}
        return asyncio.run_coroutine_threadsafe(self._decider.decide(weighed), self._running())

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._starting:
            if self._loop is None:  # begun late, since a server may fork after it has read its configuration
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=self._loop.run_forever, name="turnout-litellm", daemon=True).start()
            return self._loop


def _body(model: str, messages: Any, input: Any, request_kwargs: Any) -> dict[str, Any]:
    given = {"messages": messages} if messages is not None else {"input": input}
    return {**(request_kwargs or {}), "model": model, **given}


def _refusal(error: RequestError, body: Mapping[str, Any]) -> Exception:
    refusal: Exception = BadRequestError(message=error.message, model=str(body.get("model")), llm_provider="turnout")
    return refusal


def _check_names(config: Config, known: Iterable[str]) -> None:
    names = set(known)
    for route in config.routes.values():
        for model in (route.pair.strong, route.pair.weak):
            if model not in names:
                raise ConfigError(
                    f"[routes.{route.name}]: LiteLLM's model list has no '{model}'. Name the models of the "
                    f"configuration as it does: {', '.join(sorted(names)) or 'none'}."
                )
