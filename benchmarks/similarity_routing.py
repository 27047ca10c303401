"""What `sw` reaches on MMLU, GSM8K and MT Bench, in each form of the weight, with the static encoder.

Nothing is chosen here: the default form was chosen on other data (benchmarks/similarity_forms.py), and all other
settings are the defaults. Trained on

- `arena`: human votes of 2023. The paper's classes, tiers 0 and 1 against tier 2, by the tiers of these votes.
- `arena, ten tiers`: all the votes, with tiers inside the router. Neither model of the paper's pair is among them;
  gpt-4 (tier 0) and vicuna-33b (tier 2, as in the paper) stand in.
- `arena+judge`: the first, and AlpacaEval's judgements of the very pair.
- `golden`: 1,500 MMLU questions for each of five seeds, tested on all others.

Battles on a benchmark's own queries are left out.

Run: OMP_NUM_THREADS=1 python benchmarks/similarity_routing.py --data DIR --out RESULT.json
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import get_args

from turnout import registry
from turnout.data.battles import Battles
from turnout.data.importers.source import Reading
from turnout.data.tiers import LIFTED_PAIR, Tiers, lift
from turnout.encoders.cache import CachedEncoder
from turnout.encoders.static import StaticEncoder
from turnout.evaluation.benchmarks.base import load_benchmark
from turnout.evaluation.golden import golden_replays, golden_splits, named_for, without_test_queries
from turnout.evaluation.pair_table import PairTable
from turnout.evaluation.replay import Replay
from turnout.evaluation.runner import RouterResult, measure
from turnout.routers.learning.similarity_weights import Similarity
from turnout.routers.similarity import SimilarityRanking
from turnout.types import ModelPair

FORMS = get_args(Similarity)
STAND_IN = ModelPair("gpt-4", "vicuna-33b")
N_GOLDEN, N_SEEDS = 1500, 5


def read(importer: str, path: Path) -> Battles:
    """A source's battles."""
    battles = Reading(registry.load("importer", importer)(), path, min_characters=16).to_memory().data
    assert isinstance(battles, Battles)
    return battles


def training_sets(data: Path) -> dict[str, Battles]:
    """Name → battles whose pair is settled."""
    votes = read("arena", data / "arena_human_2023" / "battles.jsonl.gz")
    judged = read("alpaca-eval-pair", data / "alpaca_eval" / "pair_gpt4_1106_vs_mixtral8x7b.jsonl.gz")
    tiers = Tiers.of(votes, 10)
    lifted = lift(votes, tiers.members((0, 1)), tiers.members((2,)))
    (pair,) = set(zip(judged.model_a, judged.model_b, strict=True))
    judged = judged.between({pair[0]}, {pair[1]}, pair=LIFTED_PAIR)
    return {
        "arena": lifted,
        "arena, ten tiers": votes.with_pair(STAND_IN),
        "arena+judge": Battles.concat([lifted, judged]),
    }


def figures(result: RouterResult) -> dict[str, object]:
    """APGR and CPT with their intervals."""
    rows: dict[str, object] = {"apgr": [result.apgr.value, result.apgr.interval.low, result.apgr.interval.high]}
    for share, estimate in result.cpt.items():
        rows[f"cpt_{share:g}"] = [estimate.value, estimate.interval.low, estimate.interval.high]
    rounded = {name: [round(value, 4) for value in values] for name, values in rows.items()}  # type: ignore[attr-defined]
    return {"n_queries": result.n_queries, **rounded}


def main() -> None:
    """Train, measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    tables = {
        name: PairTable.of_benchmark(load_benchmark(name), arguments.data) for name in ("mmlu", "gsm8k", "mt-bench")
    }
    encoder = CachedEncoder(StaticEncoder(), capacity=20_000)
    results: dict[str, dict[str, dict[str, object]]] = {}

    def keep(trained_on: str, benchmark: str, form: str, result: RouterResult) -> None:
        results.setdefault(trained_on, {}).setdefault(benchmark, {})[form] = figures(result)
        print(trained_on, benchmark, form, round(result.apgr.value, 4), file=sys.stderr)

    sets = training_sets(arguments.data)
    for trained_on, battles in sets.items():
        for name, table in tables.items():
            kept = without_test_queries(named_for(table.pair, battles), table)
            for form in FORMS:
                router = SimilarityRanking(encoder, similarity=form).fit(kept)
                rates = router.predict_win_rate(table.outcomes.queries)
                keep(trained_on, name, form, measure(table, form, [Replay.of_all(rates)]))
    splits = golden_splits(tables["mmlu"], N_GOLDEN, N_SEEDS)
    for form in FORMS:
        replays = golden_replays(
            lambda _, form=form: SimilarityRanking(encoder, similarity=form), tables["mmlu"], splits
        )
        keep("golden", "mmlu", form, measure(tables["mmlu"], form, replays))
    result = {
        "command": "python benchmarks/similarity_routing.py --data DIR --out RESULT.json",
        "encoder": encoder.identity,
        "battles": {name: len(battles) for name, battles in sets.items()},
        "results": results,
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    text = re.sub(r"\[[^\[\]]*\]", lambda numbers: " ".join(numbers[0].split()), json.dumps(result, indent=1))
    arguments.out.write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
