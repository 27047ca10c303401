"""The command table: which file holds which command, and how a user's mistake is shown."""

from __future__ import annotations

import difflib
import importlib
import sys
from collections.abc import Sequence

import click

from turnout._version import __version__
from turnout.errors import TurnoutError

COMMANDS: dict[str, str] = {
    "demo": "turnout.cli.demo:demo",
    "route": "turnout.cli.route:route",
    "data": "turnout.cli.data:data",
    "collect": "turnout.cli.collect:collect",
    "train": "turnout.cli.train:train",
    "evaluate": "turnout.cli.evaluate:evaluate",
    "calibrate": "turnout.cli.calibrate:calibrate",
    "adapt": "turnout.cli.adapt:adapt",
    "reproduce": "turnout.cli.reproduce:reproduce",
    "serve": "turnout.cli.serve:serve",
    "logs": "turnout.cli.logs:logs",
    "explain": "turnout.cli.explain:explain",
    "keys": "turnout.cli.keys:keys",
    "encoders": "turnout.cli.encoders:encoders",
}
"""Command → where it stands, in the order in which a newcomer needs them. Modules are imported when they are called."""

USER_MISTAKE = 2
"""Exit code for a mistake that the user can mend."""


class CommandTable(click.Group):
    """A group whose commands are imported only when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, imported now; an unknown name is answered with the nearest one."""
        if cmd_name not in COMMANDS:
            nearest = difflib.get_close_matches(cmd_name, COMMANDS, n=1)
            hint = f" Did you mean '{nearest[0]}'?" if nearest else ""
            ctx.fail(f"No command named '{cmd_name}'.{hint} Known: {', '.join(sorted(COMMANDS))}.")
        module, attribute = COMMANDS[cmd_name].split(":")
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command


@click.group(
    cls=CommandTable,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog='Example: turnout route "What is the capital of France?"',
)
@click.version_option(__version__, prog_name="turnout")
def turnout() -> None:
    """Learn from votes which language model each query should go to, prove what that saves, and do it live."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line. A user's mistake gives one clear line on stderr and exit code 2."""
    try:
        turnout.main(args=None if arguments is None else list(arguments), prog_name="turnout")
    except TurnoutError as error:
        click.echo(f"turnout: {error}", err=True)
        sys.exit(USER_MISTAKE)
    except OSError as error:  # a place that may not be read, a full disk: nothing that a traceback would explain
        place = "" if error.filename is None else f"{error.filename}: "
        click.echo(f"turnout: {place}{error.strerror or error}.", err=True)
        sys.exit(USER_MISTAKE)
