"""OpenTelemetry traces (extra `otel`): a span for each request and, inside it, one for the call of the model.

The inner span follows the semantic conventions for generative AI, which are still in development: names as of their
version 1.37. The exporter, the sampler and the service's name are OpenTelemetry's own business and set by its
environment variables (OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_TRACES_SAMPLER, OTEL_SERVICE_NAME …). No query, answer or key
stands in a span.
"""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from turnout._version import __version__
from turnout.config import ModelConfig
from turnout.errors import MissingExtraError
from turnout.gateway.steps.account import Account
from turnout.gateway.steps.calling import Upstream
from turnout.gateway.upstreams.provider import ProviderAnswer

_OPERATIONS = {"embeddings": "embeddings"}
_NANO = 1_000_000_000


@dataclass(slots=True)
class Trace:
    """The spans of one request."""

    request: Any
    call: Any = None


class Tracing:
    """Makes the spans: as what an upstream is wrapped in, and as a recorder."""

    def __init__(self, provider: Any = None) -> None:
        """Args: OpenTelemetry's tracer provider; by default one that exports over OTLP.

        Raises:
            MissingExtraError: OpenTelemetry is not installed.
        """
        try:
            from opentelemetry import propagate, trace
        except ImportError:
            raise MissingExtraError("opentelemetry-sdk", extra="otel", purpose="Tracing") from None
        self._trace = trace
        self._propagate = propagate
        self._provider = provider or _otlp_provider()
        self._tracer = self._provider.get_tracer("turnout", __version__)

    def wrap(self, upstream: Upstream) -> Upstream:
        """The upstream, with a span around each call."""
        return _TracedUpstream(self, upstream)

    def record(self, account: Account) -> None:
        """End the request's span, and the call's first, if its provider has not ended the connection's answer yet."""
        spans = account.trace or self._begin(account, {})
        self.end_call(account)
        request, status = spans.request, account.status
        request.set_attribute("http.response.status_code", status)
        if account.error is not None:
            request.set_attribute("error.type", account.error)
        if status >= 500:
            request.set_status(self._trace.StatusCode.ERROR)
        request.end()

    def close(self) -> None:
        """Send what is still held."""
        self._provider.shutdown()

    def begin_call(self, account: Account, headers: Mapping[str, str]) -> dict[str, str]:
        """Begin both spans; gives the headers with the call's place in the trace."""
        spans = self._begin(account, headers)
        model = account.model
        context = self._trace.set_span_in_context(spans.request)
        operation = _OPERATIONS.get(account.request.protocol.name, "chat")
        attributes: dict[str, Any] = {
            "gen_ai.operation.name": operation,
            "gen_ai.provider.name": provider_name(model.config),
            "gen_ai.request.model": model.config.upstream_model,
        }
        if (most := account.request.max_output_tokens()) is not None:
            attributes["gen_ai.request.max_tokens"] = most
        address = urlsplit(model.config.base_url)
        if address.hostname:
            attributes["server.address"] = address.hostname
            attributes["server.port"] = address.port or (443 if address.scheme == "https" else 80)
        spans.call = self._tracer.start_span(
            f"{operation} {model.config.upstream_model}",
            context=context,
            kind=self._trace.SpanKind.CLIENT,
            attributes=attributes,
        )
        sent = dict(headers)
        self._propagate.inject(sent, context=self._trace.set_span_in_context(spans.call, context))
        return sent

    def end_call(self, account: Account) -> None:
        """End the call's span, with what is known by now."""
        call, usage = account.trace.call, account.usage
        if call is None or not call.is_recording():
            return
        if usage is not None:
            call.set_attribute("gen_ai.usage.input_tokens", usage.input_tokens)
            call.set_attribute("gen_ai.usage.output_tokens", usage.output_tokens)
        call.set_attribute("turnout.model", account.model.name)
        call.end(time.time_ns())

    def _begin(self, account: Account, headers: Mapping[str, str]) -> Trace:
        choice, decision = account.choice, account.choice.decision
        attributes: dict[str, Any] = {
            "http.request.method": "POST",
            "http.route": account.request.protocol.path,
            "turnout.decision_id": choice.id,
            "turnout.route": choice.asked_for,
            "turnout.reason": choice.reason,
        }
        if decision is not None:
            attributes["turnout.side"] = decision.side
            attributes["turnout.threshold"] = decision.threshold
            if decision.win_rate == decision.win_rate:
                attributes["turnout.win_rate"] = decision.win_rate
        spans = Trace(
            self._tracer.start_span(
                f"POST {account.request.protocol.path}",
                context=self._propagate.extract(headers),
                kind=self._trace.SpanKind.SERVER,
                attributes=attributes,
                start_time=int(account.arrived * _NANO),
            )
        )
        account.trace = spans
        return spans


class _TracedUpstream:
    def __init__(self, tracing: Tracing, inner: Upstream) -> None:
        self._tracing = tracing
        self._inner = inner

    def open(self, account: Account, headers: Mapping[str, str]) -> AbstractAsyncContextManager[ProviderAnswer]:
        """A call inside a span."""
        return self._open(account, headers)

    @asynccontextmanager
    async def _open(self, account: Account, headers: Mapping[str, str]) -> AsyncIterator[ProviderAnswer]:
        sent = self._tracing.begin_call(account, headers)
        call = account.trace.call
        try:
            async with self._inner.open(account, sent) as answer:
                yield answer
        except BaseException as error:
            call.set_attribute("error.type", type(error).__name__)
            call.set_status(self._tracing._trace.StatusCode.ERROR)
            raise
        finally:
            self._tracing.end_call(account)


def provider_name(model: ModelConfig) -> str:
    """The provider as the conventions call it, as far as its address says; else its host.

    Conventions: openai, anthropic, azure.ai.openai, mistral_ai, groq, deepseek, and others' own names.
    """
    host = urlsplit(model.base_url).hostname or model.protocol
    for end, name in _PROVIDERS.items():
        if host == end or host.endswith(f".{end}"):
            return name
    return host


_PROVIDERS = {
    "api.openai.com": "openai",
    "openai.azure.com": "azure.ai.openai",
    "api.anthropic.com": "anthropic",
    "api.mistral.ai": "mistral_ai",
    "api.groq.com": "groq",
    "api.deepseek.com": "deepseek",
    "api.x.ai": "x_ai",
    "api.cohere.ai": "cohere",
    "api.perplexity.ai": "perplexity",
}


def _otlp_provider() -> Any:
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        raise MissingExtraError(
            "opentelemetry-exporter-otlp-proto-http", extra="otel", purpose="Exporting traces"
        ) from None
    attributes = {"service.version": __version__}
    if "OTEL_SERVICE_NAME" not in os.environ:  # what is given here would win over the variable
        attributes["service.name"] = "turnout"
    provider = TracerProvider(resource=Resource.create(attributes))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider
