"""From which cosine do two questions count as the same? Measured for an encoder on questions that are known to be.

    python benchmarks/duplicate_threshold.py static --data DIR > benchmarks/results/duplicate_threshold_static.json

Known duplicates: MMLU questions and what MMLU-Pro made of them (other and more options, another order). Known to
differ: each MMLU question and the MMLU question nearest to it. DIR holds `routellm_release/` and `mmlu_pro/`. For each
threshold it prints which part of the duplicates is found and how many distinct questions would be dropped, and the
first also for near copies, which need no encoder.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np

from turnout import registry
from turnout.data.contamination import find_contaminated
from turnout.data.importers.right_or_wrong import MMLUPro
from turnout.data.importers.source import Reading
from turnout.data.outcomes import Outcomes
from turnout.data.split import same_text
from turnout.evaluation.benchmarks.base import load_benchmark

THRESHOLDS = (0.9, 0.93, 0.95, 0.96, 0.97, 0.98, 0.985, 0.99, 0.995)
OPTIONS = "\nA. "


def main() -> None:
    """Print the figures of the encoder that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("encoder")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--pairs", type=int, default=2_000, help="how many known duplicates")
    arguments = parser.parse_args()
    encoder = registry.load("encoder", arguments.encoder)()

    ours = list({same_text(query): query for query in load_benchmark("mmlu").load(arguments.data).queries}.values())
    theirs = (
        Reading(MMLUPro(with_mmlu=True), arguments.data / "mmlu_pro" / "mmlu_pro_per_question.jsonl.gz")
        .to_memory()
        .data
    )
    assert isinstance(theirs, Outcomes)
    rows_of: dict[str, list[int]] = defaultdict(list)
    for row, query in enumerate(ours):
        rows_of[stem(query)].append(row)
    pairs = [
        (rows_of[stem(query)][0], query)
        for query, source in zip(theirs.queries, theirs.source, strict=True)
        if source == "mmlu-pro/ori_mmlu" and len(rows_of[stem(query)]) == 1
    ][: arguments.pairs]

    vectors = encoder.encode(ours)
    duplicates = np.einsum(
        "ij,ij->i", encoder.encode([query for _, query in pairs]), vectors[[row for row, _ in pairs]]
    )
    nearest = np.concatenate([nearest_other(vectors, start) for start in range(0, len(ours), 1_000)])
    alone = [find_contaminated([ours[row]], [query]) for row, query in pairs]
    json.dump(
        {
            "command": f"duplicate_threshold.py {arguments.encoder} --data DIR --pairs {arguments.pairs}",
            "encoder": encoder.identity,
            "duplicate_pairs": len(pairs),
            "distinct_questions": len(ours),
            "near_copies_found": float(np.mean([bool(found) for found in alone])),
            "thresholds": [
                {
                    "cosine": threshold,
                    "duplicates_found": float((duplicates >= threshold).mean()),
                    "distinct_dropped": int((nearest >= threshold).sum()),
                    "distinct_dropped_share": float((nearest >= threshold).mean()),
                }
                for threshold in THRESHOLDS
            ],
        },
        sys.stdout,
        indent=2,
    )
    print()


def stem(query: str) -> str:
    """A question without its options."""
    return same_text(query.split(OPTIONS)[0])


def nearest_other(vectors: np.ndarray, start: int) -> np.ndarray:
    """The highest cosine of each of 1,000 rows to another row."""
    similarity = vectors[start : start + 1_000] @ vectors.T
    similarity[np.arange(len(similarity)), start + np.arange(len(similarity))] = -1
    return similarity.max(axis=1)


if __name__ == "__main__":
    main()
