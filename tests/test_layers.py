"""Imports go one way: from a later part of the flow to an earlier one (pyproject.toml, importlinter)."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_parts_import_only_earlier_parts() -> None:
    run = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as run; run()"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(ROOT / "src"), "PATH": "", "COLUMNS": "200"},
    )
    assert run.returncode == 0, run.stdout + run.stderr
