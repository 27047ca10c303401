"""Makes src/turnout/routers/shipped/default; see README.md beside it."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from sources import PAIR, SOURCES, read_source

from turnout.calibration import Calibration
from turnout.data.battles import Battles
from turnout.data.contamination import find_contaminated, kept_rows
from turnout.data.importers.right_or_wrong import MMLUPro
from turnout.data.importers.source import Reading
from turnout.data.jsonl import read_jsonl
from turnout.data.split import fingerprints
from turnout.encoders.static import StaticEncoder
from turnout.evaluation.benchmarks.base import load_benchmark
from turnout.routers.blend import Blend
from turnout.types import Encoder

SAME = 0.93
"""A training question with this cosine to a test question is dropped: less than the 0.99 from which the encoder takes
two texts for the same, since a good question lost costs less than a test question kept."""


def test_questions(data: Path) -> list[str]:
    """The questions of MMLU, GSM8K and MT Bench, and the MMLU part of MMLU-Pro."""
    questions = [q for name in ("mmlu", "gsm8k", "mt-bench") for q in load_benchmark(name).load(data).queries]
    pro = Reading(MMLUPro(with_mmlu=True), data / "mmlu_pro/mmlu_pro_per_question.jsonl.gz").to_memory().data
    return questions + [
        query for query, source in zip(pro.queries, pro.source, strict=True) if source.endswith("ori_mmlu")
    ]


def training_battles(data: Path, encoder: Encoder) -> tuple[Battles, dict[str, dict[str, object]]]:
    """All sources without what comes near a test question, and an account of each."""
    tests = test_questions(data)
    parts, account = [], {}
    for source in SOURCES:
        battles = read_source(source, data)
        found = find_contaminated(battles.queries, tests, encoder=encoder, threshold=SAME)
        kept = battles.take(kept_rows(len(battles), found))
        parts.append(kept)
        account[source.name] = {
            "licence": source.licence,
            "models": str(source.models),
            "questions": len(kept),
            "dropped_near_test_questions": len(found),
            "mean_win_rate": round(float(kept.share_a.mean()), 4),
        }
    return balanced(parts), account


def balanced(parts: list[Battles]) -> Battles:
    """All battles, where a source counts as the root of its size: no large source decides alone."""
    weighted = [
        Battles.from_columns(
            part.queries,
            PAIR.strong,
            PAIR.weak,
            part.share_a,
            weight=np.full(len(part), 1 / np.sqrt(len(part))),
            source=part.source,
            pair=PAIR,
        )
        for part in parts
    ]
    return Battles.concat(weighted)


def calibration_prompts(data: Path) -> list[str]:
    """Arena-Hard's prompts, which users wrote."""
    rows = [
        row
        for name in ("v0.1", "v2.0")
        for _, row in read_jsonl(data / f"arena_hard_prompts/arena_hard_{name}.jsonl.gz")
    ]
    return [row["prompt"] if "prompt" in row else row["turns"][0]["content"] for row in rows]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    encoder = StaticEncoder()
    battles, account = training_battles(arguments.data, encoder)
    router = Blend(encoder).fit(battles)
    router.seen_queries_ = fingerprints(battles.queries)
    prompts = calibration_prompts(arguments.data)
    calibration = Calibration.from_win_rates(
        router.predict_win_rate(prompts), data=f"{len(prompts):,} prompts of Arena-Hard v0.1 and v2.0 (Apache-2.0)"
    )
    card = Path(__file__).with_name("card.md").read_text(encoding="utf-8")
    router.save(arguments.output, card=card, calibration=calibration.to_json(), extra={"trained_on": account})
    print(json.dumps(account, indent=2))
    print(json.dumps(router.block_shares_))


if __name__ == "__main__":
    main()
