"""The Grafana dashboard against a gateway that runs: each query is PromQL for metrics and labels that there are."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from running_gateway import RunningGateway, Start
from scripted_provider import Provider, hang_up, plain

from turnout.gateway.counters import Counters

promql = pytest.importorskip("promql_parser")

DASHBOARD = json.loads((Path(__file__).parents[2] / "deploy/grafana/turnout.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
QUERIES = [(panel["title"], target) for panel in PANELS for target in panel.get("targets", ())]
VARIABLES = {variable["name"] for variable in DASHBOARD["templating"]["list"]}
OF_EVERY_TARGET = frozenset({"job", "instance"})
"""Labels that Prometheus adds."""
NO_LABELS_KEPT = frozenset[str]()

Labels = dict[str, frozenset[str]]


def filled_in(query: str) -> str:
    """The query as Grafana sends it."""
    text = re.sub(r"\$__(range|rate_interval|interval)\b", "5m", query)
    return re.sub(r"\$(\w+)", lambda match: ".+" if match[1] in VARIABLES else match[0], text)


def labels_of(expression: Any, known: Labels) -> frozenset[str]:
    """The labels that the expression's series may have; fails where it asks for what there is not."""
    if isinstance(expression, promql.MatrixSelector):
        return labels_of(expression.vector_selector, known)
    if isinstance(expression, promql.VectorSelector):
        assert expression.name in known, f"there is no metric {expression.name}"
        for matcher in expression.matchers.matchers:
            assert matcher.name in known[expression.name], f"{expression.name} has no label {matcher.name}"
        return known[expression.name]
    if isinstance(expression, promql.AggregateExpr):
        inner = labels_of(expression.expr, known)
        if expression.modifier is None:
            return NO_LABELS_KEPT
        assert expression.modifier.type == promql.AggModifierType.By
        assert inner.issuperset(expression.modifier.labels), f"{expression.modifier.labels} of {sorted(inner)}"
        return frozenset(expression.modifier.labels)
    if isinstance(expression, promql.Call):
        parts = [labels_of(argument, known) for argument in expression.args]
        if expression.func.name == "histogram_quantile":
            assert "le" in parts[-1], "a quantile needs the buckets"
            return parts[-1] - {"le"}
        return frozenset().union(*parts)
    if isinstance(expression, promql.BinaryExpr):
        sides = [labels_of(side, known) for side in (expression.lhs, expression.rhs)]
        matching = expression.modifier and expression.modifier.matching
        if matching:
            assert all(side.issuperset(matching.labels) for side in sides), matching.labels
        vectors = [
            side
            for side, part in zip(sides, (expression.lhs, expression.rhs), strict=True)
            if not isinstance(part, promql.NumberLiteral)
        ]
        if len(vectors) == 2 and not matching:
            assert vectors[0] == vectors[1], f"series of {sorted(vectors[0])} never meet those of {sorted(vectors[1])}"
        return vectors[0] if vectors else NO_LABELS_KEPT
    if isinstance(expression, promql.ParenExpr):
        return labels_of(expression.expr, known)
    assert isinstance(expression, promql.NumberLiteral), type(expression).__name__
    return NO_LABELS_KEPT


async def exposed(gateway: RunningGateway) -> Labels:
    """Metric → labels, as a scrape after some traffic shows them; those of targets come on top."""
    async with gateway.http.get(gateway.url.removesuffix("/v1") + "/metrics") as response:
        text = await response.text()
    found = {family.name + suffix: set(OF_EVERY_TARGET) for family in families(text) for suffix in suffixes(family)}
    for family in families(text):
        for sample in family.samples:
            found[sample.name].update(sample.labels)
    return {name: frozenset(labels) for name, labels in found.items()}


def families(text: str) -> list[Any]:
    return list(text_string_to_metric_families(text))


def suffixes(family: Any) -> tuple[str, ...]:
    return {"histogram": ("_bucket", "_count", "_sum"), "counter": ("_total",)}.get(family.type, ("",))


@pytest.fixture
async def known(provider: Provider, start: Start) -> Labels:
    gateway = await start(upstream={"max_retries": 0})
    provider.script = [plain(), hang_up]
    for query in ("a hard one", "an easy one"):
        await gateway.post({"model": "auto", "messages": [{"role": "user", "content": query}], "max_tokens": 5})
    await gateway.post({"model": "auto", "messages": [{"role": "user", "content": "hello"}], "stream": True})
    await gateway.entries(3)
    return await exposed(gateway)


async def test_every_query_is_promql_for_metrics_and_labels_that_there_are(known: Labels) -> None:
    assert len(QUERIES) > 10
    for title, target in QUERIES:
        try:
            kept = labels_of(promql.parse(filled_in(target["expr"])), known)
        except (AssertionError, ValueError) as error:
            raise AssertionError(f"{title}: {error}") from error
        shown = set(re.findall(r"\{\{\s*(\w+)\s*\}\}", target.get("legendFormat") or ""))
        assert shown <= kept, f"{title}: the legend shows {sorted(shown - kept)}, which the query drops"


async def test_every_metric_has_a_panel(known: Labels) -> None:
    shown = {name for _, target in QUERIES for name in re.findall(r"\b(?:turnout|process)_\w+", target["expr"])}
    exposed = {re.sub(r"_(count|sum)$", "_bucket", name) for name in known}  # of a histogram panels show the buckets
    assert exposed - shown == set()


def test_the_events_that_queries_name_are_counted() -> None:
    named = [name for _, target in QUERIES for name in re.findall(r'event[=!]~?"([^"]*)"', target["expr"])]
    assert len(named) > 1
    assert {event for names in named for event in names.split("|")} <= {field.name for field in fields(Counters)}


async def test_the_variables_offer_labels_that_there_are(known: Labels) -> None:
    asked = re.findall(r"label_values\((\w+), (\w+)\)", json.dumps(DASHBOARD["templating"]))
    assert len(asked) == 2
    for metric, label in asked:
        assert label in known[metric]


async def test_wrong_queries_are_found_out(known: Labels) -> None:
    for wrong in (
        "sum(rate(turnout_requests[5m]))",
        'sum(rate(turnout_requests_total{router="x"}[5m]))',
        "sum by (provider) (rate(turnout_requests_total[5m]))",
        "sum by (route) (rate(turnout_decisions_total[5m])) / sum by (model) (rate(turnout_requests_total[5m]))",
        "histogram_quantile(0.5, sum by (model) (rate(turnout_upstream_seconds_bucket[5m])))",
        "sum(rate(turnout_requests_total))",
        "sum(rate(turnout_requests_total[5m])",
    ):
        with pytest.raises((AssertionError, ValueError)):
            labels_of(promql.parse(wrong), known)


def test_grafana_finds_what_the_panels_refer_to() -> None:
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))
    for panel in PANELS:
        assert panel["datasource"] == {"type": "prometheus", "uid": "${source}"}, panel["title"]
        assert panel["targets"], panel["title"]
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"]), panel["title"]
        at = panel["gridPos"]
        assert 0 <= at["x"] < at["x"] + at["w"] <= 24, f"{panel['title']} does not fit Grafana's 24 columns"
    used = {name for _, target in QUERIES for name in re.findall(r"\$(\w+)", target["expr"]) if name[:2] != "__"}
    assert used <= VARIABLES
    for one, other in ((a, b) for n, a in enumerate(PANELS) for b in PANELS[n + 1 :]):
        assert not overlap(one["gridPos"], other["gridPos"]), f"{one['title']} lies on {other['title']}"


def overlap(one: dict[str, int], other: dict[str, int]) -> bool:
    beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
    below = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
    return not (beside or below)
