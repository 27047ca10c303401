"""Measure two routers on the same outcomes, with intervals, from Python."""

import numpy as np

from turnout import ModelPair, Outcomes
from turnout.evaluation.pair_table import PairTable
from turnout.evaluation.replay import Replay
from turnout.evaluation.report import text_report
from turnout.evaluation.runner import evaluate

pair = ModelPair(strong="big", weak="small")
random = np.random.default_rng(0)
difficulty = random.random(500)
outcomes = Outcomes.from_columns(
    [f"question {number}" for number in range(500)],
    {
        "big": (random.random(500) > 0.2 * difficulty).astype(float),
        "small": (random.random(500) > difficulty).astype(float),
    },
)
table = PairTable(name="made-up", title="Made up", pair=pair, outcomes=outcomes.for_pair(pair), in_per_cent=True)

replays = {
    "knows the difficulty": [Replay.of_all(difficulty)],
    "guesses it": [Replay.of_all(difficulty + random.normal(0, 0.5, 500))],
}
print(text_report(evaluate(table, replays)))
