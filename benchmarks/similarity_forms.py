"""Which of the three forms of the weight does `sw` best with? Measured on the development sources alone.

Follows docs/adr/0001-selection-protocol.md: within each source by cross-validation over distinct queries, and across
sources by leaving one out; the criterion is the mean of APGR over sources. MMLU, GSM8K and MT Bench take no part.

Run: OMP_NUM_THREADS=1 python benchmarks/similarity_forms.py --data DIR --out benchmarks/results/similarity_forms.json
"""

from __future__ import annotations

import argparse
import itertools
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np

from turnout import registry
from turnout.data.battles import Battles
from turnout.data.importers.source import Reading
from turnout.data.outcomes import Outcomes
from turnout.data.split import same_text, split_rows
from turnout.data.tiers import Tiers, lift
from turnout.encoders.cache import CachedEncoder
from turnout.encoders.static import StaticEncoder
from turnout.evaluation.bootstrap import Interval
from turnout.evaluation.pair_table import PairTable
from turnout.evaluation.replay import Replay
from turnout.evaluation.runner import measure
from turnout.routers.learning.similarity_weights import Similarity
from turnout.routers.similarity import SimilarityRanking
from turnout.types import FloatArray, ModelPair

PAIR = ModelPair("strong", "weak")
FORMS = get_args(Similarity)
N_FOLDS = 5
N_REPLICATES = 1000


@dataclass(frozen=True, eq=False)
class DevelopmentSource:
    """What routers are trained and measured on: each query once or more, and strong's share of the win on it."""

    queries: list[str]
    share: FloatArray

    @property
    def battles(self) -> Battles:
        """As battles of one pair."""
        return Battles.from_columns(self.queries, PAIR.strong, PAIR.weak, self.share, pair=PAIR)

    def table(self, name: str) -> PairTable:
        """As outcomes: a share s is a score of s for strong and 1 − s for weak, so that the gain is 2s − 1."""
        outcomes = Outcomes.from_columns(self.queries, {PAIR.strong: self.share, PAIR.weak: 1 - self.share})
        return PairTable(name, name, PAIR, outcomes.for_pair(PAIR), scale=1.0)


def read(importer: str, path: Path) -> Battles | Outcomes:
    """A source's file, imported."""
    return Reading(registry.load("importer", importer)(), path).to_memory().data


def of_outcomes(outcomes: Outcomes, strong: str, weak: str, source: str = "") -> DevelopmentSource:
    """One pair's outcomes, of one source in the file."""
    rows = [row for row, name in enumerate(outcomes.source) if name.startswith(source)]
    battles = outcomes.take(rows).battles(ModelPair(strong, weak))
    return DevelopmentSource(list(battles.queries), battles.strong_share())


def of_arena(votes: Battles) -> DevelopmentSource:
    """Human votes, lifted: the top fifth of ten tiers against the rest, so that most votes take part."""
    tiers = Tiers.of(votes, 10)
    lifted = lift(votes, tiers.members((0, 1)), tiers.members(range(2, 10)))
    return DevelopmentSource(list(lifted.queries), lifted.strong_share())


def development_sources(data: Path) -> dict[str, DevelopmentSource]:
    """The protocol's development sources, each with a costly model against a cheap one."""
    pro = read("mmlu-pro", data / "mmlu_pro" / "mmlu_pro_per_question.jsonl.gz")
    zero = read("zeroeval", data / "zeroeval" / "crux_math.jsonl.gz")
    router_bench = read("routerbench", data / "routerbench_subset" / "mbpp_winogrande.jsonl.gz")
    bench = read("arena-bench", data / "arena_bench_v1" / "scores.jsonl.gz")
    judged = read("alpaca-eval-pair", data / "alpaca_eval" / "pair_gpt4_1106_vs_mixtral8x7b.jsonl.gz")
    votes = read("arena", data / "arena_human_2023" / "battles.jsonl.gz")
    assert all(isinstance(table, Outcomes) for table in (pro, zero, router_bench, bench))
    mixtral = "Mixtral-8x7B-Instruct-v0.1"
    release = ("gpt-4-1106-preview", "mistralai/mixtral-8x7b-chat")
    return {
        "mmlu-pro": of_outcomes(pro, "gpt4o_may2024", mixtral),
        "crux": of_outcomes(zero, "gpt-4o-2024-05-13", mixtral, "zeroeval/crux"),
        "math": of_outcomes(zero, "gpt-4o-2024-05-13", "Meta-Llama-3-8B-Instruct", "zeroeval/math"),
        "mbpp": of_outcomes(router_bench, *release, "routerbench/mbpp"),
        "winogrande": of_outcomes(router_bench, *release, "routerbench/winogrande"),
        "arena-bench": of_outcomes(bench, "gpt-4-1106-preview", "mixtral-8x7b-instruct-v0.1"),
        "alpaca-eval": DevelopmentSource(list(judged.queries), judged.share_a),
        "arena": of_arena(votes),
    }


