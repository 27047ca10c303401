"""The paper's figures, with their place in it: RouteLLM, arXiv 2406.18665v4 (ICLR 2025).

Strong fractions are in [0, 1], as everywhere here; the paper prints per cent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

RANDOM = "Random"
BERT, CAUSAL_LLM, MF, SW = "BERT", "Causal LLM", "MF", "SW"
"""The routers' names in the paper's tables."""


@dataclass(frozen=True)
class PaperRow:
    """A line of tables 1 to 4."""

    table: int
    setting: str
    """What was trained on (tables 1 to 3), or the pair (table 4)."""
    router: str
    cpt50: float
    cpt80: float
    apgr: float
    improvement: float
    """Of APGR over the random router's, relative."""

    def figures(self) -> dict[str, float]:
        """Metric → figure."""
        return {"cpt_50": self.cpt50, "cpt_80": self.cpt80, "apgr": self.apgr, "improvement": self.improvement}


ARENA, ARENA_JUDGE, ARENA_GOLD = "arena", "arena + judge", "arena + gold"
OPUS_SONNET, LLAMA = "Claude 3 Opus / Sonnet", "Llama 3.1 70B / 8B"
NOTHING = "–"
"""Written where the paper, or we, have nothing."""

ROWS = (
    # MT Bench.
    PaperRow(1, NOTHING, RANDOM, 0.4903, 0.7808, 0.500, 0.000),
    PaperRow(1, ARENA, BERT, 0.7809, 0.8764, 0.391, -0.218),
    PaperRow(1, ARENA, CAUSAL_LLM, 0.2882, 0.7753, 0.573, 0.146),
    PaperRow(1, ARENA, MF, 0.2532, 0.7426, 0.580, 0.160),
    PaperRow(1, ARENA, SW, 0.3785, 0.5899, 0.610, 0.221),
    PaperRow(1, ARENA_JUDGE, BERT, 0.1958, 0.3402, 0.751, 0.502),
    PaperRow(1, ARENA_JUDGE, CAUSAL_LLM, 0.3150, 0.4875, 0.679, 0.358),
    PaperRow(1, ARENA_JUDGE, MF, 0.1340, 0.3131, 0.802, 0.604),
    PaperRow(1, ARENA_JUDGE, SW, 0.2321, 0.3604, 0.759, 0.518),
    # MMLU.
    PaperRow(2, NOTHING, RANDOM, 0.5007, 0.7993, 0.500, 0.000),
    PaperRow(2, ARENA, BERT, 0.4943, 0.7780, 0.502, 0.005),
    PaperRow(2, ARENA, CAUSAL_LLM, 0.4888, 0.7793, 0.499, -0.002),
    PaperRow(2, ARENA, MF, 0.4500, 0.7686, 0.524, 0.049),
    PaperRow(2, ARENA, SW, 0.5582, 0.8025, 0.473, -0.054),
    PaperRow(2, ARENA_GOLD, BERT, 0.4130, 0.7220, 0.572, 0.144),
    PaperRow(2, ARENA_GOLD, CAUSAL_LLM, 0.3549, 0.7031, 0.600, 0.199),
    PaperRow(2, ARENA_GOLD, MF, 0.3546, 0.7140, 0.597, 0.195),
    PaperRow(2, ARENA_GOLD, SW, 0.3540, 0.7155, 0.603, 0.207),
    # GSM8K.
    PaperRow(3, NOTHING, RANDOM, 0.5000, 0.8008, 0.497, 0.000),
    PaperRow(3, ARENA, BERT, 0.5878, 0.8384, 0.438, -0.118),
    PaperRow(3, ARENA, CAUSAL_LLM, 0.5609, 0.8356, 0.461, -0.073),
    PaperRow(3, ARENA, MF, 0.5359, 0.8524, 0.4746, -0.045),
    PaperRow(3, ARENA, SW, 0.5443, 0.8211, 0.4753, -0.043),
    PaperRow(3, ARENA_JUDGE, BERT, 0.4476, 0.7909, 0.531, 0.069),
    PaperRow(3, ARENA_JUDGE, CAUSAL_LLM, 0.3364, 0.6326, 0.622, 0.253),
    PaperRow(3, ARENA_JUDGE, MF, 0.3882, 0.7262, 0.565, 0.138),
    PaperRow(3, ARENA_JUDGE, SW, 0.4121, 0.7220, 0.568, 0.143),
    # MT Bench with other pairs, routers of arena + judge.
    PaperRow(4, OPUS_SONNET, RANDOM, 0.4989, 0.7227, 0.493, 0.000),
    PaperRow(4, OPUS_SONNET, BERT, 0.3485, 0.3904, 0.682, 0.383),
    PaperRow(4, OPUS_SONNET, CAUSAL_LLM, 0.2812, 0.5000, 0.656, 0.331),
    PaperRow(4, OPUS_SONNET, MF, 0.3186, 0.3643, 0.762, 0.546),
    PaperRow(4, OPUS_SONNET, SW, 0.2327, 0.5185, 0.772, 0.566),
    PaperRow(4, LLAMA, RANDOM, 0.4752, 0.7626, 0.512, 0.000),
    PaperRow(4, LLAMA, BERT, 0.3015, 0.3891, 0.673, 0.314),
    PaperRow(4, LLAMA, CAUSAL_LLM, 0.3405, 0.4596, 0.689, 0.346),
    PaperRow(4, LLAMA, MF, 0.2583, 0.3730, 0.738, 0.441),
    PaperRow(4, LLAMA, SW, 0.2118, 0.2939, 0.767, 0.498),
)
"""Tables 1 to 4."""

