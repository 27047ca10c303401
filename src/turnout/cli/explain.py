"""`turnout explain`: why a request went where it went."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from turnout.cli.ledger_place import ledger_database, ledger_options

if TYPE_CHECKING:
    from turnout.gateway.ledger.explain import Explanation

_SHOWN_CHARACTERS = 90


@click.command(epilog="Example: turnout explain dec-1d0c5e0a7f3b9c2448ab01ff")
@click.argument("id")
@ledger_options
@click.option("--query", help="The query's text, where the ledger keeps none; checked against its hash.")
@click.option(
    "--battles",
    "battles_path",
    type=click.Path(path_type=Path),
    help="The battles that the router was trained on: shows those that resemble the query.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def explain(
    id: str,
    config_path: Path,
    ledger_place: str | None,
    query: str | None,
    battles_path: Path | None,
    as_json: bool,
) -> None:
    """Say why the request with this decision ID went where it went, and what it cost either way.

    The id is in each answer's header x-turnout-decision-id, in the ledger and in the logs.
    """
    from turnout.config import load_config
    from turnout.data.battles import Battles
    from turnout.gateway.ledger.explain import explain as explain_decision

    config = load_config(config_path) if ledger_place is None or config_path.exists() else None
    explanation = explain_decision(
        ledger_database(config_path, ledger_place),
        id,
        config,
        query=query,
        battles=None if battles_path is None else Battles.read_jsonl(battles_path),
    )
    click.echo(json.dumps(asdict(explanation), ensure_ascii=False) if as_json else as_text(explanation))


def as_text(explanation: Explanation) -> str:
    """An explanation for people."""
    entry = explanation.entry
    at = datetime.fromtimestamp(entry.time, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    lines = [
        f"{entry.id}, {at}",
        f"  asked for   {entry.route}",
        f"  went to     {entry.model}{'' if entry.side is None else f' ({entry.side})'}",
        f"  because     {entry.reason}",
    ]
    if entry.query:
        lines.append(f"  query       {_clipped(entry.query)}")
    if entry.win_rate is not None and entry.threshold is not None:
        lines += _score_lines(explanation, entry.win_rate, entry.threshold)
    lines += _neighbor_lines(explanation)
    lines += _cost_lines(explanation)
    lines.append(
        f"  ended       {entry.status}{'' if entry.error is None else f', {entry.error}'} in {entry.latency_s:.2f} s"
    )
    for said in explanation.feedback:
        lines.append(f"  feedback    {f'preferred {said.preferred}' if said.preferred else f'score {said.score:g}'}")
    lines += [f"  note        {note}" for note in explanation.notes]
    return "\n".join(lines)


def _score_lines(explanation: Explanation, win_rate: float, threshold: float) -> list[str]:
    difference = win_rate - threshold
    sign = "above" if difference >= 0 else "below"
    lines = [f"  score       win rate {win_rate:.4f}, {abs(difference):.4f} {sign} the threshold {threshold:.4f}"]
    if explanation.calibration_above is not None:
        lines.append(
            f"              {100 * explanation.calibration_above:.0f} % of the {explanation.calibration_queries:,} "
            f"queries of the calibration ({explanation.calibration_data}) had a higher one"
        )
    if explanation.win_rate_now is not None and abs(explanation.win_rate_now - win_rate) > 1e-6:
        lines.append(f"              the router as it is now says {explanation.win_rate_now:.4f}")
    return lines


def _neighbor_lines(explanation: Explanation) -> list[str]:
    if not explanation.neighbors:
        return []
    lines = [f"  resembles   (found by {explanation.neighbors_by})"]
    for neighbor, text in explanation.neighbors:
        said = f"  {_clipped(text)}" if text else ""
        lines.append(
            f"              cosine {neighbor.cosine:.3f}, strong's share {neighbor.share:.2f} "
            f"of {neighbor.votes:.3g} votes{said}"
        )
    return lines


def _cost_lines(explanation: Explanation) -> list[str]:
    entry, costs = explanation.entry, explanation.costs_usd
    if entry.input_tokens is None:
        return []
    lines = [f"  tokens      {entry.input_tokens:,} read, {entry.output_tokens:,} written"]
    if entry.cost_usd is not None:
        lines.append(f"  cost        ${entry.cost_usd:.6f}")
    lines += [
        f"              ${usd:.6f} with {model} for the same tokens"
        for model, usd in costs.items()
        if model != entry.model
    ]
    if entry.cost_usd is not None and entry.cost_usd_if_strong is not None and entry.model != entry.strong:
        lines.append(f"              ${entry.cost_usd_if_strong - entry.cost_usd:.6f} saved against strong")
    return lines


def _clipped(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 1] + "…"
