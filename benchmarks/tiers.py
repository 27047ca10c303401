"""The paper's tiers (appendix A) beside ours, from the human Arena votes that are to be had.

The Arena scores from which the paper cut its tiers were not published with it. Ours come from 1,135 votes of 2023 on 29
of its 64 models: what is compared is the order of the models, and who shares a tier with whom.

Run: python benchmarks/tiers.py --data DIR --out benchmarks/results/tiers.json
"""

from __future__ import annotations

import argparse
import itertools
import json
import re
from pathlib import Path

from turnout.data.battles import Battles
from turnout.data.importers.arena import ArenaJson
from turnout.data.importers.source import Reading
from turnout.data.ratings import RatedModel, Ratings

PAPER_TIERS = (
    "gpt-4-0125-preview gpt-4-1106-preview",
    "gpt-4-0314 gpt-4-0613 mistral-medium claude-1 qwen1.5-72b-chat",
    "claude-2.0 mixtral-8x7b-instruct-v0.1 claude-2.1 gemini-pro-dev-api gpt-3.5-turbo-0314 gpt-3.5-turbo-0613 "
    "gemini-pro gpt-3.5-turbo-0125 claude-instant-1 yi-34b-chat starling-lm-7b-alpha wizardlm-70b vicuna-33b "
    "tulu-2-dpo-70b nous-hermes-2-mixtral-8x7b-dpo llama-2-70b-chat openchat-3.5",
    "llama2-70b-steerlm-chat pplx-70b-online dolphin-2.2.1-mistral-7b gpt-3.5-turbo-1106 deepseek-llm-67b-chat "
    "openhermes-2.5-mistral-7b openchat-3.5-0106 wizardlm-13b mistral-7b-instruct-v0.2 solar-10.7b-instruct-v1.0 "
    "zephyr-7b-beta zephyr-7b-alpha codellama-34b-instruct mpt-30b-chat llama-2-13b-chat vicuna-13b qwen1.5-7b-chat "
    "pplx-7b-online falcon-180b-chat llama-2-7b-chat guanaco-33b qwen-14b-chat",
    "stripedhyena-nous-7b mistral-7b-instruct vicuna-7b qwen1.5-4b-chat palm-2",
    "koala-13b chatglm3-6b gpt4all-13b-snoozy",
    "mpt-7b-chat RWKV-4-Raven-14B chatglm2-6b alpaca-13b oasst-pythia-12b",
    "fastchat-t5-3b chatglm-6b",
    "dolly-v2-12b stablelm-tuned-alpha-7b",
    "llama-13b",
)
"""Appendix A of the paper, best first."""

PAPER_NAMES = {"gpt-4": "gpt-4-0613", "gpt-3.5-turbo": "gpt-3.5-turbo-0613", "claude-2": "claude-2.0"}
"""Names of 2023 → the paper's. gpt-4 and gpt-3.5-turbo had two versions then, which the paper has in one tier each."""


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
    listed = {name: number for number, names in enumerate(PAPER_TIERS) for name in names.split()}
    paper_tier = {name: listed[PAPER_NAMES.get(name, name)] for name in votes.models}
    n_tiers = len(set(paper_tier.values()))  # as many as the paper has among these models
    rated = Ratings.of(votes, n_tiers=n_tiers)
    result = {
        "command": "python benchmarks/tiers.py --data DIR --out benchmarks/results/tiers.json",
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
    text = re.sub(r'\{\s*"model":[^}]*\}', lambda model: " ".join(model[0].split()), text)
    arguments.out.write_text(text + "\n")
    print(json.dumps(result["agreement"], indent=1))


if __name__ == "__main__":
    main()
