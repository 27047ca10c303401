"""What the documentation names is there: links, files, Python names, options of commands, keys, measured figures."""

from __future__ import annotations

import ast
import importlib
import json
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from turnout.cli.main import turnout
from turnout.config import parse_config
from turnout.errors import MissingExtraError
from turnout.gateway.choosing.stickiness import WORTH_SPENDING

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("tools/**/*.md"),
        *ROOT.glob("src/turnout/routers/shipped/*/card.md"),
    ]
)
FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
FILE = re.compile(r"\b(?:src|tests|docs|benchmarks|examples|deploy|tools)/[\w./-]*\w")
NAME = re.compile(r"\bturnout(?:\.[A-Za-z_]\w*)+")
ELSEWHERE = {"deploy/turnout", "tests/test_question_marks.py"}
"""A Deployment's name, and a file of the reader's."""
OTHER_THINGS = {"toml", "json", "sqlite3", "service", "importers", "benchmarks", "internal", "decision", "requests"}
"""What follows `turnout.` in names that are not Python's: files, groups of entry points, objects, spans, loggers."""
KUBECTLS = {"--from-literal"}
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def fences(page: Path, *languages: str) -> list[str]:
    return [text for language, text in FENCE.findall(page.read_text("utf-8")) if language in languages]


def anchors(page: Path) -> set[str]:
    """The fragments of a page's headings, as GitHub makes them."""
    text = FENCE.sub("", page.read_text("utf-8"))
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@each_page
def test_links_lead_somewhere(page: Path) -> None:
    for link in LINK.findall(FENCE.sub("", page.read_text("utf-8"))):
        target, _, fragment = link.partition("#")
        if "://" in link or link.startswith("mailto:"):
            continue
        file = (page.parent / target).resolve() if target else page
        assert file.exists(), link
        assert not fragment or fragment in anchors(file), link


@each_page
def test_files_are_there(page: Path) -> None:
    for name in FILE.findall(re.sub(r"\w+://\S+", "", page.read_text("utf-8"))):
        assert (ROOT / name).exists() or name in ELSEWHERE, name


@each_page
def test_python_names_are_there(page: Path) -> None:
    for name in NAME.findall(page.read_text("utf-8")):
        assert name.split(".")[1] in OTHER_THINGS or is_there(name), name
    for block in fences(page, "python"):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "turnout":
                for alias in node.names:
                    assert is_there(f"{node.module}.{alias.name}"), alias.name


def is_there(dotted: str) -> bool:
    parts = dotted.split(".")
    for length in range(len(parts), 0, -1):
        try:
            thing: object = importlib.import_module(".".join(parts[:length]))
        except MissingExtraError:
            return True
        except ModuleNotFoundError:
            continue
        try:
            for part in parts[length:]:
                thing = getattr(thing, part)
        except AttributeError:
            return False
        return True
    return False


def command_lines(page: Path) -> Iterator[list[str]]:
    text = page.read_text("utf-8")
    blocks = "\n".join(fences(page, "sh", "console", "bash", ""))
    lines = re.sub(r"\\\n\s*", "", blocks).splitlines()
    inline = [" ".join(code.split()) for code in re.findall(r"`([^`]+)`", FENCE.sub("", text))]
    for line in [*lines, *inline]:
        line = line.removeprefix("$ ")
        if line.startswith("turnout "):
            yield shlex.split(line, comments=True)[1:]


@each_page
def test_commands_have_the_options_that_are_shown(page: Path) -> None:
    for words in command_lines(page):
        command: click.Command = turnout
        with click.Context(turnout) as context:
            while isinstance(command, click.Group) and words and re.fullmatch("[a-z][a-z-]*", words[0]):
                found = command.get_command(context, words[0])
                assert found is not None, words
                command, words = found, words[1:]
        for word in words:
            option = re.match("--[a-z-]+", word)
            assert option is None or option[0] in options_of(command), (command.name, word)


@pytest.mark.parametrize("page", [page for page in PAGES if "tools" not in page.parts], ids=lambda page: page.stem)
def test_options_that_are_named_are_some_commands(page: Path) -> None:
    known = options_of(turnout, below=True) | KUBECTLS
    for code in re.findall(r"`(--[^`]+)`", FENCE.sub("", page.read_text("utf-8"))):
        assert re.split("[ =]", code)[0] in known, code


def options_of(command: click.Command, *, below: bool = False) -> set[str]:
    """The options of a command, or of all commands below it, too."""
    known = {"--help", *(option for one in command.params for option in [*one.opts, *one.secondary_opts])}
    if below and isinstance(command, click.Group):
        with click.Context(command) as context:
            for name in command.list_commands(context):
                found = command.get_command(context, name)
                assert found is not None
                known |= options_of(found, below=True)
    return known


@each_page
def test_configurations_have_known_keys(page: Path) -> None:
    for block in fences(page, "toml"):
        content = tomllib.loads(block)
        if content.keys() & {"server", "models", "routes", "ledger"}:
            parse_config(completed(content), folder=ROOT)


