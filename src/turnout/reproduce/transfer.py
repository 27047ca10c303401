"""Table 4: routers on pairs that they were not trained for, without retraining; and pairs asked about by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from turnout.errors import DataError, UnknownNameError
from turnout.evaluation.benchmarks.base import load_benchmark
from turnout.evaluation.pair_table import PairTable
from turnout.evaluation.runner import Evaluation
from turnout.reproduce.benchmark_tables import random_row, router_rows
from turnout.reproduce.paper import ARENA_JUDGE, LLAMA, NOTHING, OPUS_SONNET, rows_of
from turnout.reproduce.recipes import Recipe
from turnout.reproduce.sample import sampled
from turnout.reproduce.scoring import distinct_queries
from turnout.reproduce.sources import MANY_MODELS, PAPERS_PAIR
from turnout.reproduce.table import METRICS, Row, Table, metric_figures
from turnout.reproduce.work import Work
from turnout.types import ModelPair


@dataclass(frozen=True)
class Transfer:
    """A pair on a benchmark, and which of the paper's pairs on MT Bench it stands in for."""

    benchmark: str
    pair: ModelPair
    stands_in_for: str | None = None
    named: ModelPair | None = None
    """The pair's names among the battles, for routers that know models by name."""

    @property
    def key(self) -> str:
        """A name for people."""
        return f"{load_benchmark(self.benchmark).title}: {self.pair.strong} / {self.pair.weak}"


_LLAMA_ZEROEVAL = ModelPair("Meta-Llama-3.1-70B-Instruct", "Meta-Llama-3.1-8B-Instruct")
_GEMINI_ZEROEVAL = ModelPair("gemini-1.5-pro", "gemini-1.5-flash")
_MIXTRAL = "Mixtral-8x7B-Instruct-v0.1"
TRANSFERS = (
    Transfer(
        "zeroeval-crux", ModelPair("claude-3-opus-20240229", "claude-3-sonnet-20240229"), stands_in_for=OPUS_SONNET
    ),
    Transfer("mmlu-pro", ModelPair("Meta-Llama-3_1-70B-Instruct", "Meta-Llama-3_1-8B-Instruct"), stands_in_for=LLAMA),
    Transfer("zeroeval-crux", _LLAMA_ZEROEVAL, stands_in_for=LLAMA),
    Transfer("zeroeval-math", _LLAMA_ZEROEVAL, stands_in_for=LLAMA),
    Transfer("mmlu-pro", ModelPair("gpt4o_may2024", _MIXTRAL)),
    Transfer("zeroeval-crux", ModelPair("gpt-4o-2024-05-13", _MIXTRAL)),
    Transfer("mmlu-pro", ModelPair("gemini-1.5-pro-002", "gemini-1.5-flash-002")),
    Transfer("zeroeval-crux", _GEMINI_ZEROEVAL),
    Transfer("zeroeval-math", _GEMINI_ZEROEVAL),
)
"""Pairs that no router here has a battle of."""

NAMED = (
    Transfer(
        "mmlu-pro",
        ModelPair(_MIXTRAL, "Mistral-7B-Instruct-v0.2"),
        named=ModelPair(PAPERS_PAIR.weak, "Mistral-7B-Instruct-v0.2"),
    ),
    Transfer(
        "mbpp",
        ModelPair("gpt-4-1106-preview", "gpt-3.5-turbo-1106"),
        named=ModelPair(PAPERS_PAIR.strong, "gpt-3.5-turbo-1106"),
    ),
    Transfer(
        "winogrande",
        ModelPair("gpt-4-1106-preview", "gpt-3.5-turbo-1106"),
        named=ModelPair(PAPERS_PAIR.strong, "gpt-3.5-turbo-1106"),
    ),
)
"""Pairs of models that are in battles with others: `mf` and `sw` are asked about them by name."""


def load_transfers(transfers: Sequence[Transfer], data_dir: Path) -> tuple[dict[Transfer, PairTable], list[str]]:
    """(the tables that are there, a sentence on each that is not)."""
    tables: dict[Transfer, PairTable] = {}
    missing: list[str] = []
    for transfer in transfers:
        try:
            tables[transfer] = PairTable.of_benchmark(load_benchmark(transfer.benchmark), data_dir, transfer.pair)
        except (DataError, UnknownNameError) as error:
            problem = error.problem if isinstance(error, DataError) else str(error)
            missing.append(f"{transfer.key} was not measured: {problem}")
    return tables, missing


