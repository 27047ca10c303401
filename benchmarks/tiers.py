"""The paper's tiers (appendix A) beside ours: from published Arena scores, and from human votes.

The scores from which the paper cut its tiers were not published with it; those of August 2024 hold all its 64 models,
most of them long retired by then. They also tell what it is that the paper's cut minimises. The votes are 1,135 of
2023, on 29 of the 64 models.

Run: python benchmarks/tiers.py --data DIR --out benchmarks/results/tiers.json
"""

from __future__ import annotations

import argparse
import itertools
import json
import re
from pathlib import Path
from typing import get_args

import numpy as np

from turnout.data.battles import Battles
from turnout.data.importers.arena import ArenaJson
from turnout.data.importers.source import Reading
from turnout.data.ratings import RatedModel, Ratings
from turnout.data.tiers import Criterion, cut_into_tiers

PAPER = json.loads((Path(__file__).parent / "paper_tiers.json").read_text(encoding="utf-8"))
"""The models of the paper with their tiers, and their scores in August 2024; says where both are from."""

PAPER_NAMES = {"gpt-4": "gpt-4-0613", "gpt-3.5-turbo": "gpt-3.5-turbo-0613", "claude-2": "claude-2.0"}
"""Names of 2023 → the paper's. gpt-4 and gpt-3.5-turbo had two versions then, which the paper has in one tier each."""


def from_scores(criterion: Criterion) -> dict[str, object]:
    """Ten tiers cut from the published scores, and how many models are where the paper has them."""
    models = PAPER["models"]
    cut = cut_into_tiers(np.array([model["score"] for model in models], dtype=float), 10, criterion=criterion)
    tier_of = {row: number for number, tier in enumerate(cut) for row in tier}
    elsewhere = [
        {"model": model["model"], "score": model["score"], "tier": tier_of[row], "paper_tier": model["tier"]}
        for row, model in enumerate(models)
        if tier_of[row] != model["tier"]
    ]
    return {
        "models": len(models),
        "in_the_papers_tier": len(models) - len(elsewhere),
        "sizes": [len(tier) for tier in cut],
        "papers_sizes": np.bincount([model["tier"] for model in models]).tolist(),
        "elsewhere": elsewhere if len(elsewhere) <= 10 else f"{len(elsewhere)} models",
    }


def compare(models: tuple[RatedModel, ...], paper_tier: dict[str, int]) -> dict[str, object]:
    """How the order of ratings and the tiers agree with the paper's, over all pairs of models."""
    apart = ordered = ordered_in_two_tiers = overlapping = alike = 0
    disagreeing: list[list[str]] = []
    pairs = list(itertools.combinations(models, 2))  # the first of each pair is rated higher
    for higher, lower in pairs:
        paper_higher, paper_lower = paper_tier[higher.name], paper_tier[lower.name]
        alike += (higher.tier == lower.tier) == (paper_higher == paper_lower)
        if paper_higher == paper_lower:
            continue
        apart += 1
        if paper_higher < paper_lower:
            ordered += 1
            ordered_in_two_tiers += higher.tier != lower.tier
        elif higher.low > lower.high:
            disagreeing.append([higher.name, lower.name])
        else:
            overlapping += 1
    return {
        "pairs_of_models": len(pairs),
        "pairs_in_two_paper_tiers": apart,
        "of_these_in_the_same_order": round(ordered / apart, 4),
        "in_the_other_order_with_overlapping_intervals": overlapping,
        "in_the_other_order_with_intervals_apart": disagreeing,
        "of_these_in_two_of_our_tiers_in_the_same_order": round(ordered_in_two_tiers / apart, 4),
        "pairs_together_or_apart_as_in_the_paper": round(alike / len(pairs), 4),
    }


def main() -> None:
    """Rate, compare, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    votes = Reading(ArenaJson(), arguments.data / "arena_human_2023" / "battles.jsonl.gz").to_memory().data
    assert isinstance(votes, Battles)
    listed = {model["model"]: model["tier"] for model in PAPER["models"]}
    paper_tier = {name: listed[PAPER_NAMES.get(name, name)] for name in votes.models}
    n_tiers = len(set(paper_tier.values()))  # as many as the paper has among these models
    rated = Ratings.of(votes, n_tiers=n_tiers)
    result = {
        "command": "python benchmarks/tiers.py --data DIR --out benchmarks/results/tiers.json",
        "from_published_scores": {criterion: from_scores(criterion) for criterion in get_args(Criterion)},
        "votes": len(votes),
        "n_tiers": n_tiers,
        "agreement": compare(rated.models, paper_tier),
        "models": [
            {
                "model": model.name,
                "rating": round(model.rating),
                "interval": f"{model.low:.0f} to {model.high:.0f}",
                "tier": model.tier,
                "paper_tier": paper_tier[model.name],
            }
            for model in rated.models
        ],
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(result, indent=1)
    text = re.sub(r'\{\s*"model":[^}]*\}|\[[^\[\]{}]*\]', lambda row: " ".join(row[0].split()), text)
    arguments.out.write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
