"""What `blend` and the shipped router reach on the paper's benchmarks: the test of the selection protocol, run once.

    python benchmarks/blend_table.py --data DIR > benchmarks/results/blend_table.json

DIR holds the outcome files that docs/adr/0001-selection-protocol.md names. About fifteen minutes on one thread.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from turnout import registry
from turnout.data.battles import Battles
from turnout.data.contamination import find_contaminated, kept_rows
from turnout.data.importers.source import Reading
from turnout.data.outcomes import Outcomes
from turnout.data.split import sample_rows, seen_rows
from turnout.data.tiers import Tiers, lift
from turnout.encoders.static import StaticEncoder
from turnout.evaluation.benchmarks.base import load_benchmark
from turnout.evaluation.golden import golden_replays, golden_splits
from turnout.evaluation.pair_table import PairTable
from turnout.evaluation.replay import Replay
from turnout.evaluation.runner import measure
from turnout.routers.base import Router
from turnout.routers.blend import Blend
from turnout.types import JSON, Encoder, ModelPair

N_SEEDS = 5
GOLDEN = (("mmlu", 1_500), ("mmlu", 200), ("gsm8k", 500))
BENCHMARKS = ("mmlu", "gsm8k", "mt-bench")
STAND_IN = ModelPair("strong", "weak")
DEVELOPMENT = (
    ("mmlu-pro", "mmlu_pro/mmlu_pro_per_question.jsonl.gz", "", "gpt4o_may2024", "Mixtral-8x7B-Instruct-v0.1", 1.0),
    ("zeroeval", "zeroeval/crux_math.jsonl.gz", "crux", "gpt-4-turbo-2024-04-09", "Mixtral-8x7B-Instruct-v0.1", 1.0),
    ("zeroeval", "zeroeval/crux_math.jsonl.gz", "math", "gpt-4-turbo-2024-04-09", "gpt-3.5-turbo-0125", 1.0),
    (
        "routerbench",
        "routerbench_subset/mbpp_winogrande.jsonl.gz",
        "",
        "gpt-4-1106-preview",
        "mistralai/mixtral-8x7b-chat",
        1.0,
    ),
    ("arena-bench", "arena_bench_v1/scores.jsonl.gz", "", "gpt-4-1106-preview", "mixtral-8x7b-instruct-v0.1", 9.0),
)
NEWER = (
    ("mmlu-pro", "mmlu_pro/mmlu_pro_per_question.jsonl.gz", "gpt4o_may2024", "Meta-Llama-3_1-8B-Instruct"),
    (
        "mmlu-pro",
        "mmlu_pro/mmlu_pro_per_question.jsonl.gz",
        "Meta-Llama-3_1-70B-Instruct",
        "Meta-Llama-3_1-8B-Instruct",
    ),
    ("mmlu-pro", "mmlu_pro/mmlu_pro_per_question.jsonl.gz", "gemini-1.5-pro-002", "gemini-1.5-flash-002"),
    ("mmlu-pro", "mmlu_pro/mmlu_pro_per_question.jsonl.gz", "gemini-3.1-pro_2026-02", "gemini-1.5-flash-002"),
    ("zeroeval", "zeroeval/crux_math.jsonl.gz", "gpt-4o-2024-08-06", "gpt-4o-mini-2024-07-18"),
    ("zeroeval", "zeroeval/crux_math.jsonl.gz", "o1-mini-2024-09-12", "gpt-4o-mini-2024-07-18"),
    ("zeroeval", "zeroeval/crux_math.jsonl.gz", "Meta-Llama-3.1-70B-Instruct", "Meta-Llama-3.1-8B-Instruct"),
)


def main() -> None:
    """Compute every figure and print it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    data: Path = parser.parse_args().data
    encoder = StaticEncoder()
    tables = {name: PairTable.of_benchmark(load_benchmark(name), data) for name in BENCHMARKS}
    shipped = Router.load()
    result: dict[str, JSON] = {"command": "blend_table.py --data DIR", "encoder": encoder.identity}
    result["shipped"] = {name: replayed(shipped, table) for name, table in tables.items()}
    note("shipped")
    battles = development_battles(data, encoder, [q for table in tables.values() for q in table.outcomes.queries])
    everything = Blend(encoder).fit(battles)
    result["all_development_sources"] = {
        "sources": {name: battles.source.count(name) for name in sorted(set(battles.source))},
        "block_shares": everything.block_shares_,
        **{name: replayed(everything, table) for name, table in tables.items()},
    }
    note("all development sources")
    result["newer_pairs"] = [newer(shipped, data, *row) for row in NEWER]
    note("newer pairs")
    result["golden"] = []
    for name, n_labels in GOLDEN:
        result["golden"].append(golden(tables[name], n_labels, encoder))
        note(f"{name} {n_labels}")
    print(json.dumps(result, indent=2))


