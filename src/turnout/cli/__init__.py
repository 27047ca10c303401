"""The `turnout` command. Each group stands in a file of its own and is imported only when it is called."""

from turnout.cli.main import main

__all__ = ["main"]
