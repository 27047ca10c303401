"""Does `blend` gain when the static encoder's table is tuned on what many models get right? On development data alone.

Each word's vector takes a step, so that a linear function of a text's vector tells, for each model, whether it is
right. The table is then frozen, and `blend` reads it in place of the shipped one, inside the golden rows of seed 0 of
MMLU and GSM8K alone, as docs/adr/0001-selection-protocol.md allows. docs/adr/0010-tuning-the-vectors.md says what came
of it.

Run: OMP_NUM_THREADS=1 python benchmarks/tuned_table.py --data DIR

Needs the extra `torch`. DIR holds the outcome files that the protocol names, and `small_llm_pool/`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from layer_choices import compared, golden_tasks, task_replays
from similarity_forms import read
from torch.nn.functional import binary_cross_entropy_with_logits, embedding_bag, normalize

from turnout.atomic_write import write_atomically
from turnout.data.contamination import find_contaminated, kept_rows
from turnout.data.outcomes import Outcomes
from turnout.encoders.cache import CachedEncoder
from turnout.encoders.static import StaticEncoder
from turnout.evaluation.runner import measure
from turnout.routers.features.templates import Template
from turnout.types import Encoder, FloatArray, IntArray, VectorArray

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / "tools/train_shipped_router"))
from train import SAME, test_questions  # noqa: E402

FILES = (
    ("mmlu-pro", "mmlu_pro/mmlu_pro_per_question.jsonl.gz", 1.0),
    ("zeroeval", "zeroeval/crux_math.jsonl.gz", 1.0),
    ("routerbench", "routerbench_subset/mbpp_winogrande.jsonl.gz", 1.0),
    ("llm-pool", "small_llm_pool/ulab_dcrouter.jsonl.gz", 1.0),
    ("arena-bench", "arena_bench_v1/scores.jsonl.gz", 10.0),
)
"""Importer, file, and the best score."""
EPOCHS, BATCH, WARM_UP = 3, 128, 50
STEP, HEAD_STEP, HEAD_DECAY = 3e-4, 2e-2, 1e-3
"""Of the table, in units of its gradient's size over all words; of the heads, with their decay a step. These and the
epochs were chosen by the likelihood of a tenth of the queries, held out."""


@dataclass(frozen=True, eq=False)
class Answers:
    """How well each of many models answered each of n queries."""

    queries: list[str]
    scores: FloatArray
    """Shape (n, models), in [0, 1]; NaN where a model was not asked."""
    source: list[str]

    def take(self, rows: Sequence[int] | IntArray) -> Answers:
        """The queries at these rows."""
        return Answers([self.queries[row] for row in rows], self.scores[rows], [self.source[row] for row in rows])


def many_answers(data: Path, encoder: Encoder) -> Answers:
    """All that may be tuned on: less what a source's queries share, and less what comes near a test question."""
    tables = [(read(importer, data / path), best) for importer, path, best in FILES]
    queries, source, blocks = [], [], []
    for table, best in tables:
        assert isinstance(table, Outcomes)
        names = np.array(table.source)
        texts = np.array(table.queries, dtype=object)
        for name in dict.fromkeys(table.source):
            template = Template.learned_from(list(texts[names == name]))
            if template:
                texts[names == name] = [template.unwrap(text) for text in texts[names == name]]
        queries += texts.tolist()
        source += [name or "pool" for name in table.source]
        blocks.append((table.scores - (best > 1)) / (best - (best > 1)))
    scores = np.full((len(queries), sum(block.shape[1] for block in blocks)), np.nan)
    row = column = 0
    for block in blocks:
        scores[row : row + block.shape[0], column : column + block.shape[1]] = block
        row, column = row + block.shape[0], column + block.shape[1]
    kept = kept_rows(len(queries), find_contaminated(queries, test_questions(data), encoder=encoder, threshold=SAME))
    kept &= ~np.isnan(scores).all(axis=1)
    return Answers(queries, np.clip(scores, 0, 1), source).take(np.flatnonzero(kept))


class TunedEncoder(StaticEncoder):
    """The static encoder with another table."""

    name = "tuned"

    def __init__(self, table: VectorArray) -> None:
        super().__init__()
        self._table, self._scales = table, np.ones(len(table), dtype=np.float32)

    @property
    def identity(self) -> str:
        """The static encoder's, and that its table is another."""
        return f"{super().identity},tuned"


