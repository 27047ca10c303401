"""Export a fitted `bert` router to ONNX and compare both: win rates on real queries, and the time of one query.

    python benchmarks/bert_onnx.py --router DIR --queries FILE.csv --out benchmarks/results/bert_onnx.json

FILE.csv has a column `prompt`, as the outcome files released with the paper do. Needs `pip install 'turnout[torch]'`.
"""

from __future__ import annotations

import argparse
import csv
import json
import platform
import shlex
import sys
import time
from pathlib import Path
from typing import cast

import numpy as np
import torch

from turnout.routers.base import Router
from turnout.routers.bert import Bert

N_QUERIES = 200


def median_ms(router: Router, queries: list[str]) -> float:
    """Median time of one query at a time, in milliseconds."""
    router.predict_win_rate(queries[:5])
    times = []
    for query in queries:
        start = time.perf_counter()
        router.predict_win_rate([query])
        times.append(time.perf_counter() - start)
    return round(1000 * float(np.median(times)), 2)


def main() -> None:
    """Export, compare, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--router", type=Path, required=True)
    parser.add_argument("--queries", type=Path, required=True)
    parser.add_argument("--save", type=Path, help="save the exported router in this folder")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()

    torch.set_num_threads(1)
    with arguments.queries.open(newline="", encoding="utf-8") as file:
        queries = [row["prompt"] for row in csv.DictReader(file)][:N_QUERIES]
    router = cast("Bert", Router.load(arguments.router))
    exported = router.to_onnx()
    if arguments.save:
        exported.save(arguments.save)
    difference = np.abs(exported.predict_win_rate(queries) - router.predict_win_rate(queries))
    result = {
        "command": shlex.join(["python", *(Path(a).name if Path(a).is_absolute() else a for a in sys.argv)]),
        "machine": f"{platform.machine()}, 1 thread, shared; torch {torch.__version__}",
        "n_queries": len(queries),
        "largest_difference_of_win_rates": float(difference.max()),
        "median_ms_torch": median_ms(router, queries),
        "median_ms_onnx": median_ms(exported, queries),
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
