"""Train a router on outcomes of your own, look at what it is worth, save it, and decide with it."""

import tempfile
from pathlib import Path

from turnout import ModelPair, Outcomes, Route, registry
from turnout.routers.base import for_training
from turnout.training import train

pair = ModelPair(strong="big", weak="small")

# Yours come from Outcomes.read_jsonl("outcomes.jsonl"). Here small fails at every division of large numbers.
sums = [f"What is {number} plus {number + 3}?" for number in range(100)]
divisions = [f"Divide {number * 7919} by {number + 13} to four decimal places." for number in range(100)]
outcomes = Outcomes.from_columns(sums + divisions, {"big": [1.0] * 200, "small": [1.0] * 100 + [0.0] * 100})

encoder = registry.load("encoder", "static")()
router = registry.load("router", "knn")(encoder)
trained = train(router, for_training(outcomes.battles(pair), pair, router), holdout=0.2)
print(trained.card())

with tempfile.TemporaryDirectory() as folder:
    trained.save(Path(folder) / "my-router")
    route = Route.load(Path(folder) / "my-router", strong_fraction=0.5)
    for decision in route.decide(["What is 41 plus 44?", "Divide 123456 by 77 to four decimal places."]):
        print(decision.side, decision.reason)
