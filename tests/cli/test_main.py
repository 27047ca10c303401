import subprocess
import sys
from collections.abc import Callable, Iterator

import click
import pytest

from turnout import __version__
from turnout.cli.main import COMMANDS, main, turnout

Run = Callable[..., tuple[int, str, str]]


def commands() -> Iterator[tuple[str, click.Command]]:
    context = click.Context(turnout)
    for name in COMMANDS:
        command = turnout.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from ((f"{name} {inner}", command.commands[inner]) for inner in command.commands)
        yield name, command


@pytest.mark.parametrize(
    ("name", "command"), list(commands()), ids=lambda value: value if isinstance(value, str) else ""
)
def test_every_command_says_what_it_does_and_ends_with_an_example(name: str, command: click.Command) -> None:
    assert command.help
    assert command.epilog is not None
    assert "Example: turnout " + name in command.epilog


def test_the_version(run: Run) -> None:
    assert run("--version") == (0, f"turnout, version {__version__}\n", "")


def test_an_unknown_command_is_answered_with_the_nearest(run: Run) -> None:
    code, out, err = run("rout", "Hello")
    assert (code, out) == (2, "")
    assert "No command named 'rout'. Did you mean 'route'?" in err


def test_deciding_does_not_import_the_gateway() -> None:
    script = """
import sys
from turnout.cli.main import turnout
turnout.main(["route", "--help"], standalone_mode=False)
print("aiohttp" in sys.modules)
"""
    printed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert printed.endswith("False\n")


def test_a_place_that_may_not_be_read_is_one_line(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", "secret.jsonl")

    monkeypatch.setattr("turnout.cli.data.inspect_file", refuse)
    assert run("data", "inspect", "x") == (2, "", "turnout: secret.jsonl: Permission denied.\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ("data", "split", "f", "--out", "o"),
        ("data", "ratings", "f"),
        ("train", "knn", "--out", "o"),
        ("evaluate", "random"),
    ],
    ids=lambda arguments: arguments[0],
)
def test_a_seed_below_0_is_refused(arguments: tuple[str, ...], run: Run) -> None:
    code, _, err = run(*arguments, "--seed", -1)
    assert code == 2
    assert "-1 is not in the range x>=0" in err


def test_every_option_says_what_it_does() -> None:
    silent = [
        (name, option.name)
        for name, command in commands()
        for option in command.params
        if isinstance(option, click.Option) and not option.help
    ]
    assert silent == []


def test_help_begins_with_what_a_newcomer_needs(run: Run) -> None:
    code, out, _ = run("--help")
    assert code == 0
    listed = [line.split()[0] for line in out.partition("Commands:\n")[2].splitlines() if line.startswith("  ")]
    assert [name for name in listed if name in COMMANDS] == list(COMMANDS)
    assert listed[:2] == ["demo", "route"]


def test_the_shell_completes_commands(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_TURNOUT_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", "turnout data im")
    monkeypatch.setenv("COMP_CWORD", "2")
    with pytest.raises(SystemExit):
        main([])
    assert capfd.readouterr().out == "plain,import\n"


def test_every_command_but_the_server_can_print_json() -> None:
    silent = [
        name
        for name, command in commands()
        if name != "reproduce"  # it writes report.json
        and not isinstance(command, click.Group)
        and not any("--json" in option.opts for option in command.params)
    ]
    assert silent == ["serve"]
