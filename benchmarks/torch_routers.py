"""Fine-tune `bert` or `causal-llm` on real battles, measure it on the three benchmarks, write curve and figures.

    python benchmarks/torch_routers.py bert --checkpoint MINILM --data DIR --train golden \\
        --set max_tokens=256 n_steps=240 --out benchmarks/results/bert_golden.json

DIR holds `routellm_release/` (the outcomes released with the paper), `arena_human_2023/` and `alpaca_eval/`. MINILM is
a folder with a Hugging Face model and its tokenizer. Needs `pip install 'turnout[torch]'`.
"""

from __future__ import annotations

import argparse
import gzip
import json
import platform
import re
import shlex
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from turnout import registry
from turnout.data.battles import Battles
from turnout.data.importers.routellm_release import STRONG, WEAK
from turnout.data.outcomes import Outcomes
from turnout.data.split import same_text, sample_rows
from turnout.evaluation.benchmarks.base import load_benchmark
from turnout.evaluation.bootstrap import Interval, bootstrap
from turnout.evaluation.metrics import apgr, cpt
from turnout.types import ModelPair

PAIR = ModelPair(STRONG, WEAK)
N_GOLDEN = 1500

# The paper's tiers (appendix A), for the models of the human Arena file: tiers 0 and 1 are strong, tier 2 is weak.
ARENA_STRONG = {"gpt-4", "claude-1"}
ARENA_WEAK = {"claude-2", "gpt-3.5-turbo", "claude-instant-1", "wizardlm-70b", "vicuna-33b", "llama-2-70b-chat"}
ARENA_SHARE = {"model_a": 1.0, "model_b": 0.0, "tie": 0.5, "tie (bothbad)": 0.5}


def released(folder: Path, name: str) -> Outcomes:
    """The paper's outcomes of a benchmark, without the questions that its authors found contaminated."""
    return load_benchmark(name).load(folder).for_pair(PAIR)


def golden(outcomes: Outcomes) -> Battles:
    """Right against wrong is a win; both right or both wrong is a tie."""
    share = (1 + score(outcomes, PAIR.strong) - score(outcomes, PAIR.weak)) / 2
    return Battles.from_columns(outcomes.queries, PAIR.strong, PAIR.weak, share, source="golden", pair=PAIR)


def arena(folder: Path) -> Battles:
    """Human votes between a strong and a weak tier, on the first turn."""
    queries, shares = [], []
    for row in lines(folder / "arena_human_2023" / "battles.jsonl.gz"):
        share = ARENA_SHARE[row["winner"]]
        if row["model_a"] in ARENA_WEAK and row["model_b"] in ARENA_STRONG:
            share = 1 - share
        elif not (row["model_a"] in ARENA_STRONG and row["model_b"] in ARENA_WEAK):
            continue
        queries.append(row["turns"][0])
        shares.append(share)
    return Battles.from_columns(queries, PAIR.strong, PAIR.weak, shares, source="arena", pair=PAIR)


def judged(folder: Path) -> Battles:
    """AlpacaEval's judgements of the pair, the mean of its judges."""
    queries, shares = [], []
    for row in lines(folder / "alpaca_eval" / "pair_gpt4_1106_vs_mixtral8x7b.jsonl.gz"):
        preferences = [float(row[key]) for key in row if key.startswith("pref_") and row[key] is not None]
        queries.append(row["prompt"])
        shares.append(float(np.clip(2 - np.mean(preferences), 0, 1)))  # 1 = strong wins, 2 = weak wins
    return Battles.from_columns(queries, PAIR.strong, PAIR.weak, shares, source="judge", pair=PAIR)


def lines(path: Path) -> list[dict[str, Any]]:
    """The objects of a packed JSON Lines file."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def score(outcomes: Outcomes, model: str) -> np.ndarray:
    """One model's scores, shape (n_queries,)."""
    return outcomes.scores[:, outcomes.models.index(model)]


