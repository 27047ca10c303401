"""The demonstration with a router made for the test: what was decided, what was charged, and what a client sees."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from openai import AsyncOpenAI
from running_gateway import KeywordRouter

from turnout import ModelPair, Policy, Route
from turnout.demo.models import DemoModel
from turnout.demo.queries import QUERIES
from turnout.demo.run import DemoReport, ask_all, demo_gateway
from turnout.demo.stand_in import answer_text, stand_in_models, stand_in_provider
from turnout.demo.table import as_object, as_text, notes_of
from turnout.errors import UpstreamStatusError
from turnout.gateway.ledger.reading import read_entries
from turnout.pricing import Price, estimate_tokens
from turnout.routers.baselines import RandomRouter
from turnout.types import FloatArray

PAIR = ModelPair("gpt-4o", "gpt-4o-mini")


class FailingRouter(KeywordRouter):
    def predict_win_rate(self, queries: Sequence[str]) -> FloatArray:
        if queries:
            raise RuntimeError("broken")
        return np.empty(0)


def route(router: KeywordRouter | None = None) -> Route:
    router = router or KeywordRouter()
    router.pair_ = PAIR
    return Route(router, Policy(PAIR, threshold=0.5))


async def report_of(ledger: Path, queries: Sequence[str], router: KeywordRouter | None = None) -> DemoReport:
    async with (
        stand_in_models(PAIR, PAIR) as (strong, weak),
        demo_gateway(route(router), strong, weak, ledger) as (app, address),
    ):
        return await ask_all(app, address, queries)


async def test_each_row_says_what_was_decided_and_what_it_cost(tmp_path: Path) -> None:
    report = await report_of(tmp_path / "ledger.sqlite3", ["a hard one", "an easy one"])
    hard, easy = report.rows
    assert (hard.side, hard.model, hard.win_rate, hard.stream) == ("strong", "gpt-4o", 0.9, False)
    assert (easy.side, easy.model, easy.win_rate, easy.stream) == ("weak", "gpt-4o-mini", 0.1, True)
    assert hard.answer == answer_text("gpt-4o", "a hard one")
    assert easy.answer == answer_text("gpt-4o-mini", "an easy one")
    assert easy.input_tokens == 3
    assert easy.output_tokens == estimate_tokens(easy.answer)
    # Published: 2.50 and 10 dollars a million for gpt-4o, 0.15 and 0.60 for gpt-4o-mini.
    assert easy.cost_usd == pytest.approx((3 * 0.15 + easy.output_tokens * 0.60) / 1e6)
    assert easy.cost_usd_if_strong == pytest.approx((3 * 2.5 + easy.output_tokens * 10) / 1e6)
    assert hard.cost_usd == hard.cost_usd_if_strong > 0
    assert report.strong_fraction == 0.5
    assert report.saved_usd == pytest.approx(easy.cost_usd_if_strong - easy.cost_usd)
    assert report.saved_fraction == pytest.approx(report.saved_usd / report.cost_usd_if_strong)


async def test_nothing_is_saved_where_all_goes_to_strong_because_the_router_fails(tmp_path: Path) -> None:
    report = await report_of(tmp_path / "ledger.sqlite3", ["an easy one"], FailingRouter())
    assert report.rows[0].side == "strong"
    assert report.rows[0].win_rate is None
    assert report.saved_usd == report.saved_fraction == 0
    assert "      none  strong" in as_text(report, [], with_answers=False)


async def test_the_official_client_gets_the_decision_with_its_answer(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.sqlite3"
    async with (
        stand_in_models(PAIR, PAIR) as (strong, weak),
        demo_gateway(route(), strong, weak, ledger) as (_, address),
        AsyncOpenAI(base_url=address, api_key="any", max_retries=0) as client,
    ):
        answered = await client.chat.completions.with_raw_response.create(
            model="auto", messages=[{"role": "user", "content": "a hard one"}]
        )
        stream = await client.chat.completions.create(
            model="auto", messages=[{"role": "user", "content": "an easy one"}], stream=True
        )
        text = "".join([choice.delta.content or "" async for chunk in stream for choice in chunk.choices])
    assert answered.parse().choices[0].message.content == answer_text("gpt-4o", "a hard one")
    assert answered.headers["x-turnout-model"] == "gpt-4o"
    assert text == answer_text("gpt-4o-mini", "an easy one")
    assert [entry.model for entry in read_entries(ledger)] == ["gpt-4o", "gpt-4o-mini"]


async def test_a_key_of_a_model_reaches_it_and_a_missing_model_is_a_clear_error(tmp_path: Path) -> None:
    nobody = DemoModel("gpt-4o", "http://127.0.0.1:9/v1", Price(1, 1), api_key="sk-1")
    async with stand_in_provider() as provider:
        weak = DemoModel("gpt-4o-mini", provider, Price(1, 1))
        async with demo_gateway(route(), nobody, weak, tmp_path / "ledger.sqlite3") as (app, address):
            assert app.routes.models["gpt-4o"].api_keys == (b"sk-1",)
            assert app.routes.models["gpt-4o-mini"].api_keys == ()
            with pytest.raises(UpstreamStatusError, match="502"):
                await ask_all(app, address, ["a hard one"])


async def test_win_rates_of_another_pair_are_said_to_be_so(tmp_path: Path) -> None:
    router = RandomRouter(seed=3)
    router.pair_ = ModelPair("big", "small")
    async with (
        stand_in_models(PAIR, PAIR) as (strong, weak),
        demo_gateway(Route(router, Policy(router.pair_, 0.5)), strong, weak, tmp_path / "ledger.sqlite3") as (
            app,
            address,
        ),
    ):
        report = await ask_all(app, address, QUERIES)
    assert (report.pair, report.scored_as) == (PAIR, router.pair_)
    assert "The win rates are those of big,small" in notes_of(report, PAIR, local=False)[-1]
    np.testing.assert_allclose([row.win_rate for row in report.rows], router.predict_win_rate(QUERIES))


async def test_the_table_cuts_what_the_object_keeps(tmp_path: Path) -> None:
    long = "an easy one, " * 20
    report = await report_of(tmp_path / "ledger.sqlite3", [long.strip(), "hard"])
    notes = notes_of(report, PAIR, local=False)
    text = as_text(report, notes, with_answers=True)
    assert max(len(line) for line in text.split("\n\n")[0].splitlines()) < 140
    assert "an easy one, an easy one, an easy one, an easy…" in text
    assert f"{report.rows[1].input_tokens} + {report.rows[1].output_tokens} tokens" in text
    assert "1 strong, 1 weak" in text
    assert f"Saved ${report.saved_usd:.6f} of ${report.cost_usd_if_strong:.6f}" in text
    assert "Stand-ins: the answers." in text
    kept = as_object(report, notes)
    assert kept["rows"][0]["query"] == long.strip()
    assert kept["cost_usd"] == report.cost_usd
    assert "Real too: both models" in notes_of(report, PAIR, local=True)[1]


def test_the_queries_are_twenty_and_no_two_the_same() -> None:
    assert len(QUERIES) == len(set(QUERIES)) == 20
    assert all(query == query.strip() for query in QUERIES)
