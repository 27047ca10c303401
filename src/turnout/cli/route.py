"""`turnout route`: decide for queries, call nothing."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import click

from turnout.errors import InvalidValueError, UnknownNameError
from turnout.policy import Decision
from turnout.pricing import AVERAGE_OUTPUT_TOKENS, CHARACTERS_A_TOKEN, Price, estimate_tokens, published_price
from turnout.route import Route
from turnout.routers.base import DEFAULT_ROUTER, KnowsWhatIsNew, Router
from turnout.types import JSON, ModelPair


@click.command(epilog='Example: turnout route "Prove that there are infinitely many primes."')
@click.argument("queries", nargs=-1)
@click.option("--router", default=DEFAULT_ROUTER, show_default=True, help="A shipped router's name, or a folder.")
@click.option("--pair", metavar="STRONG,WEAK", help="The models to choose between; by default the router's own.")
@click.option("--strong-fraction", type=float, help="Send at most this share to strong, in [0, 1].  [default: 0.5]")
@click.option("--threshold", type=float, help="Strong from this win rate on, instead of a strong fraction.")
@click.option("--price-strong", metavar="IN,OUT", help="US dollars for a million tokens read and written.")
@click.option("--price-weak", metavar="IN,OUT", help="The same for the weak model.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object for each query, one a line.")
def route(
    queries: tuple[str, ...],
    router: str,
    pair: str | None,
    strong_fraction: float | None,
    threshold: float | None,
    price_strong: str | None,
    price_weak: str | None,
    as_json: bool,
) -> None:
    """Say which model each of the QUERIES should go to, and what it costs either way.

    A single - reads queries from standard input, one a line.
    """
    texts = _read(queries)
    loaded = Route.load(
        router,
        strong_fraction=strong_fraction,
        threshold=threshold,
        pair=None if pair is None else ModelPair.parse(pair),
    )
    prices = PairPrices.of(loaded.policy.pair, price_strong, price_weak)
    decisions, novelties = loaded.decide(texts), _novelties(loaded.router, texts)
    for text, decision, novelty in zip(texts, decisions, novelties, strict=True):
        click.echo(
            json.dumps(as_object(text, decision, prices, novelty), ensure_ascii=False)
            if as_json
            else as_text(text, decision, prices, novelty, with_query=len(texts) > 1)
        )
    for note in _notes(loaded, prices):
        click.echo(note, err=True)


@dataclass(frozen=True)
class PairPrices:
    """The prices of the two models; None where one is not known."""

    strong: Price | None
    weak: Price | None

    @classmethod
    def of(cls, pair: ModelPair, strong: str | None, weak: str | None) -> PairPrices:
        """The prices given, or else the published ones."""
        return cls(_price(pair.strong, strong), _price(pair.weak, weak))

    def costs_usd(self, query: str) -> tuple[float | None, float | None]:
        """(strong, weak): US dollars for the query's estimated tokens and an answer of the paper's mean length."""
        tokens = estimate_tokens(query)
        strong, weak = (
            None if price is None else price.cost_usd(tokens, AVERAGE_OUTPUT_TOKENS)
            for price in (self.strong, self.weak)
        )
        return strong, weak


def _novelties(router: Router, queries: Sequence[str]) -> list[float] | list[None]:
    """How unlike the router's training data each query is, above 1 clearly; None if the router cannot tell."""
    if not isinstance(router, KnowsWhatIsNew):
        return [None] * len(queries)
    novelties: list[float] = router.predict_with_uncertainty(queries).novelty.tolist()
    return novelties


def as_object(query: str, decision: Decision, prices: PairPrices, novelty: float | None) -> dict[str, JSON]:
    """A decision for machines."""
    strong, weak = prices.costs_usd(query)
    return {
        "query": query,
        "model": decision.model,
        "side": decision.side,
        "win_rate": decision.win_rate,
        "threshold": decision.threshold,
        "reason": decision.reason,
        "novelty": novelty,
        "cost_usd_if_strong": strong,
        "cost_usd_if_weak": weak,
        "decision_id": decision.id,
    }


def as_text(query: str, decision: Decision, prices: PairPrices, novelty: float | None, *, with_query: bool) -> str:
    """A decision for people."""
    strong, weak = prices.costs_usd(query)
    lines = [query] if with_query else []
    lines += [
        f"{decision.side}: {decision.model}",
        f"  win rate {decision.win_rate:.3f} is {decision.reason}, {decision.threshold:.3f}",
    ]
    if novelty is not None and novelty > 1:
        lines.append(f"  unlike what the router learned from (novelty {novelty:.2f}): drawn to its mean win rate")
    if strong is not None and weak is not None:
        lines.append(f"  costs about ${strong:.6f} with the strong model, ${weak:.6f} with the weak one")
    return "\n".join(lines)


def _notes(loaded: Route, prices: PairPrices) -> list[str]:
    notes = []
    if prices.strong is None or prices.weak is None:
        notes.append("No price is known for this pair. Give --price-strong IN,OUT and --price-weak IN,OUT.")
    else:
        notes.append(
            f"Costs: {CHARACTERS_A_TOKEN} characters counted as a token, an answer as {AVERAGE_OUTPUT_TOKENS} tokens."
        )
    if loaded.pair_scored != loaded.policy.pair:
        notes.append(f"The win rates are those of {loaded.pair_scored}, the pair that the router was trained for.")
    return notes


def _read(queries: Sequence[str]) -> list[str]:
    if list(queries) == ["-"]:
        texts = [line.strip("\ufeff \t\r\n") for line in sys.stdin]
        queries = [text for text in texts if text]
    if not queries:
        raise click.UsageError('Give a query, such as turnout route "What is the capital of France?"')
    return list(queries)


def _price(model: str, given: str | None) -> Price | None:
    if given is None:
        try:
            return published_price(model).price
        except UnknownNameError:
            return None
    try:
        usd_in, usd_out = (float(part) for part in given.split(","))
    except ValueError:
        raise InvalidValueError(f"A price is written IN,OUT in US dollars, such as 2.5,10, got '{given}'.") from None
    return Price(usd_in, usd_out)