def measure(router: Any, outcomes: Outcomes) -> dict[str, Any]:
    """APGR and CPT with 95 % bootstrap intervals over queries, and the time that routing took."""
    start = time.perf_counter()
    rates = router.predict_win_rate(outcomes.queries)
    seconds = time.perf_counter() - start
    strong, weak = score(outcomes, PAIR.strong), score(outcomes, PAIR.weak)
    replicates = bootstrap(rates, strong, weak)
    figures: dict[str, Any] = {
        "n_queries": len(outcomes),
        "apgr": apgr(rates, strong, weak),
        "apgr_interval": list(vars(Interval.of(replicates.apgr)).values()),
        "queries_per_s": len(outcomes) / seconds,
        "n_invalid": int(np.isnan(rates).sum()),
    }
    for share in (0.5, 0.8):
        figures[f"cpt_{share:g}"] = cpt(rates, strong, weak, share).strong_fraction
        figures[f"cpt_{share:g}_interval"] = list(vars(Interval.of(replicates.cpt[share])).values())
    return figures


def without_folders(argument: str) -> str:
    """The last part of an absolute path, so that a result does not tell where files lie on the machine."""
    return Path(argument).name if Path(argument).is_absolute() else argument


def main() -> None:
    """Train, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("router", choices=["bert", "causal-llm"])
    parser.add_argument("--checkpoint", required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--train", choices=["golden", "arena+judge"], default="golden")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="settings of the router, as JSON")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sample", type=int, help="measure on a seeded sample of this many distinct queries")
    parser.add_argument("--save", type=Path, help="save the fitted router in this folder")
    parser.add_argument("--checkpoint-folder", type=Path, help="where a killed run goes on from")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()

    mmlu = released(arguments.data, "mmlu")
    golden_rows, test_rows = sample_rows(mmlu.queries, N_GOLDEN, seed=arguments.seed)
    tests = {
        "mmlu": mmlu.take(test_rows),
        "gsm8k": released(arguments.data, "gsm8k"),
        "mt-bench": released(arguments.data, "mt-bench"),
    }
    if arguments.train == "golden":
        battles = golden(mmlu.take(golden_rows))
    else:
        battles = Battles.concat([arena(arguments.data), judged(arguments.data)])
        asked = {same_text(query) for test in tests.values() for query in test.queries}
        battles = battles.take([row for row, query in enumerate(battles.queries) if same_text(query) not in asked])
    if arguments.sample:
        tests = {
            f"{name} (seeded sample of {arguments.sample:,})" if len(test) > arguments.sample else name: test.take(
                sample_rows(test.queries, arguments.sample, seed=arguments.seed)[0]
            )
            if len(test) > arguments.sample
            else test
            for name, test in tests.items()
        }

    settings = {key: _value(text) for key, _, text in (pair.partition("=") for pair in arguments.set)}
    router = registry.load("router", arguments.router)(arguments.checkpoint, seed=arguments.seed, **settings)
    start = time.perf_counter()
    steps: dict[str, list[float]] = {"batch_loss": [], "elapsed_s": []}

    def progress(seen: Any) -> None:
        elapsed_s = round(time.perf_counter() - start, 1)
        steps["batch_loss"].append(round(seen.train_loss, 4))
        steps["elapsed_s"].append(elapsed_s)
        print(
            f"\r{seen.step}/{seen.n_steps} {seen.train_loss:.4f} {seen.validation_loss} {elapsed_s} s",
            end="",
            file=sys.stderr,
        )

    router.fit(battles, checkpoint_folder=arguments.checkpoint_folder, progress=progress)
    training_s = time.perf_counter() - start
    if arguments.save:
        router.save(arguments.save)
    result = {
        "command": shlex.join(["python", *map(without_folders, sys.argv)]),
        "router": arguments.router,
        "checkpoint": Path(arguments.checkpoint).name,
        "settings": settings,
        "train": {source: battles.source.count(source) for source in sorted(set(battles.source))},
        "training_s": round(training_s, 1),
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads, shared; torch {torch.__version__}",
        "looks": router.learning_curve_,
        "steps": steps,
        "tests": {name: measure(router, test) for name, test in tests.items()},
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(result, indent=1)
    # The columns of steps are long: one line each.
    text = re.sub(r"\[[^\[\]{}]*\]", lambda found: " ".join(found[0].split()), text)
    arguments.out.write_text(text + "\n")
    print(json.dumps(result["tests"], indent=1))


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


if __name__ == "__main__":
    main()