def cross_validated(source: DevelopmentSource, make: Mapping[str, SimilarityRanking]) -> dict[str, FloatArray]:
    """Each form's win rate on each row, by a router that has seen no row of the same query."""
    folds = split_rows(source.queries, [1 / N_FOLDS] * N_FOLDS, seed=0)
    rates = {form: np.empty(len(source.queries)) for form in make}
    for fold in folds:
        train = source.battles.take(np.setdiff1d(np.arange(len(source.queries)), fold))
        queries = [source.queries[row] for row in fold]
        for form, router in make.items():
            rates[form][fold] = router.fit(train).predict_win_rate(queries)
    return rates


def left_out(
    name: str, sources: Mapping[str, DevelopmentSource], make: Mapping[str, SimilarityRanking]
) -> dict[str, FloatArray]:
    """Each form's win rates on a source, trained on all others, each of which weighs the same in all."""
    tested = {same_text(query) for query in sources[name].queries}
    parts = []
    for other, source in sources.items():
        if other != name:
            kept = source.battles.take([n for n, q in enumerate(source.queries) if same_text(q) not in tested])
            parts.append(
                Battles.from_columns(
                    kept.queries, PAIR.strong, PAIR.weak, kept.share_a, weight=1000 / len(kept), pair=PAIR
                )
            )
    train = Battles.concat(parts)
    return {form: router.fit(train).predict_win_rate(sources[name].queries) for form, router in make.items()}


def figures(by_source: Mapping[str, tuple[PairTable, dict[str, FloatArray]]]) -> dict[str, object]:
    """APGR of each form on each source, their means, and the paired differences of the means."""
    rows: dict[str, object] = {}
    draws: dict[str, list[FloatArray]] = {form: [] for form in FORMS}
    values: dict[str, list[float]] = {form: [] for form in FORMS}
    for seed, (name, (table, rates)) in enumerate(by_source.items()):
        rows[name] = {"n_queries": len(table)}
        for form in FORMS:
            result = measure(table, form, [Replay.of_all(rates[form])], n_replicates=N_REPLICATES, seed=seed)
            rows[name][form] = [round(result.apgr.value, 4), *rounded(result.apgr.interval)]
            draws[form].append(result.replicates[0].apgr)
            values[form].append(result.apgr.value)
    # Sources are drawn independently: the same replicate's draws of all sources make one draw of the mean.
    means = {form: np.nanmean(draws[form], axis=0) for form in FORMS}
    return {
        "sources": rows,
        "mean": {form: [round(float(np.mean(values[form])), 4), *rounded(Interval.of(means[form]))] for form in FORMS},
        "difference": {
            f"{first} − {second}": [
                round(float(np.mean(values[first]) - np.mean(values[second])), 4),
                *rounded(Interval.of(means[first] - means[second])),
            ]
            for second, first in itertools.combinations(FORMS, 2)
        },
    }


def rounded(interval: Interval) -> list[float]:
    """Both ends, to four places."""
    return [round(interval.low, 4), round(interval.high, 4)]


def main() -> None:
    """Measure all forms, print and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    sources = development_sources(arguments.data)
    encoder = CachedEncoder(StaticEncoder(), capacity=sum(len(source.queries) for source in sources.values()))
    make = {form: SimilarityRanking(encoder, similarity=form) for form in FORMS}
    tables = {name: source.table(name) for name, source in sources.items()}
    within = {name: (tables[name], cross_validated(source, make)) for name, source in sources.items()}
    across = {name: (tables[name], left_out(name, sources, make)) for name in sources}
    result = {
        "command": "python benchmarks/similarity_forms.py --data DIR --out benchmarks/results/similarity_forms.json",
        "encoder": encoder.identity,
        "gamma": 10,
        "figure": "APGR, with its 95 % bootstrap interval over queries",
        "within_a_source": figures(within),
        "one_source_left_out": figures(across),
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    text = re.sub(
        r"\[[^\[\]]*\]", lambda numbers: " ".join(numbers[0].split()), json.dumps(result, indent=1, ensure_ascii=False)
    )
    arguments.out.write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