def tuned(answers: Answers, *, seed: int = 0) -> TunedEncoder:
    """The table after three passes over the answers, starting from the shipped one.

    Each model's share of right answers in each source is given, so that what is learned tells queries of one source
    apart. A source counts as the root of its size. Steps are in proportion to the gradient, so that rare words stay.
    """
    torch.manual_seed(seed)
    random = np.random.default_rng(seed)
    start = StaticEncoder()
    bags = [start._vocabulary.features_of(query, max_tokens=start.max_tokens) for query in answers.queries]
    met, at = np.unique(np.concatenate([rows for rows, _ in bags]), return_inverse=True)
    rows_of = [torch.from_numpy(part) for part in np.split(at, np.cumsum([len(rows) for rows, _ in bags])[:-1])]
    amounts_of = [torch.tensor([1.0] * (len(rows) - len(shares)) + shares) for rows, shares in bags]
    known = torch.from_numpy(~np.isnan(answers.scores)).float()
    targets = torch.from_numpy(np.nan_to_num(answers.scores)).float()
    shares = known / known.sum(1, keepdim=True)
    names, number = np.unique(answers.source, return_inverse=True)
    sizes = np.bincount(number)
    counts = torch.from_numpy(np.sqrt(len(number) / len(names) / sizes[number])).float()
    usual = torch.stack(
        [
            torch.logit(((targets * known)[number == one].sum(0) + 1) / (known[number == one].sum(0) + 2))
            for one in range(len(names))
        ]
    )
    table = start._table.astype(np.float32) * start._scales[:, None]
    words = torch.from_numpy(table[met])
    moved = torch.zeros_like(words, requires_grad=True)
    louder = torch.zeros(len(words), requires_grad=True)
    heads = torch.zeros(start.dim, targets.shape[1], requires_grad=True)
    adam = torch.optim.AdamW([heads], lr=HEAD_STEP, weight_decay=HEAD_DECAY / HEAD_STEP, betas=(0.9, 0.99))

    def vectors(rows: IntArray) -> torch.Tensor:
        taken = [rows_of[row] for row in rows]
        every = torch.cat(taken)
        amounts = torch.cat([amounts_of[row] for row in rows]) * torch.exp(louder[every])
        starts = torch.tensor(np.cumsum([0, *map(len, taken[:-1])]))
        return normalize(embedding_bag(every, words + moved, starts, mode="sum", per_sample_weights=amounts), dim=1)

    with torch.no_grad():
        centre = vectors(random.permutation(len(bags))[:2_000]).mean(0)
    n_steps, step, sizes_seen, momentum = EPOCHS * -(-len(bags) // BATCH), 0, [0.0, 0.0], [0.0, 0.0]
    for _ in range(EPOCHS):
        order = random.permutation(len(bags))
        for rows in np.split(order, range(BATCH, len(order), BATCH)):
            pace = min(1.0, (step + 1) / WARM_UP) * (1 - step / n_steps)
            logits = usual[number[rows]] + (vectors(rows) - centre) @ heads
            losses = binary_cross_entropy_with_logits(logits, targets[rows], reduction="none") * shares[rows]
            (losses.sum(1) * counts[rows]).mean().backward()
            adam.param_groups[0]["lr"] = HEAD_STEP * pace
            adam.step()
            adam.zero_grad()
            step += 1
            for which, learned in enumerate((moved, louder)):
                gradient = learned.grad
                assert gradient is not None
                sizes_seen[which] = 0.99 * sizes_seen[which] + 0.01 * float(gradient.square().mean())
                momentum[which] = 0.9 * momentum[which] + 0.1 * gradient
                with torch.no_grad():
                    size = (
                        max(sizes_seen[which] / (1 - 0.99**step), 1e-24) ** 0.5
                    )  # nothing, as long as the heads are 0
                    learned -= STEP * pace * momentum[which] / size
                learned.grad = None
    table[met] = (torch.exp(louder)[:, None] * (words + moved)).detach().numpy()
    return TunedEncoder(table)


def main() -> None:
    """Tune a table, measure `blend` on it and on the shipped one, print and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/results/tuned_table.json")
    options = parser.parse_args()
    static = StaticEncoder()
    answers = many_answers(options.data, static)
    encoders = {"static": static, "tuned": tuned(answers)}
    golden = {}
    for number, task in enumerate(golden_tasks(options.data)):
        replays = {name: task_replays(task, CachedEncoder(one, capacity=8_000)) for name, one in encoders.items()}
        golden[task.name] = compared(
            {name: [measure(task.table, name, found, seed=number)] for name, found in replays.items()}
        )
        print(task.name, golden[task.name], file=sys.stderr, flush=True)
    result = {
        "command": "OMP_NUM_THREADS=1 python benchmarks/tuned_table.py --data DIR",
        "figure": "APGR and its difference to the static encoder's, with 95 % bootstrap intervals over queries",
        "tuned_on": {"queries": len(answers.queries), "columns": answers.scores.shape[1]},
        "golden_rows_of_seed_0": golden,
    }
    with write_atomically(options.out) as file:
        file.write((json.dumps(result, indent=1) + "\n").encode())
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
