"""Every example runs as it stands, and says something."""

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))
SAYS = {
    "gateway_in_a_program.py": "Name a river.",
    "measure_a_router.py": "knows the difficulty",
    "route_queries.py": "Prove that there are infinitely many primes.",
    "train_on_your_outcomes.py": "APGR",
}


def test_all_examples_are_known() -> None:
    assert {path.name for path in EXAMPLES} == set(SAYS)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_example(example: Path) -> None:
    run = subprocess.run([sys.executable, "-W", "error", str(example)], capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    assert SAYS[example.name] in run.stdout
