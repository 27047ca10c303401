"""RouteLLM's `Controller`: decides by `router-NAME-THRESHOLD`, and asks the model that was chosen."""

from __future__ import annotations

import asyncio
import sys
import threading
import warnings
import weakref
from collections import defaultdict
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

import numpy as np

from turnout.call_limits import TimeLimits
from turnout.chat_client import ChatClient, ConnectionPool
from turnout.compat.routellm.answers import Answer
from turnout.compat.routellm.checkpoints import is_released, load_router
from turnout.compat.routellm.configuration import GPT_4_AUGMENTED_CONFIG, RouterConfig, check_config, read_config
from turnout.compat.routellm.model_names import address_of
from turnout.errors import InvalidValueError
from turnout.policy import Policy
from turnout.routers.base import Router, predict_for_pair
from turnout.types import FloatArray, ModelPair

Value = TypeVar("Value")


class RoutingError(InvalidValueError):
    """A request names no router, an unknown one, or a threshold outside [0, 1]."""


class Controller:
    """A drop-in for RouteLLM's class of this name, and for an OpenAI client.

    Calls are made from one background thread with one pool of connections, so that the plain and the asynchronous calls
    work from any thread and any event loop.
    """

    def __init__(
        self,
        routers: Sequence[str],
        strong_model: str,
        weak_model: str,
        config: RouterConfig | str | Path | None = None,
        api_base: str | None = None,
        api_key: str | None = None,
        progress_bar: bool = False,
    ) -> None:
        """Load the routers.

        Args:
            routers: names of RouteLLM (`mf`, `bert`, `causal_llm`, `sw_ranking`, `random`), shipped routers or router
                folders.
            strong_model: as LiteLLM writes it, such as `gpt-4-1106-preview` or `anyscale/mistralai/Mixtral-8x7B…`.
            weak_model: the same.
            config: router name → arguments, or a YAML file of that; by default RouteLLM's own checkpoints, which are
                fetched from the hub the first time, and data sets, whose terms `turnout data pull` shows.
            api_base: the address of both models, instead of their providers'.
            api_key: the key for both.
            progress_bar: whether to say on stderr what is being loaded.
        """
        self.model_pair = ModelPair(strong_model, weak_model)
        self.api_base = api_base
        self.api_key = api_key
        self.model_counts: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        if config is None:
            arguments = GPT_4_AUGMENTED_CONFIG
        else:
            arguments = read_config(config) if isinstance(config, str | Path) else check_config(config)
        self.routers: dict[str, Router] = {}
        for name in routers:
            if progress_bar:
                print(f"Loading {name}", file=sys.stderr)  # noqa: T201 - asked for
            self.routers[name] = load_router(name, arguments.get(name))
        self._calls = _Calls()
        self._warned: set[str] = set()
        self.chat = SimpleNamespace(completions=SimpleNamespace(create=self.completion, acreate=self.acompletion))

    def route(self, prompt: str, router: str, threshold: float) -> str:
        """The model that a prompt goes to: strong if its win rate is at or above the threshold.

        Raises:
            RoutingError: there is no such router, or the threshold is outside [0, 1].
        """
        self._check(router, threshold)
        policy = Policy(self.model_pair, threshold)
        return policy.decide(self._win_rates([prompt], router))[0].model

    def batch_calculate_win_rate(self, prompts: Any, router: str) -> Any:
        """The strong model's win rate for each prompt, in [0, 1]: a Series for a Series, else an array.

        1 where the router gives none, as in the released code.

        Raises:
            RoutingError: there is no such router.
        """
        self._check(router, None)
        rates = np.nan_to_num(self._win_rates([str(prompt) for prompt in prompts], router), nan=1.0)
        if hasattr(prompts, "to_numpy") and hasattr(prompts, "index"):  # a pandas Series, which is not imported here
            return type(prompts)(rates, index=prompts.index)
        return rates

    def completion(self, *, router: str | None = None, threshold: float | None = None, **request: Any) -> Any:
        """As OpenAI's `chat.completions.create`: an `Answer`, or with stream=True an iterator of them.

        Args:
            router: with `threshold`, instead of a model name such as `router-mf-0.11593`.
            threshold: see `route`.
            **request: the body. `timeout` (seconds) stays here; what is None is left out.

        Raises:
            RoutingError: see `route`; or there are no messages.
            UpstreamError: the provider did not answer as it should.
        """
        body, limits = _body(request)
        name, threshold = self._parse(request.get("model"), router, threshold)
        client = self._client_for(self._choose(body["messages"], name, threshold), body, limits)
        if body.pop("stream", False):
            return self._calls.iterate(_stream(client, body))
        return Answer(self._calls.run(_ask(client, body)))

    async def acompletion(self, *, router: str | None = None, threshold: float | None = None, **request: Any) -> Any:
        """As `completion`, awaited; with stream=True an asynchronous iterator."""
        body, limits = _body(request)
        name, threshold = self._parse(request.get("model"), router, threshold)
        chosen = await asyncio.to_thread(self._choose, body["messages"], name, threshold)
        client = self._client_for(chosen, body, limits)
        if body.pop("stream", False):
            return self._calls.aiterate(_stream(client, body))
        return Answer(await self._calls.arun(_ask(client, body)))

    def _choose(self, messages: Sequence[Mapping[str, Any]], router: str, threshold: float) -> str:
        chosen = self.route(_prompt(messages[-1]), router, threshold)
        self.model_counts[router][chosen] += 1
        return chosen

    def _win_rates(self, prompts: Sequence[str], name: str) -> FloatArray:
        router = self.routers[name]
        if is_released(router):  # it scores the pair that it was trained on, whatever is served
            return router.predict_win_rate(prompts)
        return predict_for_pair(router, prompts, self.model_pair).win_rates

    def _parse(self, model: str | None, router: str | None, threshold: float | None) -> tuple[str, float]:
        if model is not None:
            prefix, _, rest = model.partition("-")
            name, _, number = rest.rpartition("-")
            if prefix != "router" or not name:
                raise RoutingError(f"The model must be written router-NAME-THRESHOLD, got '{model}'.")
            try:
                router, threshold = name, float(number)
            except ValueError as error:
                raise RoutingError(f"The threshold in '{model}' must be a number, got '{number}'.") from error
        if router is None or threshold is None:
            raise RoutingError("Give a model such as router-mf-0.11593, or a router and a threshold.")
        self._check(router, threshold)
        return router, threshold

    def _check(self, name: str, threshold: float | None) -> None:
        if name not in self.routers:
            raise RoutingError(f"There is no router '{name}' here. There are: {', '.join(self.routers)}.")
        if threshold is None:
            return
        if not 0 <= threshold <= 1:  # NaN fails too
            raise RoutingError(f"The threshold must be in [0, 1], got {threshold}.")
        if not is_released(self.routers[name]) and name not in self._warned:
            self._warned.add(name)
            warnings.warn(
                f"'{name}' is not a checkpoint of RouteLLM's: a threshold that was calibrated for one sends another "
                f"share of the queries to '{self.model_pair.strong}'. Find this router's own with `turnout calibrate`.",
                stacklevel=3,
            )

    def _client_for(self, model: str, body: dict[str, Any], limits: TimeLimits | None) -> ChatClient:
        address = address_of(model, api_base=self.api_base, api_key=self.api_key)
        body["model"] = address.model
        return ChatClient(address.base_url, api_key=address.api_key, pool=self._calls.pool, limits=limits)