def note(what: str) -> None:
    """Say on stderr what is done."""
    print(what, file=sys.stderr, flush=True)


def golden(table: PairTable, n_labels: int, encoder: Encoder) -> dict[str, JSON]:
    """Trained on golden labels alone, for five seeds; and the same on the rows that no development looked at."""
    replays = golden_replays(lambda seed: Blend(encoder, seed=seed), table, golden_splits(table, n_labels, N_SEEDS))
    developed, _ = sample_rows(table.outcomes.queries, max(n for name, n in GOLDEN if name == table.name), seed=0)
    untouched = []
    for replay in replays:
        kept = ~np.isin(replay.rows, developed)
        untouched.append(Replay(replay.win_rates[kept], replay.rows[kept], replay.seed))
    return {
        "benchmark": table.name,
        "labels": n_labels,
        **figures(table, replays),
        "on_rows_in_no_development": figures(table, untouched),
    }


def replayed(router: Router, table: PairTable) -> dict[str, JSON]:
    """What a fitted router reaches on a table."""
    return figures(table, [Replay.of_all(router.predict_win_rate(table.outcomes.queries))])


def figures(table: PairTable, replays: Sequence[Replay]) -> dict[str, JSON]:
    """The metrics of a router's replays, with intervals."""
    found = measure(table, "blend", replays)
    return {
        "queries": found.n_queries,
        "apgr": round(found.apgr.value, 4),
        "apgr_interval": [round(found.apgr.interval.low, 4), round(found.apgr.interval.high, 4)],
        "apgr_by_seed": [round(value, 4) for value in found.apgr.by_seed],
        "apgr_ten_point_grid": round(found.apgr_ten_point_grid, 4),
        "cpt_50": round(found.cpt[0.5].value, 4),
        "cpt_80": round(found.cpt[0.8].value, 4),
        "tied_share": round(found.tied_share, 4),
    }


def newer(router: Router, data: Path, importer: str, path: str, strong: str, weak: str) -> dict[str, JSON]:
    """The shipped router on a pair it was not trained for, on queries that it did not learn from."""
    outcomes = read(importer, data / path).for_pair(ModelPair(strong, weak))
    outcomes = outcomes.take(~seen_rows(outcomes.queries, router.seen_queries_))
    table = PairTable(importer, importer, ModelPair(strong, weak), outcomes, scale=1.0)
    by_source = {}
    for source in sorted(set(outcomes.source)):
        rows = outcomes.take(np.array([name == source for name in outcomes.source]))
        if len(rows) >= 100:
            by_source[source] = replayed(router, PairTable(source, source, table.pair, rows, scale=1.0))
    return {"strong": strong, "weak": weak, "by_source": by_source}


def read(importer: str, path: Path) -> Outcomes:
    """A file's outcomes."""
    outcomes = Reading(registry.load("importer", importer)(), path).to_memory().data
    assert isinstance(outcomes, Outcomes)
    return outcomes


def development_battles(data: Path, encoder: Encoder, tests: Sequence[str]) -> Battles:
    """All development sources for one stand-in pair, without what comes near a test question; see the protocol."""
    parts = []
    for importer, path, keep, strong, weak, scale in DEVELOPMENT:
        outcomes = read(importer, data / path)
        outcomes = outcomes.take(np.array([keep in name for name in outcomes.source]))
        parts.append(renamed(outcomes.battles(ModelPair(strong, weak), scale=scale)))
    judged = Reading(
        registry.load("importer", "alpaca-eval-pair")(), data / "alpaca_eval/pair_gpt4_1106_vs_mixtral8x7b.jsonl.gz"
    ).to_memory()
    assert isinstance(judged.data, Battles)
    parts.append(renamed(judged.data))
    votes = Reading(registry.load("importer", "arena")(), data / "arena_human_2023/battles.jsonl.gz").to_memory().data
    assert isinstance(votes, Battles)
    tiers = Tiers.of(votes, 4)
    parts.append(renamed(lift(votes, tiers.members((0, 1)), tiers.members((2,)))))
    together = Battles.concat(parts)
    found = find_contaminated(together.queries, tests, encoder=encoder, threshold=0.93)
    kept = together.take(kept_rows(len(together), found)).with_pair(STAND_IN)
    sizes = {name: kept.source.count(name) for name in set(kept.source)}
    weight = np.array([1 / np.sqrt(sizes[name]) for name in kept.source])
    return Battles.from_columns(
        kept.queries, STAND_IN.strong, STAND_IN.weak, kept.share_a, weight=weight, source=kept.source, pair=STAND_IN
    )


def renamed(battles: Battles) -> Battles:
    """The same battles between the stand-in pair's names."""
    return Battles.from_columns(
        battles.queries,
        STAND_IN.strong,
        STAND_IN.weak,
        battles.share_a,
        source=[name or "arena" for name in battles.source],
        pair=STAND_IN,
    )


if __name__ == "__main__":
    main()
