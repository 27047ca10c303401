import pytest
from made_up_outcomes import PAIR, make_outcomes

from turnout.evaluation.pair_table import PairTable


@pytest.fixture
def table() -> PairTable:
    return PairTable("made-up", "Made up", PAIR, make_outcomes().for_pair(PAIR), scale=1.0, in_per_cent=True)
