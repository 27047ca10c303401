"""Run the README's commands, word for word, so that what it promises is what works.

usage: python tools/run_readme.py main | tests | others

A fenced `sh` block belongs to the kind that an HTML comment before it names: <!-- main --> installs and does the main
job, <!-- tests --> installs and runs the tests. Every other `sh` block is one of the others, unless its comment
is <!-- not run: REASON -->.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"(?:<!--\s*(?P<label>[^>]*?)\s*-->\n)?```sh\n(?P<commands>.*?)```", re.DOTALL)


def blocks(readme: str, kind: str) -> list[str]:
    """The commands of each block of a kind, in the README's order."""
    found = []
    for match in BLOCK.finditer(readme):
        label = match["label"] or "others"
        if label == kind or (kind == "others" and label not in ("main", "tests") and not label.startswith("not run")):
            found.append(match["commands"])
    return found


def main() -> None:
    """Run the blocks of the kind that the command line names; stop at the first that fails."""
    if len(sys.argv) != 2 or sys.argv[1] not in ("main", "tests", "others"):
        sys.exit(__doc__)
    commands = blocks((ROOT / "README.md").read_text(encoding="utf-8"), sys.argv[1])
    if not commands:
        sys.exit(f"README.md has no block of commands of the kind '{sys.argv[1]}'.")
    for block in commands:
        print(block, flush=True)
        subprocess.run(["bash", "-euo", "pipefail", "-c", block], cwd=ROOT, check=True)


if __name__ == "__main__":
    main()
