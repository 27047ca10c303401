"""Asking models many things: concurrent, within rate limits and a budget, and each answer stored as it comes.

The one engine behind `turnout collect` and `turnout data judge`. A call whose reply is in the replies file is not made
again, so a run that was killed, ran out of budget or lost its provider goes on when it is started again.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import aiohttp
import orjson

from turnout.call_limits import Retries, TimeLimits
from turnout.chat_client import ChatClient, ConnectionPool
from turnout.config import ModelConfig
from turnout.data.budget import Budget
from turnout.data.rate_limit import RateLimit, Taken
from turnout.data.replies import CallName, Replies, Reply
from turnout.errors import (
    ConfigError,
    InvalidValueError,
    TurnoutError,
    UnknownNameError,
    UpstreamError,
    UpstreamProtocolError,
    UpstreamStatusError,
    UpstreamUnreachableError,
)
from turnout.types import JSON, Item

Messages = Sequence[Mapping[str, str]]
"""A conversation: objects with role and content."""

_TOKENS_AROUND_A_MESSAGE = 16
"""More than any chat template that we know adds."""

_NEVER_RIGHT = {
    401: "the key was refused: check the environment variable that api_key_env names",
    403: "the key may not use this model: check api_key_env and upstream_model",
    404: "there is no such address or model: check base_url and upstream_model",
}
"""Statuses that no later call will be spared."""

_EXCERPT_CHARACTERS = 200

_FILLER = "word "
"""What stands for a token of a reply in a dry run, where a later call quotes it."""


class _StoppedError(TurnoutError):
    """The run has ended: what is not stored is not asked."""


@dataclass(frozen=True, slots=True)
class AskingSettings:
    """How models are asked."""

    concurrency: int = 8
    """Calls under way at once, for all models together."""
    requests_per_minute: int | None = None
    """For each model, in any 60 seconds."""
    tokens_per_minute: int | None = None
    """For each model, in any 60 seconds, read and written. A call counts with the most it may take until it is done."""
    budget_usd: float | None = None
    """The most that all calls in the replies file may cost together; needs prices in the configuration."""
    body: Mapping[str, JSON] = field(default_factory=lambda: {"max_tokens": 1024, "temperature": 0})
    """Fields of each request besides model and messages."""
    retries: Retries = field(default_factory=lambda: Retries(most=5, first_wait_s=1.0, longest_wait_s=60.0))
    limits: TimeLimits = field(default_factory=TimeLimits)
    max_answer_bytes: int = 32 << 20
    most_failures_in_a_row: int = 20
    """After so many, retries not counted, the run ends: the provider is not there."""
    dry_run: bool = False
    """Make no call: count those that would be made, and their worst case, in the tally."""

    def __post_init__(self) -> None:
        for name in ("concurrency", "requests_per_minute", "tokens_per_minute", "most_failures_in_a_row"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InvalidValueError(f"{name} must be at least 1, got {value}.")

    @property
    def most_output_tokens(self) -> int | None:
        """The most that a reply may have by the request's own fields; None if they do not say."""
        for key in ("max_completion_tokens", "max_tokens"):
            if (value := self.body.get(key)) is not None:
                if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                    raise InvalidValueError(f"{key} must be a whole number, at least 1, got {value!r}.")
                return value
        return None


@dataclass(slots=True)
class _Model:
    """One model, with what keeps its calls apart."""

    config: ModelConfig
    client: ChatClient
    requests: RateLimit | None
    tokens: RateLimit | None
    not_before: float = 0.0
    """When its provider wants to hear from us again, by the clock of `time.monotonic`."""
    failures_in_a_row: int = 0


@dataclass(slots=True)
class Tally:
    """What a run has done so far."""

    asked: int = 0
    """Replies that came in this run."""
    stored: int = 0
    """Replies that were in the file already."""
    retries: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    """Model and problem → calls given up for it, retries included. The next run makes them again."""
    would_ask: int = 0
    """Calls that a dry run did not make."""
    would_cost_usd: float = 0.0
    """The most that they might have cost, of the models that have a price."""

    @property
    def n_failed(self) -> int:
        """Calls given up."""
        return self.failed.total()


