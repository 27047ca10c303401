"""Where does the strong model gain most: on hard questions, or on easy ones? On development sources alone.

How easy a question is, is the share of all other models that answer it rightly. For every pair of models of which one
is right at least a tenth more often, the questions are ordered with the hardest first, and the APGR of that order is
set beside how often the pair is right: the mean of both models. docs/adr/0010-tuning-the-vectors.md says what follows.

Run: OMP_NUM_THREADS=1 python benchmarks/difficulty.py --data DIR

DIR holds `mmlu_pro/`, `zeroeval/` and `routerbench_subset/`. About a minute.
"""

from __future__ import annotations

import argparse
import itertools
import json
from pathlib import Path

import numpy as np
from similarity_forms import read

from turnout.atomic_write import write_atomically
from turnout.data.outcomes import Outcomes
from turnout.evaluation.metrics import apgr
from turnout.types import JSON, FloatArray

ROOT = Path(__file__).parents[1]
FILES = (
    ("mmlu-pro", "mmlu_pro/mmlu_pro_per_question.jsonl.gz"),
    ("zeroeval", "zeroeval/crux_math.jsonl.gz"),
    ("routerbench", "routerbench_subset/mbpp_winogrande.jsonl.gz"),
)
LEAST_GAP = 0.1
LEAST_ASKED = 0.9
"""Of a source's questions, by both models of a pair."""
STEPS = np.arange(0.2, 0.9, 0.1)


def pairs(scores: FloatArray) -> FloatArray:
    """(how often the pair is right, APGR with the hardest question first) of each pair, shape (n_pairs, 2)."""
    found = []
    for strong, weak in itertools.permutations(range(scores.shape[1]), 2):
        asked = ~np.isnan(scores[:, [strong, weak]]).any(axis=1)
        if asked.mean() < LEAST_ASKED:
            continue
        right = scores[asked]
        if right[:, strong].mean() - right[:, weak].mean() < LEAST_GAP:
            continue
        easy = np.nanmean(np.delete(right, [strong, weak], axis=1), axis=1)
        found.append((right[:, [strong, weak]].mean(), apgr(-easy, right[:, strong], right[:, weak])))
    return np.array(found)


def summary(found: FloatArray) -> dict[str, JSON]:
    """How the two go together, over pairs."""
    often, hard_first = found.T
    step = np.digitize(often, STEPS)
    slope, middle = np.polyfit(often - 0.5, hard_first, 1)
    return {
        "pairs": len(found),
        "correlation": round(float(np.corrcoef(often, hard_first)[0, 1]), 3),
        "apgr_at_half": round(float(middle), 3),
        "slope": round(float(slope), 3),
        "hard_first_pays_as_the_half_says": round(float(np.mean((often > 0.5) == (hard_first > 0.5))), 3),
        "apgr_by_how_often_right": {
            f"{'below' if number == 0 else 'from'} {STEPS[max(number - 1, 0)]:.1f}": [
                int((step == number).sum()),
                round(float(hard_first[step == number].mean()), 3),
            ]
            for number in np.unique(step).tolist()
        },
    }


def main() -> None:
    """Measure all pairs of all sources, print and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/results/difficulty.json")
    options = parser.parse_args()
    by_source = {}
    for importer, path in FILES:
        outcomes = read(importer, options.data / path)
        assert isinstance(outcomes, Outcomes)
        names = np.array(outcomes.source)
        for name in dict.fromkeys(outcomes.source):
            scores = outcomes.scores[names == name]
            by_source[name] = pairs(scores[np.isnan(scores).mean(axis=1) < 0.5])
    result = {
        "command": "OMP_NUM_THREADS=1 python benchmarks/difficulty.py --data DIR",
        "figure": "APGR of the order from hard to easy, beside how often a pair is right (the mean of both models)",
        "all": summary(np.concatenate(list(by_source.values()))),
        "sources": {name: summary(found) for name, found in by_source.items()},
    }
    with write_atomically(options.out) as file:
        file.write((json.dumps(result, indent=1) + "\n").encode())
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
