"""What all tables of a report need: the plan, the data, and routers trained and replayed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from turnout.evaluation.pair_table import PairTable
from turnout.evaluation.replay import Replay
from turnout.evaluation.runner import Evaluation, RouterResult, evaluate
from turnout.reproduce.differences import learned_from
from turnout.reproduce.paper import ARENA, ARENA_GOLD, ARENA_JUDGE
from turnout.reproduce.plan import Plan
from turnout.reproduce.recipes import Recipe
from turnout.reproduce.scoring import Scored, Scorer
from turnout.reproduce.sources import D_ARENA, D_GOLD, D_JUDGE
from turnout.reproduce.training_sets import TrainingSets

_MADE_OF = {ARENA: {D_ARENA}, ARENA_JUDGE: {D_ARENA, D_JUDGE}, ARENA_GOLD: {D_ARENA, D_GOLD}}


@dataclass(frozen=True, eq=False)
class Work:
    """Trains, replays and measures, with the same settings for every table."""

    plan: Plan
    recipes: Sequence[Recipe]
    tests: Mapping[str, PairTable]
    """The paper's three benchmarks by name."""
    sets: TrainingSets
    scorer: Scorer

    def score(self, trained_on: str, queries: Sequence[str]) -> list[Scored]:
        """Every recipe, trained on one of the lifted sets, and its win rates on these distinct queries."""
        battles = self.sets.lifted[trained_on]
        return [self.scorer.score(recipe, battles, trained_on, queries) for recipe in self.recipes]

    def evaluate(self, table: PairTable, replays: Mapping[str, Sequence[Replay]]) -> Evaluation:
        """The results on a table, with the plan's bootstrap."""
        return evaluate(table, replays, n_replicates=self.plan.n_replicates, seed=self.plan.bootstrap_seed)

    def went_in(self, trained_on: str) -> str:
        """What the routers of a training set learned from here and in the paper, in a sentence."""
        own = {one.name for one in self.sets.found if one.candidate.is_papers_own}
        if trained_on in self.sets.lifted:
            n_battles = len(self.sets.lifted[trained_on])
        else:  # golden labels that are dealt out
            n_battles = len(self.sets.lifted[ARENA]) + self.plan.n_golden_labels
        name = self.scorer.encoder.name
        return learned_from(n_battles, trained_on, papers_own=_MADE_OF[trained_on] <= own, encoder=name)


@dataclass(frozen=True, eq=False)
class Tested:
    """Routers of one training set on one benchmark."""

    trained_on: str
    evaluation: Evaluation
    replays: Mapping[str, Sequence[Replay]]
    """Recipe's label → its replays."""

    def result(self, label: str) -> RouterResult:
        """What the recipe of this label reaches."""
        return next(result for result in self.evaluation.results if result.router == label)


def replays_of(scored: Sequence[Scored], table: PairTable) -> dict[str, list[Replay]]:
    """Recipe's label → its replay over a table."""
    return {one.recipe.label: [one.replay(table)] for one in scored}
