"""Figures for the shipped router's card that need no benchmark: sources it never saw, and each of its own left out.

python tools/train_shipped_router/measure.py --data DATA > benchmarks/results/shipped_router.json
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from sources import SOURCES, TrainingSource, read_source
from train import balanced

from turnout import registry
from turnout.data.battles import Battles
from turnout.data.importers.source import Reading
from turnout.data.outcomes import Outcomes
from turnout.data.split import seen_rows
from turnout.data.tiers import Tiers, lift
from turnout.encoders.cache import CachedEncoder
from turnout.encoders.static import StaticEncoder
from turnout.evaluation.pair_table import PairTable
from turnout.evaluation.replay import Replay
from turnout.evaluation.runner import measure
from turnout.routers.base import Router
from turnout.routers.blend import Blend
from turnout.types import JSON, ModelPair

GPT4O_MIXTRAL = ModelPair("gpt4o_may2024", "Mixtral-8x7B-Instruct-v0.1")
UNSEEN = (
    TrainingSource(
        "stemez",
        "mmlu-pro",
        "mmlu_pro/mmlu_pro_per_question.jsonl.gz",
        lambda s: s.endswith("stemez"),
        GPT4O_MIXTRAL,
        1.0,
        "",
    ),
    TrainingSource(
        "scibench",
        "mmlu-pro",
        "mmlu_pro/mmlu_pro_per_question.jsonl.gz",
        lambda s: s.endswith("scibench"),
        GPT4O_MIXTRAL,
        1.0,
        "",
    ),
    TrainingSource(
        "math",
        "zeroeval",
        "zeroeval/crux_math.jsonl.gz",
        lambda s: "math" in s,
        ModelPair("gpt-4-turbo-2024-04-09", "gpt-3.5-turbo-0125"),
        1.0,
        "",
    ),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    data: Path = parser.parse_args().data
    shipped = Router.load()
    unseen = {source.name: read_source(source, data) for source in UNSEEN} | judged(data)
    result: dict[str, JSON] = {"command": "measure.py --data DATA"}
    result["never_seen"] = {name: reached(shipped, without_seen(shipped, battles)) for name, battles in unseen.items()}
    encoder = CachedEncoder(StaticEncoder(), capacity=10_000)
    parts = {source.name: read_source(source, data) for source in SOURCES}
    left_out = {}
    for name, part in parts.items():
        others = [battles for other, battles in parts.items() if other != name]
        left_out[name] = reached(Blend(encoder).fit(balanced(others)), part)
        print(name, file=sys.stderr, flush=True)
    result["left_out"] = left_out
    print(json.dumps(result, indent=2))


def judged(data: Path) -> dict[str, Battles]:
    """AlpacaEval's judgements, and human votes between strong and weak tiers."""
    alpaca = Reading(
        registry.load("importer", "alpaca-eval-pair")(), data / "alpaca_eval/pair_gpt4_1106_vs_mixtral8x7b.jsonl.gz"
    ).to_memory()
    votes = Reading(registry.load("importer", "arena")(), data / "arena_human_2023/battles.jsonl.gz").to_memory().data
    tiers = Tiers.of(votes, 4)
    return {"alpaca-eval": alpaca.data, "human votes": lift(votes, tiers.members((0, 1)), tiers.members((2,)))}


def without_seen(router: Router, battles: Battles) -> Battles:
    return battles.take(~seen_rows(battles.queries, router.seen_queries_))


def reached(router: Router, battles: Battles) -> dict[str, JSON]:
    """APGR, where each model's share of the battle is its score."""
    share = battles.share_a
    outcomes = Outcomes.from_columns(battles.queries, {"strong": share, "weak": 1 - share})
    table = PairTable("", "", ModelPair("strong", "weak"), outcomes.for_pair(ModelPair("strong", "weak")), scale=1.0)
    found = measure(table, router.name, [Replay.of_all(router.predict_win_rate(battles.queries))])
    estimates = router.predict_with_uncertainty(battles.queries)
    return {
        "queries": len(battles),
        "apgr": round(found.apgr.value, 4),
        "apgr_interval": [round(found.apgr.interval.low, 4), round(found.apgr.interval.high, 4)],
        "tied_share": round(found.tied_share, 4),
        "novel_share": round(float(np.mean(estimates.novelty > 1)), 4),
    }


if __name__ == "__main__":
    main()
