"""Every router at its default settings on every benchmark, and on every source that it has not learned from.

    OMP_NUM_THREADS=1 python benchmarks/leaderboard.py --data DIR

Three runs of `turnout evaluate --compare`, whose commands stand in the report: routers that learn from a benchmark's
own golden labels; routers without a label of MMLU, GSM8K and MT Bench, from what the shipped router learned from; and
such routers on one source after another that is left out of that. A fourth draws curves. Nothing is tuned or chosen.
The encoder `minilm` must have been pulled; its vectors of 24,000 questions take about ten minutes of one core. DIR
holds the outcome files that docs/adr/0001-selection-protocol.md names.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from turnout.atomic_write import write_atomically
from turnout.data.battles import Battles
from turnout.data.outcomes import Outcomes
from turnout.data.tiers import LIFTED_PAIR
from turnout.encoders.static import StaticEncoder
from turnout.types import JSON

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / "tools/train_shipped_router"))
from measure import UNSEEN, judged  # noqa: E402
from sources import SOURCES, read_source  # noqa: E402
from train import training_battles  # noqa: E402

BENCHMARKS = (
    "mmlu",
    "gsm8k",
    "mmlu-pro",
    "zeroeval-crux",
    "zeroeval-math",
    "mbpp",
    "winogrande",
    "arena-bench",
)
GOLDEN = ("200", "mmlu=1500", "mmlu=200", "gsm8k=500", "mmlu-pro=500", "winogrande=500", "mbpp=100", "arena-bench=100")
TRAINED = ("blend", "linear", "knn", "mf", "sw", "cluster", "conditional-bt", "irt")
WITH_MINILM = ("blend@minilm", "linear@minilm", "knn@minilm")
LEARN_NOTHING = ("length", "random")
RUNS = ("golden", "unlabelled", "left-out")
TESTS = ("mmlu", "gsm8k", "mt-bench")
SIMPLER = ("blend", "linear", "knn", "length")


def main() -> None:
    """Run all of it and write the report, the figures and the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/results/leaderboard", metavar="DIR")
    parser.add_argument(
        "--work", type=Path, metavar="DIR", help="Keep what is done here: a run that was stopped goes on after it."
    )
    parser.add_argument(
        "--vectors", type=Path, metavar="FILE", help="Keep the encoders' vectors here; another run may have filled it."
    )
    parser.add_argument("--runs", nargs="+", default=list(RUNS), choices=RUNS, help="Not all of them.")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="Without MiniLM and without 1,500 labels, which take most of the time.",
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        work = options.work or Path(place)
        vectors = options.vectors or work / "vectors.sqlite"
        report, figures = [], {}
        runs = make_runs(options.data, work, quick=options.quick)
        for name in options.runs:
            run, done = runs[name], work / name / "done.json"
            command = shown(run.words, options.data, work)
            kept = json.loads(done.read_text()) if done.exists() else {}
            if kept.get("command") != command:
                printed, minutes = evaluate([*run.words, "--out", str(work / name)], vectors)
                kept = {"command": command, "printed": printed, "minutes": minutes}
                write(done, json.dumps(kept))
            took = f"{kept['minutes']:.0f} minutes of one core."
            report.append("\n\n".join([f"## {run.title}", run.says, f"```sh\n{command}\n```", took, kept["printed"]]))
            found = json.loads((work / name / "results.json").read_text())
            figures[name] = {"command": command, "minutes": round(kept["minutes"], 1), **without_curves(found)}
        options.out.mkdir(parents=True, exist_ok=True)
        evaluate([*curves(options.data), "--plot", str(options.out / "curves.png")], vectors)
    total = sum(run["minutes"] for run in figures.values())
    given = (" --quick" if options.quick else "") + (" --vectors FILE" if options.vectors else "")
    given += "" if options.runs == list(RUNS) else f" --runs {' '.join(options.runs)}"
    kept_before = "\nVectors were kept in FILE by an earlier run, so that these minutes are without those of encoding."
    introduction = INTRODUCTION.format(options=given, minutes=total, vectors=kept_before if options.vectors else "")
    write(options.out / "README.md", introduction + "\n".join(report))
    write(options.out / "figures.json", json.dumps(figures, separators=(",", ":")) + "\n")


@dataclass(frozen=True)
class Run:
    """One leaderboard."""

    title: str
    says: str
    """What is measured."""
    words: list[str]
    """After `turnout evaluate`."""


INTRODUCTION = """# Leaderboard

Made by `OMP_NUM_THREADS=1 python benchmarks/leaderboard.py --data DIR{options}` in {minutes:.0f} minutes of one core's
time.{vectors} The machine was busy with other things: times to train and to decide are rough, and
[measured better elsewhere](../../../docs/reference/routers.md). All routers have their default settings; nothing was
chosen by these figures. [What the columns mean](../../../docs/reference/metrics.md);
[what is proven and what is not](../../../docs/adr/0007-what-the-default-router-reaches.md). The figures by seed are in
[figures.json](figures.json).

![PGR by strong fraction on GSM8K, 500 labels, five seeds, with 95 % bands](curves.png)

"""


