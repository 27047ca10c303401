"""What the shipped router learns from: only questions whose licence was looked up and permits it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from turnout import registry
from turnout.data.battles import Battles
from turnout.data.importers.source import Reading
from turnout.data.outcomes import Outcomes
from turnout.types import ModelPair

PAIR = ModelPair("gpt-4-1106-preview", "mixtral-8x7b-instruct-v0.1")


@dataclass(frozen=True)
class TrainingSource:
    """Questions of one kind, with the outcomes of a strong and a weak model."""

    name: str
    importer: str
    path: str
    keep: Callable[[str], bool]
    """Which of the file's sources."""
    models: ModelPair
    """The models whose outcomes stand for the pair's."""
    scale: float
    """The largest possible gain."""
    licence: str


SOURCES = (
    TrainingSource(
        "theoremqa",
        "mmlu-pro",
        "mmlu_pro/mmlu_pro_per_question.jsonl.gz",
        lambda source: source.endswith("theoremQA"),
        ModelPair("gpt4o_may2024", "Mixtral-8x7B-Instruct-v0.1"),
        1.0,
        "questions MIT (TheoremQA); options and outcomes Apache-2.0 (MMLU-Pro)",
    ),
    TrainingSource(
        "cruxeval",
        "zeroeval",
        "zeroeval/crux_math.jsonl.gz",
        lambda source: source.endswith("crux"),
        ModelPair("gpt-4-turbo-2024-04-09", "Mixtral-8x7B-Instruct-v0.1"),
        1.0,
        "questions MIT (CRUXEval); outcomes Apache-2.0 (ZeroEval)",
    ),
    TrainingSource(
        "mbpp",
        "routerbench",
        "routerbench_subset/mbpp_winogrande.jsonl.gz",
        lambda source: source.endswith("mbpp"),
        ModelPair("gpt-4-1106-preview", "mistralai/mixtral-8x7b-chat"),
        1.0,
        "questions CC-BY-4.0 (MBPP); outcomes MIT (RouterBench)",
    ),
    TrainingSource(
        "winogrande",
        "routerbench",
        "routerbench_subset/mbpp_winogrande.jsonl.gz",
        lambda source: source.endswith("winogrande"),
        ModelPair("gpt-4-1106-preview", "mistralai/mixtral-8x7b-chat"),
        1.0,
        "questions CC-BY (WinoGrande's data; its code is Apache-2.0); outcomes MIT (RouterBench)",
    ),
    TrainingSource(
        "arena-bench",
        "arena-bench",
        "arena_bench_v1/scores.jsonl.gz",
        lambda source: True,
        ModelPair("gpt-4-1106-preview", "mixtral-8x7b-instruct-v0.1"),
        9.0,
        "prompts CC-BY-4.0 (Chatbot Arena); judge scores Apache-2.0 (Arena-Bench)",
    ),
)


def read_source(source: TrainingSource, data: Path) -> Battles:
    """One battle for each question, between the pair's names."""
    outcomes = Reading(registry.load("importer", source.importer)(), data / source.path).to_memory().data
    assert isinstance(outcomes, Outcomes)
    kept = outcomes.take(np.array([source.keep(name) for name in outcomes.source]))
    battles = kept.battles(source.models, scale=source.scale)
    return Battles.from_columns(battles.queries, PAIR.strong, PAIR.weak, battles.share_a, source=source.name, pair=PAIR)