SIMILARITY: Mapping[str, Mapping[str, float]] = MappingProxyType(
    {
        "mt-bench": {ARENA: 0.6078, ARENA_JUDGE: 0.6525},
        "mmlu": {ARENA: 0.4823, ARENA_GOLD: 0.5678},
        "gsm8k": {ARENA: 0.4926, ARENA_JUDGE: 0.5335},
    }
)
"""Table 5: benchmark → what was trained on → mean highest cosine, with text-embedding-3-small."""


@dataclass(frozen=True)
class PaperSaving:
    """A line of table 6: how many times fewer calls to strong than random routing needs for the same quality."""

    at_cpt50: float
    at_cpt80: float


SAVINGS: Mapping[str, PaperSaving] = MappingProxyType(
    {"mt-bench": PaperSaving(3.66, 2.49), "mmlu": PaperSaving(1.41, 1.14), "gsm8k": PaperSaving(1.49, 1.27)}
)
"""Table 6: benchmark → its best router's ratio."""


@dataclass(frozen=True)
class PaperOverhead:
    """A line of table 7."""

    usd_per_million_requests: float
    requests_per_s: float
    machine: str
    usd_per_hour: float


_CPU, _GPU = ("n2-standard-8", 0.39), ("g2-standard-4 with an L4", 0.8)
OVERHEAD: Mapping[str, PaperOverhead] = MappingProxyType(
    {
        SW: PaperOverhead(39.26, 2.9, *_CPU),
        MF: PaperOverhead(3.32, 155.16, *_GPU),
        BERT: PaperOverhead(3.19, 69.62, *_GPU),
        CAUSAL_LLM: PaperOverhead(5.23, 42.46, *_GPU),
    }
)
"""Table 7; for SW and MF the embedding's price is in it."""

MACHINE_USD_PER_HOUR = 0.39
"""Of n2-standard-8, the machine without a GPU of table 7: the default price of the machine that we measure on."""

SIZES: Mapping[str, str] = MappingProxyType(
    {
        ARENA: "65,000 Arena votes",
        ARENA_JUDGE: "65,000 Arena votes and 120,000 judgements by GPT-4",
        ARENA_GOLD: "65,000 Arena votes and about 1,500 labels of MMLU's validation questions",
    }
)
"""What the paper trained on (section 4.1)."""


def rows_of(table: int) -> tuple[PaperRow, ...]:
    """The lines of one of tables 1 to 4, in the paper's order."""
    return tuple(row for row in ROWS if row.table == table)


def paper_row(table: int, setting: str, router: str | None) -> PaperRow | None:
    """The line of this setting and router; None where the paper has none."""
    return next((row for row in rows_of(table) if (row.setting, row.router) == (setting, router)), None)
