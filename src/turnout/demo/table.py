"""A demonstration's report for people and for machines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from turnout.demo.run import DemoReport, DemoRow
from turnout.pricing import CHARACTERS_A_TOKEN, published_price
from turnout.types import JSON, ModelPair

_QUERY_CHARACTERS = 48
_ANSWER_CHARACTERS = 96


def as_text(report: DemoReport, notes: Sequence[str], *, with_answers: bool) -> str:
    """The table, its totals, and the notes.

    Args:
        report: what became of the queries.
        notes: sentences that say what is real and what is not.
        with_answers: whether the answers are worth a line each, with tokens and seconds.
    """
    width = max(len(report.pair.strong), len(report.pair.weak))
    head = f"{'QUERY':<{_QUERY_CHARACTERS}}  WIN RATE  {'MODEL':<{width + 8}}  {'USD SPENT':>9}  IF STRONG"
    lines = [head]
    for row in report.rows:
        lines.append(
            f"{cut(row.query, _QUERY_CHARACTERS):<{_QUERY_CHARACTERS}}  {_rate(row):>8}  "
            f"{row.side:<6}  {row.model:<{width}}  {row.cost_usd:>9.6f}  {row.cost_usd_if_strong:>9.6f}"
        )
        if with_answers:
            tokens = f"{row.input_tokens} + {row.output_tokens} tokens"
            lines.append(f"  {tokens}, {row.latency_s:.1f} s: {cut(row.answer, _ANSWER_CHARACTERS)}")
    strong = sum(row.side == "strong" for row in report.rows)
    split = f"{strong} strong, {len(report.rows) - strong} weak"
    lines += [
        f"{f'{len(report.rows)} queries':<{_QUERY_CHARACTERS}}  {'':>8}  {split:<{width + 8}}  "
        f"{report.cost_usd:>9.6f}  {report.cost_usd_if_strong:>9.6f}",
        "",
        f"Saved ${report.saved_usd:.6f} of ${report.cost_usd_if_strong:.6f}: {100 * report.saved_fraction:.1f} %. "
        f"Strong from a win rate of {report.threshold:.4f} on.",
        *notes,
    ]
    return "\n".join(lines)


def as_object(report: DemoReport, notes: Sequence[str]) -> dict[str, JSON]:
    """The same for machines, with nothing cut."""
    return {
        "pair": asdict(report.pair),
        "scored_as": asdict(report.scored_as),
        "threshold": report.threshold,
        "rows": [asdict(row) for row in report.rows],
        "strong_fraction": report.strong_fraction,
        "cost_usd": report.cost_usd,
        "cost_usd_if_strong": report.cost_usd_if_strong,
        "saved_usd": report.saved_usd,
        "saved_fraction": report.saved_fraction,
        "notes": list(notes),
    }


def notes_of(report: DemoReport, priced_as: ModelPair, *, local: bool) -> list[str]:
    """What is real in a report, what is not, and whose prices and win rates these are."""
    answers = (
        "Real too: both models, their answers, the tokens and the times."
        if local
        else f"Stand-ins: the answers. No model was asked; {CHARACTERS_A_TOKEN} characters are counted as a token."
    )
    published = [published_price(model) for model in (priced_as.strong, priced_as.weak)]
    sources = dict.fromkeys(f"{price.source}, {price.as_of}" for price in published)
    notes = [
        "Real: the router, the gateway, each decision and its entry in the ledger.",
        answers,
        f"Declared: the prices, as published for {priced_as.strong} and {priced_as.weak} ({'; '.join(sources)})."
        + (" Asking the local models costs nothing but time." if local else ""),
    ]
    if report.scored_as != report.pair:
        notes.append(f"The win rates are those of {report.scored_as}, the pair that the router was trained for.")
    return notes


def cut(text: str, characters: int) -> str:
    """The text on one line, cut to this many characters.

    >>> cut("Name\\na long river.", 12)
    'Name a long…'
    """
    line = " ".join(text.split())
    return line if len(line) <= characters else line[: characters - 1].rstrip() + "…"


def _rate(row: DemoRow) -> str:
    return "none" if row.win_rate is None else f"{row.win_rate:.4f}"
