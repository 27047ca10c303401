"""What is read for each of the paper's data sets: its own files where they are, otherwise what stands in, and why.

The first candidate whose files are there is used. Where `turnout data pull` has brought the paper's own data, it is
that, and the report then compares like with like.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from turnout import registry
from turnout.data.battles import Battles
from turnout.data.importers.source import Reading
from turnout.data.outcomes import Outcomes
from turnout.errors import DataError
from turnout.types import JSON, ModelPair

PAPERS_PAIR = ModelPair("gpt-4-1106-preview", "mixtral-8x7b-instruct-v0.1")
MIN_CHARACTERS = 16
"""Shorter queries are left out, as in the paper (section 4.1)."""

D_ARENA, D_JUDGE, D_GOLD = "D_arena", "D_judge", "D_gold"
MANY_MODELS = "votes and judgements by model name"

ALIASES: Mapping[str, str] = MappingProxyType(
    {
        "gpt4_1106_preview": PAPERS_PAIR.strong,
        "mistralai/Mixtral-8x7B-Instruct-v0.1": PAPERS_PAIR.weak,
        "Mixtral-8x7B-Instruct-v0.1": PAPERS_PAIR.weak,
        "mistralai/mixtral-8x7b-chat": PAPERS_PAIR.weak,
        "mixtral-8x7b": PAPERS_PAIR.weak,
    }
)
"""A source's name of a model → ours, so that a router that knows models by name knows each once."""


@dataclass(frozen=True)
class DataFile:
    """One file of a candidate."""

    pattern: str
    """Where it stands below the data folder; may hold `*`."""
    importer: str


@dataclass(frozen=True)
class Candidate:
    """One way to have one of the paper's data sets."""

    title: str
    files: tuple[DataFile, ...]
    is_papers_own: bool
    why: str
    """Why it is used, in a sentence for the report."""
    strong_tiers: tuple[int, ...] = ()
    """For votes over many models: which of their ten tiers are the strong class."""
    weak_tiers: tuple[int, ...] = ()

    def found_in(self, folder: Path) -> list[tuple[DataFile, Path]]:
        """Its files below a folder; empty unless each is there, once."""
        found = [(file, sorted(folder.glob(file.pattern))) for file in self.files]
        return [(file, paths[0]) for file, paths in found] if all(len(paths) == 1 for _, paths in found) else []


CANDIDATES: Mapping[str, tuple[Candidate, ...]] = MappingProxyType(
    {
        D_ARENA: (
            Candidate(
                "lmsys-arena-human-preference-55k (`turnout data pull arena-55k`)",
                (DataFile("arena-55k/*.csv", "arena-55k"),),
                True,
                "The votes from which the paper's released routers learned. Classes as in the paper: tiers 0 and 1 are "
                "strong, tier 2 is weak.",
                (0, 1),
                (2,),
            ),
            Candidate(
                "human Chatbot Arena votes of 2023 (arena_human_2023)",
                (DataFile("arena_human_2023/*.jsonl*", "arena"),),
                False,
                "Human votes of the same arena, a sixtieth in number and from before the paper's pair existed. Tiers 0 "
                "to 2 of 10 are strong and tiers 3 to 5 weak, since the paper's own classes (0 and 1 against 2) would "
                "leave a few dozen battles; a choice by the number of battles alone.",
                (0, 1, 2),
                (3, 4, 5),
            ),
        ),
        D_JUDGE: (
            Candidate(
                "routellm/gpt4_judge_battles (`turnout data pull gpt4-judge-battles`)",
                (DataFile("gpt4-judge-battles/*.parquet", "gpt4-judge-battles"),),
                True,
                "The judgements from which the paper's released routers learned.",
            ),
            Candidate(
                "AlpacaEval's judgements of the paper's pair and Arena-Bench's judge scores (alpaca_eval, "
                "arena_bench_v1)",
                (
                    DataFile("alpaca_eval/pair_*.jsonl*", "alpaca-eval-pair"),
                    DataFile("arena_bench_v1/*.jsonl*", "arena-bench"),
                ),
                False,
                "Judgements of the very pair by models of GPT-4's family. AlpacaEval's graded preferences are kept; of "
                "Arena-Bench's scores the higher one wins.",
            ),
        ),
        D_GOLD: (
            Candidate(
                "routellm/mmlu_battles (`turnout data pull mmlu-battles`)",
                (DataFile("mmlu-battles/*.parquet", "mmlu-battles"),),
                True,
                "The golden labels of MMLU's validation questions.",
            ),
        ),
        MANY_MODELS: (
            Candidate(
                "AlpacaEval's leaderboard: 70 models against gpt-4-1106-preview (alpaca_eval)",
                (DataFile("alpaca_eval/prefs_*.jsonl*", "alpaca-eval-leaderboard"),),
                False,
                "So that mf and sw know models by name beyond the Arena's; used for named pairs alone, and of it only "
                "the models that are asked about or that the votes are about too.",
            ),
        ),
    }
)
"""The paper's data set → what may be read for it, best first. What stands in for D_gold is no file: a part of the MMLU
outcomes, which is dealt out anew for each seed."""