def make_runs(data: Path, scratch: Path, *, quick: bool = False) -> dict[str, Run]:
    """Name → run; writes the files that they read."""
    compared = ["--compare", "--against", "blend"]
    scratch.mkdir(parents=True, exist_ok=True)
    training, account = training_battles(data, StaticEncoder())
    lifted(training).write_jsonl(scratch / "permitted.jsonl")
    sources(data).write_jsonl(scratch / "sources.jsonl")
    battles = ["--battles", str(scratch / "permitted.jsonl"), *compared]
    named = ", ".join(f"{name} ({facts['questions']:,})" for name, facts in account.items())
    numbers = [number for number in GOLDEN if not (quick and number.endswith("1500"))]
    golden = [word for number in numbers for word in ("--golden-labels", number)]
    trained = TRAINED if quick else (*TRAINED, *WITH_MINILM)
    return {
        "golden": Run(
            "Trained on a benchmark's own golden labels",
            "Each router learns from that many random questions of the benchmark and is tested on all others, five "
            "times with other questions. `default` is the shipped router, which learns nothing here; it sits out where "
            "it learned from the benchmark's questions before, and nobody is tested on the questions of MMLU-Pro that "
            "it learned from.",
            [*trained, "default", *LEARN_NOTHING, *on(data, BENCHMARKS), *golden, *compared],
        ),
        "unlabelled": Run(
            "With no label of the benchmark",
            f"`permitted.jsonl` is what the shipped router learned from: {named}. What is about a benchmark's own "
            "questions, or near copies of them, is left out of it before routers are trained for that benchmark. The "
            "other benchmarks are among the sources of the next part.",
            [*TRAINED, "default", *LEARN_NOTHING, *on(data, TESTS), *battles],
        ),
        "left-out": Run(
            "One source left out",
            "`sources.jsonl` holds the sources that the shipped router learned from, each tested with routers that "
            "learned from the other four, and five development sources that nothing shipped learned from, tested with "
            "routers that learned from all five (less near copies). A model's score is its share of each battle.",
            [
                *(*SIMPLER, "default"),
                *("--outcomes", str(scratch / "sources.jsonl"), "--pair", str(LIFTED_PAIR), "--by-source", *battles),
            ],
        ),
    }


def on(data: Path, benchmarks: Sequence[str]) -> list[str]:
    """The words that name what is measured on."""
    return ["--data", str(data), *(word for name in benchmarks for word in ("--benchmark", name))]


def curves(data: Path) -> list[str]:
    """The words of the run that draws the picture."""
    return [*SIMPLER, *on(data, ("gsm8k",)), "--golden-labels", "500"]


def lifted(battles: Battles) -> Battles:
    """The same battles between `strong` and `weak`, so that they teach any pair."""
    return Battles.from_columns(
        battles.queries,
        LIFTED_PAIR.strong,
        LIFTED_PAIR.weak,
        battles.share_a,
        weight=battles.weight,
        source=battles.source,
        pair=LIFTED_PAIR,
    )


def sources(data: Path) -> Outcomes:
    """All development sources: a share of s is a score of s for strong and of 1 − s for weak."""
    parts = {source.name: read_source(source, data) for source in (*SOURCES, *UNSEEN)} | judged(data)
    share = np.concatenate([part.share_a for part in parts.values()])
    return Outcomes.from_columns(
        [query for part in parts.values() for query in part.queries],
        {LIFTED_PAIR.strong: share, LIFTED_PAIR.weak: 1 - share},
        source=[name for name, part in parts.items() for _ in range(len(part))],
    )


def evaluate(words: Sequence[str], kept_vectors: Path) -> tuple[str, float]:
    """What `turnout evaluate` prints, and how many minutes of one core it took; its progress goes to stderr."""
    vectors = ["--vectors", str(kept_vectors)]
    command = [sys.executable, "-c", "from turnout.cli import main; main()", "evaluate", *words, *vectors]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    printed = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return printed, (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / 60


def shown(words: Sequence[str], data: Path, scratch: Path) -> str:
    """The command as a reader would type it."""
    text = " ".join(["turnout evaluate", *words])
    text = text.replace(f"{scratch}/", "").replace(str(data), "DIR")
    return text.replace(" --", " \\\n    --")


def without_curves(found: dict[str, JSON]) -> dict[str, JSON]:
    """A results file without what is long (curves) or this machine's (the command), its numbers rounded."""
    kept = {key: value for key, value in found.items() if key != "command"}
    if "battles" in kept["protocol"]:
        kept["protocol"]["battles"]["file"] = "permitted.jsonl"
    for evaluation in kept["evaluations"]:
        if evaluation["source"].endswith(".jsonl"):
            evaluation["source"] = Path(evaluation["source"]).name
        evaluation.pop("comparisons")
        for result in [*evaluation["results"], evaluation["random"], evaluation["oracle"]]:
            result.pop("curve")
            result.pop("usd_per_query_at_pgr")
    rounded: dict[str, JSON] = json.loads(json.dumps(kept), parse_float=lambda text: round(float(text), 5))
    return rounded


def write(path: Path, text: str) -> None:
    """Write a file, whole or not at all."""
    with write_atomically(path) as file:
        file.write(text.encode())


if __name__ == "__main__":
    main()
