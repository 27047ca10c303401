"""What is to be reproduced, and how."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from turnout.evaluation.bootstrap import DEFAULT_REPLICATES
from turnout.reproduce.paper import MACHINE_USD_PER_HOUR
from turnout.reproduce.recipes import DEFAULT_ROUTERS
from turnout.types import JSON

PRICE_SOURCE = "the paper's price of n2-standard-8, table 7"


@dataclass(frozen=True)
class Plan:
    """The settings of a report."""

    data_dir: Path
    out: Path
    routers: Sequence[str] = DEFAULT_ROUTERS
    settings: Mapping[str, Mapping[str, JSON]] = field(default_factory=dict)
    """Router → settings on top of each recipe's own."""
    pulled_dir: Path | None = None
    """Where the paper's own data was pulled to."""
    n_golden_labels: int = 1_500
    n_seeds: int = 5
    n_sampled: int | None = None
    """Distinct queries of each benchmark that are asked, a seeded sample; None means all of them."""
    n_replicates: int = DEFAULT_REPLICATES
    bootstrap_seed: int = 0
    machine_usd_per_hour: float = MACHINE_USD_PER_HOUR
    price_source: str = PRICE_SOURCE

    @property
    def folders(self) -> list[Path]:
        """Where data may be, the paper's own first."""
        return [self.data_dir] if self.pulled_dir is None else [self.pulled_dir, self.data_dir]
