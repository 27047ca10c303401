"""The paper's tables beside ours: `turnout reproduce` (see docs/how-to/reproduce.md)."""
