"""What is taken out of a user turn, and what must stay."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnout.boilerplate import KEPT_LINES, MAX_EXAMINED_CHARACTERS, without_boilerplate

NUMBERED = "\n".join(f"{n:6}\tline {n}" for n in range(1, 60))


@pytest.mark.parametrize(
    "block",
    [
        "<system-reminder>Your list is empty.</system-reminder>",
        "<environment_details>\ncwd: /home\nos: linux\n</environment_details>",
        "<available_tools>\n<tool>read</tool>\n<tool>write</tool>\n</available_tools>",
        "<a-b>\n<a-b>inner</a-b>\n</a-b>",
        "<git-status branch='x'>clean</git-status><open-files>a.py</open-files>",
    ],
)
@pytest.mark.parametrize("form", ["{}\nName a river.", "Name a river.\n{}", "  {}\n\nName a river.\n\n{}\n"])
def test_tagged_blocks_go(block: str, form: str) -> None:
    assert without_boilerplate(form.replace("{}", block)) == "Name a river."


@pytest.mark.parametrize(
    "text",
    [
        "What does <my-element>foo</my-element> do in my page?",  # spoken of, in the middle of a line
        "<user_query>\nName a river.\n</user_query>",  # it is the question
        "<task-description>Name a river.</task-description>",
        "<p>\nOne word is HTML.\n</p>",
        "<system-reminder>\nnever closed",
        "never opened\n</system-reminder>",
        "<Upper-Case>\nnot this form\n</Upper-Case>",
        "a < b and c > d",
        "```python\nprint(1)\n```\nWhat does it print?",
    ],
)
def test_what_a_person_may_have_written_stays(text: str) -> None:
    assert without_boilerplate(text) == text


@pytest.mark.parametrize(
    "dump",
    [
        "```python\n" + "\n".join(f"line {n}" for n in range(200)) + "\n```",
        NUMBERED,
        '<file path="a.py">\n' + "\n".join(f"line {n}" for n in range(200)) + "\n</file>",
    ],
    ids=["fenced", "numbered", "element"],
)
def test_a_file_dump_keeps_its_first_lines(dump: str) -> None:
    left = without_boilerplate(f"Why is this slow?\n{dump}\nBe brief.")
    lines = left.split("\n")
    assert (lines[0], lines[-1]) == ("Why is this slow?", "Be brief.")
    assert f"line {KEPT_LINES - 1}" in left
    assert "line 30" not in left
    assert "…" in lines


@pytest.mark.parametrize(("n_lines", "is_cut"), [(KEPT_LINES, False), (KEPT_LINES + 1, True)])
def test_only_a_dump_of_more_than_five_lines_is_cut(n_lines: int, is_cut: bool) -> None:
    lines = [f"line {n}" for n in range(n_lines)]
    left = without_boilerplate('<file path="a.py">\n' + "\n".join(lines) + "\n</file>\nWhy?")
    assert ("…" in left) == is_cut
    assert (lines[-1] in left) == (not is_cut)


def test_what_stands_behind_a_fenced_block_stays_as_it_is() -> None:
    text = "```\none\n```\nline behind\n\nlast line"
    assert without_boilerplate(text) == text


def test_a_turn_of_nothing_else_is_empty() -> None:
    assert without_boilerplate("<system-reminder>x</system-reminder>\n") == ""


@pytest.mark.parametrize(
    "part", ["<a-b>", "</a-b>", "<a-b></c-d>", "<" * 7, "<a-", "```\n", "1\t\n", "<a-b ", "<a-b>x</a-b>\n"]
)
def test_hostile_text_takes_no_longer_than_its_length_deserves(part: str) -> None:
    text = part * (MAX_EXAMINED_CHARACTERS // len(part))
    started = time.process_time()
    without_boilerplate(text * 3)
    assert time.process_time() - started < 2


@given(st.text(alphabet="<>/-_ab \n`1\t"))
def test_nothing_is_made_up(text: str) -> None:
    left = without_boilerplate(text)
    position = 0
    for character in left.replace("…", ""):
        position = text.find(character, position) + 1
        assert position > 0