def sampled_transfers(
    tables: Mapping[Transfer, PairTable], n_distinct: int | None
) -> tuple[dict[Transfer, PairTable], list[str]]:
    """(the tables, or a sample of each, that can be measured; a sentence on each that cannot)."""
    parts = {transfer: sampled(table, n_distinct) for transfer, table in tables.items()}
    without_gap = [
        f"{transfer.key} was not measured: on the {len(part):,} queries asked the strong model is not better."
        for transfer, part in parts.items()
        if not part.has_gap
    ]
    return {transfer: part for transfer, part in parts.items() if part.has_gap}, without_gap


def named_evaluations(work: Work, tables: Mapping[Transfer, PairTable]) -> tuple[dict[Transfer, Evaluation], list[str]]:
    """(results of the routers that know models, asked by name and not; a sentence on each pair that was not asked)."""
    battles = work.sets.by_name
    knowing = [recipe for recipe in work.recipes if recipe.knows_models]
    if battles is None or not knowing:
        why = "the paper's pair is not among them" if battles is None else "no router that knows models was run"
        return {}, [f"No pair was asked about by name in {MANY_MODELS}: {why}."]
    known = set(battles.models)
    asked = {one: pair for one in tables if (pair := one.named) and {pair.strong, pair.weak} <= known}
    unknown = [f"{one.key} was not asked about by name: no battle knows both." for one in tables if one not in asked]
    if not asked:
        return {}, unknown
    queries, pairs = distinct_queries([tables[one] for one in asked]), list(dict.fromkeys(asked.values()))
    scored = [work.scorer.score(recipe, battles, MANY_MODELS, queries, pairs) for recipe in knowing]
    evaluations = {}
    for transfer, pair in asked.items():
        table = tables[transfer]
        replays = {}
        for one in scored:
            replays[one.recipe.label] = [one.replay(table)]
            replays[f"{one.recipe.label}, by name"] = [one.replay(table, pair)]
        evaluations[transfer] = work.evaluate(table, replays)
    return evaluations, unknown


def transfer_table(
    work: Work,
    evaluations: Mapping[Transfer, Evaluation],
    by_name: Mapping[Transfer, Evaluation],
    missing: Sequence[str],
) -> Table:
    """Table 4.

    Args:
        work: for the recipes.
        evaluations: transfer → results of the recipes trained on arena + judge.
        by_name: see `named_evaluations`.
        missing: a sentence on each that was not measured.
    """
    rows: list[Row] = []
    covered = {transfer.stands_in_for for transfer in evaluations}
    for setting in dict.fromkeys(row.setting for row in rows_of(4)):
        if setting not in covered:
            rows += _papers_only(setting)
    for transfer, evaluation in evaluations.items():
        rows += _rows(transfer, evaluation, work.recipes)
    for transfer, evaluation in by_name.items():
        rows += _rows(transfer, evaluation, [Recipe(result.router, "") for result in evaluation.results])
    return Table(
        4,
        "other pairs, without retraining",
        "the paper's two pairs on MT Bench cannot be had; each line names the benchmark and the pair that stand in. "
        f"Routers are those of tables 1 and 3, trained on {ARENA_JUDGE}.",
        ("the paper's pair", "ours", "router", "beside the paper's"),
        METRICS,
        tuple(rows),
        (_NOTE, *missing),
        (
            "Lines that stand in for a pair of the paper's are on another benchmark than its MT Bench.",
            work.went_in(ARENA_JUDGE),
        ),
    )


_NOTE = (
    "Where a pair is asked about by name, `mf` and `sw` learned from all votes and judgements under the models' own "
    "names. The line `by name` has the win rate of the pair asked about; the line without it that of "
    f"{PAPERS_PAIR.strong} and {PAPERS_PAIR.weak} from the same router, used for the other pair as in the lines above. "
    "The default settings of knn, mf and sw were chosen on development sources, which MMLU-Pro, ZeroEval and "
    "RouterBench are among (docs/adr/0001-selection-protocol.md): no router was trained on them, but these lines are "
    "not a blind test."
)


def _rows(transfer: Transfer, evaluation: Evaluation, recipes: Sequence[Recipe]) -> list[Row]:
    setting = transfer.stands_in_for or NOTHING
    labels = (setting, transfer.key)
    paper_rows = [row for row in rows_of(4) if row.setting == setting]
    return [random_row(4, setting, evaluation, labels=labels), *router_rows(paper_rows, labels, evaluation, recipes)]


def _papers_only(setting: str) -> list[Row]:
    said = "not measured: there are no outcomes of a pair that could stand in."
    return [
        Row((setting, NOTHING, NOTHING, row.router), metric_figures(row.figures(), None), said)
        for row in rows_of(4)
        if row.setting == setting
    ]