@dataclass(frozen=True, eq=False)
class Found:
    """A data set as it was found."""

    name: str
    candidate: Candidate
    battles: Battles
    left_out: Mapping[str, int]
    """Reason → rows that the importers left out."""

    def to_json(self) -> dict[str, JSON]:
        """For the report."""
        return {
            "data_set": self.name,
            "read": self.candidate.title,
            "papers_own": self.candidate.is_papers_own,
            "why": self.candidate.why,
            "battles": len(self.battles),
            "left_out": dict(self.left_out),
        }


def find(name: str, folders: Sequence[Path]) -> Found:
    """One of the data sets of `CANDIDATES`, from the first candidate that is in one of the folders.

    Raises:
        DataError: none is, or a file cannot be read.
    """
    found = find_if_there(name, folders)
    if found is None:
        patterns = " or ".join(" and ".join(file.pattern for file in one.files) for one in CANDIDATES[name])
        raise DataError(f"holds nothing for {name}: expected {patterns}.", path=folders[-1])
    return found


def find_if_there(name: str, folders: Sequence[Path]) -> Found | None:
    """As `find`, but None where no candidate is there."""
    for candidate in CANDIDATES[name]:
        for folder in folders:
            if files := candidate.found_in(folder):
                return _read(name, candidate, files)
    return None


def release_in(folders: Sequence[Path]) -> Path:
    """The folder with the outcomes that were released with the paper: one of these, or what was pulled into it."""
    pulled = next((place for folder in folders if (place := folder / "routellm-outcomes").is_dir()), None)
    given = next((folder for folder in folders if (folder / "routellm_release").is_dir()), None)
    return given or pulled or folders[-1]


def _read(name: str, candidate: Candidate, files: Sequence[tuple[DataFile, Path]]) -> Found:
    parts: list[Battles] = []
    left_out: dict[str, int] = {}
    for file, path in files:
        source = registry.load("importer", file.importer)()
        imported = Reading(source, path, min_characters=MIN_CHARACTERS).to_memory()
        data = imported.data
        parts.append(_called_alike(_higher_score_wins(data) if isinstance(data, Outcomes) else data))
        for reason, count in imported.dropped.items():
            left_out[reason] = left_out.get(reason, 0) + count
    return Found(name, candidate, Battles.concat(parts), left_out)


def _higher_score_wins(outcomes: Outcomes) -> Battles:
    """A judge's scores of the paper's pair as the paper's labels: win, tie or loss."""
    graded = outcomes.for_pair(PAPERS_PAIR)
    gain = graded.scores[:, 0] - graded.scores[:, 1]
    share = 0.5 + ((gain > 0).astype(float) - (gain < 0).astype(float)) / 2
    return Battles.from_columns(graded.queries, PAPERS_PAIR.strong, PAPERS_PAIR.weak, share, source=graded.source)


def _called_alike(battles: Battles) -> Battles:
    a = [ALIASES.get(name, name) for name in battles.model_a]
    b = [ALIASES.get(name, name) for name in battles.model_b]
    return Battles.from_columns(
        battles.queries, a, b, battles.share_a, weight=battles.weight, source=battles.source, pair=battles.pair
    )
