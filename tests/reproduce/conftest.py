from pathlib import Path

import pytest
from made_up_data import QUICK, make_data

from turnout.encoders.hashing import HashingEncoder
from turnout.reproduce.plan import Plan
from turnout.reproduce.run import Reproduction, reproduce


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The made-up data folder; tests must not change it."""
    return make_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="session")
def done(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Reproduction:
    """A whole run over it."""
    return reproduce(Plan(data, tmp_path_factory.mktemp("out"), **QUICK), HashingEncoder())