def _body(request: Mapping[str, Any]) -> tuple[dict[str, Any], TimeLimits | None]:
    body = {key: value for key, value in request.items() if value is not None and key != "model"}
    messages = body.get("messages")
    if not isinstance(messages, Sequence) or not messages or not isinstance(messages[-1], Mapping):
        raise RoutingError("messages must be a list of at least one message with role and content.")
    timeout = body.pop("timeout", None)
    limits = None if timeout is None else TimeLimits(first_byte_s=float(timeout), whole_s=float(timeout))
    return body, limits


def _prompt(message: Mapping[str, Any]) -> str:
    """The text of the last message, whoever wrote it and however long it is: what RouteLLM reads."""
    content = message.get("content")
    if isinstance(content, list):
        texts = (part.get("text") for part in content if isinstance(part, Mapping))
        return "\n".join(text for text in texts if isinstance(text, str))
    return content if isinstance(content, str) else ""


async def _ask(client: ChatClient, body: Mapping[str, Any]) -> dict[str, Any]:
    return await client.ask(body)


async def _stream(client: ChatClient, body: Mapping[str, Any]) -> AsyncIterator[Answer]:
    async for chunk in client.stream(body):
        yield Answer(chunk)


class _Calls:
    """An event loop in a background thread, started at the first call and stopped with its owner."""

    def __init__(self) -> None:
        self.pool = ConnectionPool()
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    def run(self, call: Coroutine[Any, Any, Value]) -> Value:
        return asyncio.run_coroutine_threadsafe(call, self._running()).result()

    async def arun(self, call: Coroutine[Any, Any, Value]) -> Value:
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(call, self._running()))

    def iterate(self, chunks: AsyncIterator[Answer]) -> Iterator[Answer]:
        try:
            while (chunk := self.run(_next(chunks))) is not None:
                yield chunk
        finally:
            self.run(_close(chunks))

    async def aiterate(self, chunks: AsyncIterator[Answer]) -> AsyncIterator[Answer]:
        try:
            while (chunk := await self.arun(_next(chunks))) is not None:
                yield chunk
        finally:
            await self.arun(_close(chunks))

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                thread = threading.Thread(target=_serve, args=(self._loop, self.pool), daemon=True)
                thread.start()
                weakref.finalize(self, self._loop.call_soon_threadsafe, self._loop.stop)
            return self._loop


def _serve(loop: asyncio.AbstractEventLoop, pool: ConnectionPool) -> None:
    asyncio.set_event_loop(loop)
    loop.run_forever()
    loop.run_until_complete(pool.aclose())
    loop.close()


async def _next(chunks: AsyncIterator[Answer]) -> Answer | None:
    return await anext(chunks, None)


async def _close(chunks: Any) -> None:
    await chunks.aclose()