class Asking:
    """Models that can be asked, with everything stored. Use it as `async with`, inside one event loop."""

    def __init__(self, models: Iterable[ModelConfig], replies: Replies, settings: AskingSettings | None = None) -> None:
        """Set up; makes no call.

        Raises:
            ConfigError: a key's environment variable is not set, or a budget is given and a model has no price.
            InvalidValueError: a budget or a token rate is given, but no bound on what a reply may take.
        """
        self.settings = settings or AskingSettings()
        self.replies = replies
        self.tally = Tally()
        self.budget = Budget(self.settings.budget_usd, spent_usd=replies.charged_usd)
        self._pool = ConnectionPool(max_connections=self.settings.concurrency)
        self._models = {model.name: self._opened(model) for model in models}
        self._stopped_by: TurnoutError | None = None
        bounded = self.settings.budget_usd is not None or self.settings.tokens_per_minute is not None
        if bounded and self.settings.most_output_tokens is None:
            raise InvalidValueError(
                "A budget or a token rate needs a bound on what a reply may take: max_tokens or max_completion_tokens."
            )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._pool.aclose()

    def _opened(self, model: ModelConfig) -> _Model:
        settings = self.settings
        if settings.budget_usd is not None and model.price is None:
            raise ConfigError(
                f"[models.{model.name}]: a budget needs a price: set usd_per_million_input_tokens and "
                "usd_per_million_output_tokens (0 for a model that costs nothing)."
            )
        client = ChatClient(
            model.base_url,
            api_key=model.api_key(),
            pool=self._pool,
            limits=settings.limits,
            # Each try is paid for by itself, so it is made, counted and waited for here.
            retries=Retries(most=0),
            max_answer_bytes=settings.max_answer_bytes,
        )
        requests, tokens = settings.requests_per_minute, settings.tokens_per_minute
        return _Model(
            model,
            client,
            None if requests is None else RateLimit(requests),
            None if tokens is None else RateLimit(tokens),
        )

    async def ask(self, name: CallName, messages: Messages) -> Reply:
        """What a model says: from the file if it is there, else from its provider, and then in the file.

        Raises:
            BudgetExceededError: the call might cost more than is left.
            UpstreamError: the provider did not answer, retries included.
            DataError: the file has a reply to this call in other words or with other settings.
        """
        if name.model not in self._models:
            raise UnknownNameError("model", name.model, self._models)
        model = self._models[name.model]
        body = {"model": model.config.upstream_model or model.config.name, "messages": list(messages)}
        body |= {key: value for key, value in self.settings.body.items() if value is not None}
        request = hashlib.sha256(orjson.dumps(body, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]
        if (stored := self.replies.get(name, request)) is not None:
            self.tally.stored += 1
            return stored
        if self.settings.dry_run:
            self.tally.would_ask += 1
            self.tally.would_cost_usd += self._worst_case(model, messages)[1]
            return Reply(f"{name.model}: " + _FILLER * (self.settings.most_output_tokens or 0))
        if self._stopped_by is not None:
            raise _StoppedError
        retry = 0
        while True:
            try:
                reply = await self._try(model, name, request, body)
            except UpstreamError as error:
                wait_s = self._wait_s(error, retry)
                if isinstance(error, UpstreamStatusError) and error.retry_after_s is not None:
                    model.not_before = max(model.not_before, time.monotonic() + error.retry_after_s)
                if wait_s is None:
                    if isinstance(error, UpstreamStatusError) and error.status in _NEVER_RIGHT:
                        raise ConfigError(
                            f"[models.{name.model}]: {model.config.base_url} answered with HTTP status {error.status}: "
                            f"{_NEVER_RIGHT[error.status]}. What was done is kept."
                        ) from error
                    self._give_up(model, error)
                    raise
                self.tally.retries += 1
                retry += 1
                await asyncio.sleep(wait_s)
            else:
                model.failures_in_a_row = 0
                return reply

    async def _try(self, model: _Model, name: CallName, request: str, body: Mapping[str, Any]) -> Reply:
        """One call: set its worst case aside, wait for its turn, ask, store, settle."""
        most_tokens, worst_usd = self._worst_case(model, body["messages"])
        await self.budget.reserve(worst_usd)
        charged_usd = 0.0
        try:
            taken = await self._turn(model, most_tokens)
            # A broken connection, a silence or an interruption may hide an answer that is billed; a status does not.
            charged_usd = worst_usd
            reply = _read(await model.client.ask(body), model.config)
            if reply.cost_usd is not None:
                charged_usd = reply.cost_usd
            if model.tokens is not None and taken is not None and reply.input_tokens is not None:
                model.tokens.correct(taken, float(reply.input_tokens + (reply.output_tokens or 0)))
            self.replies.add(name, request, reply, charged_usd=charged_usd if model.config.price else None)
            self.tally.asked += 1
            return reply
        except (UpstreamError, asyncio.CancelledError) as error:
            if isinstance(error, UpstreamStatusError) or _never_connected(error):
                charged_usd = 0.0
            if charged_usd:
                problem = str(error) if isinstance(error, UpstreamError) else "The run was interrupted."
                self.replies.add_failure(name, request, problem, charged_usd)
            raise
        finally:
            self.budget.settle(worst_usd, charged_usd)

    def _worst_case(self, model: _Model, messages: Messages) -> tuple[int, float]:
        """The most tokens that a call may take, and the most US dollars; 0 dollars without a price."""
        tokens = _most_input_tokens(messages), self.settings.most_output_tokens or 0
        return sum(tokens), 0.0 if model.config.price is None else model.config.price.cost_usd(*tokens)

    async def _turn(self, model: _Model, most_tokens: int) -> Taken | None:
        """Wait until the model may be asked; gives the tokens that were taken for it."""
        while (wait_s := model.not_before - time.monotonic()) > 0:
            await asyncio.sleep(wait_s)
        taken = None if model.tokens is None else await model.tokens.take(float(most_tokens))
        if model.requests is not None:
            await model.requests.take()
        # The run may have ended in the meantime.
        if self._stopped_by is not None:
            raise _StoppedError
        return taken

    def _wait_s(self, error: UpstreamError, retry: int) -> float | None:
        if isinstance(error, UpstreamStatusError):
            if error.status not in self.settings.retries.statuses:
                return None
            return self.settings.retries.wait_s(retry, error.retry_after_s)
        return self.settings.retries.wait_s(retry, None)

    async def each(
        self,
        items: Iterable[Item],
        do: Callable[[Item], Awaitable[None]],
        *,
        done: Callable[[], None] = lambda: None,
    ) -> None:
        """Do something with each item, `concurrency` of them at once; `done` is called after each.

        An item whose provider fails is given up (`tally.failed` counts the calls). Anything else ends the run: calls
        under way are finished, no other is made, and items whose replies are all stored are still done. Then the error
        is raised.

        Raises:
            BudgetExceededError: the budget is used up.
            ConfigError: a provider refuses all calls: a wrong key, address or model.
            UpstreamError: too many calls of a model in a row have failed.
            DataError: the replies file is of other questions or settings.
        """
        waiting = iter(items)

        async def work() -> None:
            for item in waiting:
                try:
                    await do(item)
                except _StoppedError:
                    continue
                except UpstreamError:
                    pass  # counted where it was given up
                except TurnoutError as error:
                    self._stopped_by = self._stopped_by or error
                    continue
                done()

        async with asyncio.TaskGroup() as group:
            for _ in range(self.settings.concurrency):
                group.create_task(work())
        if self._stopped_by is not None:
            raise self._stopped_by

    def _give_up(self, model: _Model, error: UpstreamError) -> None:
        """Count a call that failed for good, and end the run if its provider is not there."""
        name, problem = model.config.name, _problem(error, model.config.api_key())
        self.tally.failed[f"{name}: {problem}"] += 1
        model.failures_in_a_row += 1
        if self._stopped_by is None and model.failures_in_a_row >= self.settings.most_failures_in_a_row:
            self._stopped_by = UpstreamError(
                f"{model.failures_in_a_row} calls of '{name}' in a row failed, the last one with: {problem} What was "
                "done is kept; the same command goes on from there."
            )


def _most_input_tokens(messages: Messages) -> int:
    """A bound on the tokens of a conversation: no tokenizer in use makes more tokens than bytes."""
    return sum(len(message["content"].encode()) + _TOKENS_AROUND_A_MESSAGE for message in messages) + (
        _TOKENS_AROUND_A_MESSAGE
    )


def _read(answer: Mapping[str, Any], model: ModelConfig) -> Reply:
    """The reply in a chat completion, with its cost where tokens and price are known."""
    try:
        choice = answer["choices"][0]
        text = choice["message"].get("content")
    except (LookupError, TypeError, AttributeError) as error:
        raise UpstreamProtocolError("The provider's answer has no choices[0].message.") from error
    if not isinstance(text, str | None):
        raise UpstreamProtocolError("The content of the provider's answer is not text.")
    usage = answer.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    input_tokens, output_tokens = _count(usage, "prompt_tokens"), _count(usage, "completion_tokens")
    cost_usd = None
    if model.price is not None and input_tokens is not None and output_tokens is not None:
        cost_usd = model.price.cost_usd(input_tokens, output_tokens)
    finish_reason = choice.get("finish_reason")
    return Reply(
        text or "", finish_reason if isinstance(finish_reason, str) else None, input_tokens, output_tokens, cost_usd
    )


def _count(usage: Mapping[str, Any], key: str) -> int | None:
    value = usage.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _never_connected(error: BaseException) -> bool:
    return isinstance(error, UpstreamUnreachableError) and isinstance(error.__cause__, aiohttp.ClientConnectorError)


def _problem(error: UpstreamError, api_key: str | None = None) -> str:
    """The error in one line, for a status with the beginning of what the provider said about it."""
    if not isinstance(error, UpstreamStatusError):
        return str(error)
    said = " ".join(error.body.decode("utf-8", "replace").split())
    if api_key:
        said = said.replace(api_key, "(the key)")
    return f"{error} It said: {said[:_EXCERPT_CHARACTERS]}" if said else str(error)