def completed(content: dict[str, Any]) -> dict[str, Any]:
    """With an address for each model that is shown or named."""
    models = content.setdefault("models", {})
    for table in [*models.values(), *content.get("routes", {}).values()]:
        for name in [table.get("strong"), table.get("weak"), *table.get("fallbacks", [])]:
            if name is not None:
                models.setdefault(name, {})
    for model in models.values() or [models.setdefault("a", {})]:
        if model.get("protocol") != "litellm":
            model.setdefault("base_url", "http://127.0.0.1:9/v1")
    return content


def results(name: str) -> Any:
    return json.loads((ROOT / "benchmarks/results" / name).read_text("utf-8"))


def test_the_readmes_figures_are_those_that_were_measured() -> None:
    readme, measured = (ROOT / "README.md").read_text("utf-8"), results("blend_table.json")
    for golden in measured["golden"]:
        if (golden["benchmark"], golden["labels"]) in {("mmlu", 1500), ("gsm8k", 500)}:
            low, high = golden["apgr_interval"]
            assert f"| {golden['apgr']:.3f} [{low:.3f}, {high:.3f}] |" in readme
    shipped = "; ".join(f"{measured['shipped'][name]['apgr']:.3f}" for name in ("mmlu", "gsm8k", "mt-bench"))
    assert f"| {shipped} |" in readme


@pytest.mark.parametrize("place", ["tools/train_shipped_router", "src/turnout/routers/shipped/default"])
def test_the_shipped_routers_card_gives_what_was_measured(place: str) -> None:
    card, measured, others = (
        (ROOT / place / "card.md").read_text("utf-8"),
        results("blend_table.json"),
        results("shipped_router.json"),
    )
    for name, title in {"mmlu": "MMLU", "gsm8k": "GSM8K", "mt-bench": "MT Bench"}.items():
        assert f"| {title} | {_reached(measured['shipped'][name])} |" in card
    for pair in measured["newer_pairs"]:
        for source, found in pair["by_source"].items():
            assert f"| {pair['strong']} | {pair['weak']} | {source} | {_reached(found)} |" in card
    for words, part in {"never seen": "never_seen", "trained on the other four": "left_out"}.items():
        for name, found in others[part].items():
            shares = f"{found['tied_share'] * 100:.1f} | {found['novel_share'] * 100:.1f}"
            assert f"| {name} | {words} | {_reached(found)} | {shares} |" in card


def _reached(found: dict[str, Any]) -> str:
    low, high = found["apgr_interval"]
    return f"{found['queries']:,} | {found['apgr']:.3f} ({low:.3f} to {high:.3f})"


def test_the_default_routers_record_gives_what_was_measured() -> None:
    record = (ROOT / "docs/adr/0007-what-the-default-router-reaches.md").read_text("utf-8")
    for curve in results("adapt.json")["curves"]:
        for point in curve["points"]:
            cells = [
                curve["source"].split("/")[-1],
                f"{point['labels']:,}",
                f"{point['seeds']}",
                *(f"{point[name]:.3f}" for name in ("adapted", "from_nothing")),
                "{:+.4f} ({:+.4f} to {:+.4f})".format(point["difference"], *point["difference_interval"]),
                f"{point['kept_of_start']:.2f}",
            ]
            assert f"| {' | '.join(cells)} |" in record
    board = results("leaderboard/figures.json")
    means = {run: {row["router"]: row["mean_apgr"] for row in board[run]["leaderboard"]} for run in board}
    best = means["golden"]["blend"]
    assert f"{best['value']:.3f} ({best['low']:.3f} to {best['high']:.3f})" in " ".join(record.split())
    left_out = " | ".join(f"{means['left-out'][name]['value']:.3f}" for name in ("blend", "linear", "knn", "length"))
    assert f"| mean | | {left_out} |" in record


def test_the_gateways_figures_are_those_that_were_measured() -> None:
    page, measured = (ROOT / "docs/how-to/gateway.md").read_text("utf-8"), results("gateway_peers.json")
    for name, plain in measured["plain"].items():
        streamed = measured["streamed"][name]
        assert f"| {plain['per_second']:,.0f} |" in page, name
        assert f"| {streamed['per_second']:,.0f} | {streamed['p99_ms']:.1f} |" in page, name


def test_the_conversations_dollars_are_those_that_were_measured() -> None:
    page = (ROOT / "docs/how-to/choosing.md").read_text("utf-8")
    for case in results("agent_conversation.json")["cases"]:
        usd = case["usd"]
        figures = [f"{usd[name]:.4f}" for name in ("sticky", "not sticky", f"all {case['strong']}")]
        assert f"| {case['strong']}, {case['strong']}-mini | {case['pace']} | {' | '.join(figures)} |" in page


def test_the_rules_of_staying_are_as_they_were_measured() -> None:
    page, measured = (ROOT / "docs/how-to/choosing.md").read_text("utf-8"), results("stickiness_rules.json")
    assert measured["worth_spending"] == WORTH_SPENDING
    rules = measured["seeds"][1]["rules"]
    for name in (
        "never stay",
        "one turn",
        "break even",
        "break even at 1/2",
        "shipped",
        "break even at 1/8",
        "chance 1/4",
        "chance by history",
        "pauses vary, history, break even at 1/2",
    ):
        row = rules[name]
        figures = f"{row['mean_ratio']:.4f} | {row['p99_ratio']:.3f} | {row['worst_ratio']:.3f}"
        assert f" | {figures} | {row['mean_regret_usd']:.4f} |" in page, name
