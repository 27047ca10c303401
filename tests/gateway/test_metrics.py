from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families
from running_gateway import RunningGateway, Start
from scripted_provider import CLIENT_KEY, Provider, hang_up, plain

from turnout.gateway.metrics import Registry, only, render

EASY = [{"role": "user", "content": "an easy one"}]
HARD = [{"role": "user", "content": "a hard one"}]


def samples(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """What Prometheus's own parser makes of it."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def scraped(gateway: RunningGateway) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    async with gateway.http.get(gateway.url.removesuffix("/v1") + "/metrics") as response:
        assert response.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        return samples(await response.text())


def test_what_is_written_is_what_prometheus_reads() -> None:
    registry = Registry()
    counter = registry.counter("a_total", "A.", ("x", "y"))
    counter.add(("1", 'say "hi"\\\n'))
    counter.add(("1", 'say "hi"\\\n'), 0.5)
    registry.gauge("b", "B.", lambda: only({"p": 3, "q": float("inf")}), ("z",))
    registry.counted("c_total", "C.", lambda: only(1e-7))
    assert samples(render(registry.read()).decode()) == {
        ("a_total", (("x", "1"), ("y", 'say "hi"\\\n'))): 1.5,
        ("b", (("z", "p"),)): 3,
        ("b", (("z", "q"),)): float("inf"),
        ("c_total", ()): 1e-7,
    }


def test_a_histogram_counts_what_is_at_most_each_bound() -> None:
    registry = Registry()
    histogram = registry.histogram("h", "H.", (0.5, 1), ("x",))
    for value in (0.1, 0.5, 0.6, 1.5, 2):
        histogram.observe(("v",), value)
    found = samples(render(registry.read()).decode())
    buckets = {labels[0][1]: value for (name, labels), value in found.items() if name == "h_bucket"}
    assert buckets == {"0.5": 2, "1": 3, "+Inf": 5}
    assert found["h_count", (("x", "v"),)] == 5
    assert found["h_sum", (("x", "v"),)] == pytest.approx(4.7)


def test_two_metrics_of_one_name_are_refused() -> None:
    registry = Registry()
    registry.counter("a_total", "A.")
    with pytest.raises(ValueError, match="a_total already"):
        registry.gauge("a_total", "A.", lambda: only(1))


async def test_requests_are_counted_with_their_tokens_and_dollars(provider: Provider, start: Start) -> None:
    gateway = await start()
    provider.script = [plain(), plain(), plain(), hang_up, hang_up]
    for body in (
        {"model": "auto", "messages": HARD},
        {"model": "auto", "messages": EASY},
        {"model": "small", "messages": EASY},
        {"model": "auto", "messages": EASY},
    ):
        await gateway.post(body)
    await gateway.post({"model": "router-fake-0.05", "messages": EASY, "stream": True})
    await gateway.post(b"{")
    await gateway.entries(5)
    found = await scraped(gateway)

    def value(name: str, **labels: str) -> float:
        return found[name, tuple(sorted(labels.items()))]

    assert value("turnout_requests_total", route="auto", model="big", status="200") == 1
    assert value("turnout_requests_total", route="auto", model="small", status="502") == 1
    assert value("turnout_requests_total", route="small", model="small", status="200") == 1
    assert value("turnout_requests_total", route="other", model="big", status="200") == 1, "made up by clients"
    assert value("turnout_errors_total", model="small", error="upstream_unreachable") == 1
    assert value("turnout_decisions_total", route="auto", side="strong") == 1
    assert value("turnout_decisions_total", route="auto", side="weak") == 2
    assert value("turnout_input_tokens_total", route="auto", model="small") == 18
    assert value("turnout_output_tokens_total", route="auto", model="big") == 19
    assert value("turnout_spent_usd_total", route="auto", model="small") == pytest.approx((18 * 1 + 19 * 2) / 1e6)
    assert value("turnout_all_strong_usd_total", route="auto", model="small") == pytest.approx(0.00075)
    assert value("turnout_win_rate_bucket", route="auto", le="0.1") == 2
    assert value("turnout_win_rate_count", route="auto") == 3
    assert value("turnout_added_seconds_count") == 5
    assert value("turnout_upstream_seconds_count", model="small") == 3
    assert value("turnout_upstream_first_byte_seconds_count", model="small") == 2
    assert value("turnout_events_total", event="requests") == 6
    assert value("turnout_events_total", event="refused") == 1
    assert value("turnout_ledger_written_total") == 5
    assert value("turnout_ledger_queue") == value("turnout_ledger_dropped_total") == 0
    assert value("turnout_requests_under_way") == 1, "this one"
    assert value("process_resident_memory_bytes") > 1e7


async def test_metrics_hold_no_query_and_no_key(provider: Provider, start: Start) -> None:
    gateway = await start()
    await gateway.openai.chat.completions.create(model="auto", messages=EASY)
    text = render(gateway.app.metrics.read()).decode()
    assert "an easy one" not in text
    assert CLIENT_KEY not in text


async def test_metrics_can_be_turned_off(provider: Provider, start: Start) -> None:
    gateway = await start(observe={"metrics": False})
    async with gateway.http.get(gateway.url.removesuffix("/v1") + "/metrics") as response:
        assert response.status == 404
