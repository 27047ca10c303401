from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from running_gateway import Start
from scripted_provider import CLIENT_KEY, Provider, hang_up

from turnout.config import ModelConfig
from turnout.errors import MissingExtraError
from turnout.gateway.observing import tracing
from turnout.gateway.observing.tracing import Tracing, provider_name

HARD = [{"role": "user", "content": "a hard one"}]
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def exported(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    spans = TracerProvider()
    spans.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(tracing, "_otlp_provider", lambda: spans)
    yield exporter
    spans.shutdown()


async def spans_of(gateway: Any, exported: InMemorySpanExporter, count: int = 2) -> list[Any]:
    await gateway.entries()
    finished = sorted(exported.get_finished_spans(), key=lambda span: span.start_time or 0)
    assert len(finished) == count
    return finished


@pytest.mark.parametrize("stream", [False, True])
async def test_a_request_is_a_span_with_the_call_inside_it(
    provider: Provider, start: Start, exported: InMemorySpanExporter, stream: bool
) -> None:
    gateway = await start(observe={"traces": True})
    _, headers, _ = await gateway.post(
        {"model": "auto", "messages": HARD, "stream": stream, "max_tokens": 30}, headers={"traceparent": PARENT}
    )
    request, call = await spans_of(gateway, exported)
    assert (request.name, request.kind) == ("POST /v1/chat/completions", SpanKind.SERVER)
    assert f"{request.context.trace_id:032x}" == PARENT.split("-")[1]
    assert f"{request.parent.span_id:016x}" == PARENT.split("-")[2]
    assert request.attributes["turnout.decision_id"] == headers["x-turnout-decision-id"]
    assert request.attributes["turnout.win_rate"] == 0.9
    assert request.attributes["http.response.status_code"] == 200
    assert (call.name, call.kind) == ("chat provider/big-1", SpanKind.CLIENT)
    assert call.parent.span_id == request.context.span_id
    assert call.attributes["gen_ai.operation.name"] == "chat"
    assert call.attributes["gen_ai.provider.name"] == "127.0.0.1"
    assert call.attributes["gen_ai.request.model"] == "provider/big-1"
    assert call.attributes["gen_ai.request.max_tokens"] == 30
    assert call.attributes["gen_ai.usage.input_tokens"] == (7 if stream else 18)
    assert call.attributes["gen_ai.usage.output_tokens"] == (3 if stream else 19)
    assert call.attributes["server.port"] == provider.port
    assert request.start_time <= call.start_time <= call.end_time <= request.end_time
    sent = provider.requests[0].headers["traceparent"].split("-")
    assert sent[1:3] == [f"{call.context.trace_id:032x}", f"{call.context.span_id:016x}"]
    shown = str([span.to_json() for span in (request, call)])
    assert "hard one" not in shown
    assert CLIENT_KEY not in shown


async def test_a_failed_call_is_marked(provider: Provider, start: Start, exported: InMemorySpanExporter) -> None:
    gateway = await start(observe={"traces": True})
    provider.script = [hang_up, hang_up]
    await gateway.post({"model": "auto", "messages": HARD})
    request, call = await spans_of(gateway, exported)
    assert request.parent is None
    assert (request.status.status_code, call.status.status_code) == (StatusCode.ERROR, StatusCode.ERROR)
    assert request.attributes["error.type"] == "upstream_unreachable"
    assert call.attributes["error.type"] == "UpstreamUnreachableError"
    assert "gen_ai.usage.input_tokens" not in call.attributes


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://api.openai.com/v1", "openai"),
        ("https://eu.api.openai.com/v1", "openai"),
        ("https://api.anthropic.com/v1", "anthropic"),
        ("https://me.openai.azure.com/openai", "azure.ai.openai"),
        ("http://127.0.0.1:8000/v1", "127.0.0.1"),
        ("https://notapi.openai.com.evil.example/v1", "notapi.openai.com.evil.example"),
    ],
)
def test_providers_have_the_names_of_the_conventions(url: str, name: str) -> None:
    assert provider_name(ModelConfig("m", url)) == name


def test_without_opentelemetry_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with pytest.raises(MissingExtraError, match=r"turnout\[otel\]"):
        Tracing()
