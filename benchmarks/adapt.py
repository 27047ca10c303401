"""The learning curve of `turnout adapt`: from the shipped router, and from nothing, by number of labels.

    python benchmarks/adapt.py --data DIR > benchmarks/results/adapt.json

On development sources that the shipped router has not seen: MMLU-Pro's stemez and SciBench rows (gpt-4o against
Mixtral), MATH (Llama-3.1-70B against 8B), and AlpacaEval (a judge's preferences; a model's score is its share of each).
Labels are drawn anew for each seed; all others are the test. `seconds` is one core's processor time.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from turnout import registry
from turnout.data.importers.source import Reading
from turnout.data.outcomes import Outcomes
from turnout.encoders.cache import CachedEncoder
from turnout.encoders.static import StaticEncoder
from turnout.evaluation.golden import golden_splits
from turnout.evaluation.pair_table import PairTable
from turnout.evaluation.replay import Replay
from turnout.evaluation.runner import compare, measure
from turnout.routers.base import Router
from turnout.routers.blend import Blend
from turnout.types import JSON, ModelPair

sys.path.append(str(Path(__file__).parents[1] / "tools/train_shipped_router"))
from measure import judged

LABELS = (50, 100, 200, 500, 1_500)
SEEDS = {50: 10, 100: 10, 200: 6, 500: 4, 1_500: 3}
TASKS = (
    ("zeroeval", "zeroeval/crux_math.jsonl.gz", "math", "Meta-Llama-3.1-70B-Instruct", "Meta-Llama-3.1-8B-Instruct"),
    ("mmlu-pro", "mmlu_pro/mmlu_pro_per_question.jsonl.gz", "stemez", "gpt4o_may2024", "Mixtral-8x7B-Instruct-v0.1"),
    ("mmlu-pro", "mmlu_pro/mmlu_pro_per_question.jsonl.gz", "scibench", "gpt4o_may2024", "Mixtral-8x7B-Instruct-v0.1"),
)
JUDGED = "alpaca-eval"
N_REPLICATES = 200


def main() -> None:
    """Compute all curves and print them as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    data: Path = parser.parse_args().data
    encoder = CachedEncoder(StaticEncoder(), capacity=10_000)
    start = Router.load(encoder=encoder)
    assert isinstance(start, Blend)
    curves: list[dict[str, JSON]] = []
    for name, table in tables(data):
        points = [point(table, start, n) for n in LABELS if n < 0.8 * len(table)]
        curves.append({"source": name, "pair": str(table.pair), "points": points})
    print(json.dumps({"command": "adapt.py --data DIR", "curves": curves}, indent=2))


def tables(data: Path) -> Iterator[tuple[str, PairTable]]:
    """Each source's name and outcomes."""
    for importer, path, keep, strong, weak in TASKS:
        outcomes = Reading(registry.load("importer", importer)(), data / path).to_memory().data
        assert isinstance(outcomes, Outcomes)
        pair = ModelPair(strong, weak)
        kept = outcomes.take(np.array([keep in name for name in outcomes.source])).for_pair(pair)
        yield f"{importer}/{keep}", PairTable(keep, keep, pair, kept, scale=1.0)
    battles = judged(data)[JUDGED]
    pair = ModelPair(battles.model_a[0], battles.model_b[0])
    share = battles.share_a
    outcomes = Outcomes.from_columns(battles.queries, {pair.strong: share, pair.weak: 1 - share})
    yield JUDGED, PairTable(JUDGED, JUDGED, pair, outcomes.for_pair(pair), scale=1.0)


def point(table: PairTable, start: Blend, n_labels: int) -> dict[str, JSON]:
    """APGR with so many labels, adapted and from nothing, with their paired difference over seeds and queries."""
    adapted, fresh, kept, seconds = [], [], [], []
    for split in golden_splits(table, n_labels, SEEDS[n_labels]):
        battles = table.outcomes.take(split.train).battles(table.pair, scale=table.scale)
        queries = [table.outcomes.queries[row] for row in split.test]
        began = time.process_time()
        router = Blend(start.encoder).fit(battles, start=start)
        seconds.append(time.process_time() - began)
        kept.append(router.block_shares_["prior"])
        adapted.append(Replay(router.predict_win_rate(queries), split.test, split.seed))
        anew = Blend(start.encoder).fit(battles)
        fresh.append(Replay(anew.predict_win_rate(queries), split.test, split.seed))
    ours, theirs = (
        measure(table, "adapted", adapted, n_replicates=N_REPLICATES),
        measure(table, "from nothing", fresh, n_replicates=N_REPLICATES),
    )
    difference = compare(ours, theirs)
    found: dict[str, JSON] = {
        "labels": n_labels,
        "seeds": len(adapted),
        "adapted": round(ours.apgr.value, 4),
        "from_nothing": round(theirs.apgr.value, 4),
        "difference": round(difference.difference, 4),
        "difference_interval": [round(difference.interval.low, 4), round(difference.interval.high, 4)],
        "kept_of_start": round(float(np.mean(kept)), 3),
        "seconds": round(float(np.median(seconds)), 2),
    }
    print(table.name, json.dumps(found), file=sys.stderr, flush=True)
    return found


if __name__ == "__main__":
    main()
