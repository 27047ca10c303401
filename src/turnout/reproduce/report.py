"""The report as Markdown and JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from turnout._version import __version__
from turnout.atomic_write import write_atomically
from turnout.reproduce.paper import RANDOM
from turnout.reproduce.plan import Plan
from turnout.reproduce.run import Reproduction
from turnout.reproduce.sources import D_GOLD
from turnout.types import JSON

FORMAT = 1
MARKDOWN_FILE, JSON_FILE = "report.md", "report.json"


def write_report(reproduction: Reproduction, pictures: Sequence[str], command: str) -> None:
    """Write both files to the plan's folder.

    Args:
        reproduction: what was measured.
        pictures: names of the pictures in the same folder.
        command: how to do it again, without the paths of this machine.
    """
    folder = reproduction.plan.out
    _write(folder / MARKDOWN_FILE, "\n".join(markdown(reproduction, pictures, command)) + "\n")
    _write(folder / JSON_FILE, json.dumps(to_json(reproduction, command), indent=1, ensure_ascii=False) + "\n")


def markdown(reproduction: Reproduction, pictures: Sequence[str], command: str) -> list[str]:
    """The report's lines."""
    plan = reproduction.plan
    lines = [
        "# The paper's tables beside ours",
        "",
        "The paper is *RouteLLM: Learning to Route LLMs with Preference Data* (arXiv 2406.18665v4). Each table gives "
        "its figure, ours, and our 95 % interval: bootstrap over the test queries, "
        f"{plan.n_replicates:,} draws. What stands in for the paper's data is said below, and in a sentence how each "
        "line differs from the paper's.",
        *_sampling(plan),
        "",
        f"Made by `{command}`, version {__version__}, in {_minutes(reproduction.took_s)}. "
        f"Encoder: `{reproduction.encoder}`. Machine: {reproduction.machine}.",
        "",
        *_in_short(reproduction),
        *_sources(reproduction),
        *_training(reproduction),
    ]
    for table in reproduction.tables:
        lines += ["", *table.markdown()]
    for name in pictures:
        lines += ["", f"![{Path(name).stem.replace('-', ' ')}]({name})"]
    return lines


def to_json(reproduction: Reproduction, command: str) -> dict[str, JSON]:
    """The report as one object."""
    plan, sets, golden = reproduction.plan, reproduction.sets, reproduction.golden
    return {
        "format": FORMAT,
        "turnout_version": __version__,
        "numpy_version": np.__version__,
        "command": command,
        "took_s": round(reproduction.took_s, 1),
        "parts_reused": reproduction.n_parts_reused,
        "machine": reproduction.machine,
        "encoder": reproduction.encoder,
        "sampled_queries": plan.n_sampled,
        "bootstrap": {"replicates": plan.n_replicates, "seed": plan.bootstrap_seed},
        "data": [*sets.account(), *([{"data_set": D_GOLD, "read": golden, "papers_own": False}] if golden else [])],
        "training_sets": {name: {"battles": len(battles)} for name, battles in sets.lifted.items()}
        | {"by model name": {"battles": 0 if sets.by_name is None else len(sets.by_name)}},
        "tiers": [list(tier) for tier in sets.tiers.models],
        "tables": [table.to_json() for table in reproduction.tables],
    }


def _sampling(plan: Plan) -> list[str]:
    if plan.n_sampled is None:
        return []
    return [
        "",
        f"**Not all queries were asked**: a benchmark with more than {plan.n_sampled:,} distinct queries is measured "
        "on a seeded sample of that many, so intervals are wider than those of a whole benchmark.",
    ]


def _in_short(reproduction: Reproduction) -> list[str]:
    """How many lines agree, table by table."""
    lines = ["## In short", ""]
    for table in reproduction.tables:
        figures = [row.figures["apgr"] for row in table.rows if "apgr" in row.figures and RANDOM not in row.labels]
        both = [one for one in figures if one.paper is not None and one.ours is not None]
        if not both:
            continue
        within = sum(one.holds_papers for one in both)
        better = sum(one.low is not None and one.low > 0.5 for one in both)
        papers = sum(one.paper is not None and one.paper > 0.5 for one in both)
        lines.append(
            f"- Table {table.number} ({table.title}), APGR: the paper's figure lies within our interval on {within} of "
            f"{len(both)} lines; better than random routing are {papers} of the paper's and, with 95 % confidence, "
            f"{better} of ours."
        )
    return [*lines, ""]


def _sources(reproduction: Reproduction) -> list[str]:
    lines = [
        "## What stands in for what",
        "",
        "| the paper's | read here | the paper's own | battles read | left out by the importer | left out as tested |",
        "|---|---|---|---|---|---|",
    ]
    for one in reproduction.sets.account():
        left_out = ", ".join(f"{count:,} {reason}" for reason, count in one["left_out"].items()) or "none"
        tested = ", ".join(f"{count:,} {kind}" for kind, count in one["left_out_as_tested"].items()) or "none"
        own = "yes" if one["papers_own"] else "no"
        lines.append(
            f"| {one['data_set']} | {one['read']}. {one['why']} | {own} | {one['battles']:,} | {left_out} | {tested} |"
        )
    if reproduction.golden:
        lines.append(f"| {D_GOLD} | {reproduction.golden} | no | | | |")
    return [
        *lines,
        "",
        "*Left out as tested* counts distinct queries that some table asks too, as the same text, as a near copy, or, "
        "where a threshold is known for the encoder, as a similar one; all their battles are left out of all training.",
        "",
    ]


def _training(reproduction: Reproduction) -> list[str]:
    sets = reproduction.sets
    candidate = sets.found[0].candidate
    strong = ", ".join(sets.tiers.members(candidate.strong_tiers))
    weak = ", ".join(sets.tiers.members(candidate.weak_tiers))
    sizes = "; ".join(f"`{name}` {len(battles):,} battles" for name, battles in sets.lifted.items())
    return [
        f"Training sets, after that: {sizes}; `arena + gold` adds golden labels to `arena`. Arena votes count where "
        f"a model of the strong class met one of the weak class. Strong: {strong}. Weak: {weak}.",
    ]


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.1f} minutes" if seconds >= 60 else f"{seconds:.0f} seconds"


def _write(path: Path, text: str) -> None:
    with write_atomically(path) as file:
        file.write(text.encode())
