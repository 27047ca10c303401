"""Takes out of a user turn what a program put there and no person wrote, so that a router sees the question.

The rule is one of form, not a list of anyone's phrases, and would rather keep too much:

- A *tagged block* goes: an element that begins a line, ends one, and whose name is several words joined by `-` or `_`
  (`<system-reminder>…</system-reminder>`, `<environment_details>`, `<available_tools>`). Names of one word (HTML, XML)
  stay, and so does a block whose name says that it holds the question (`<user_query>`, `<task-description>`).
- A *file dump* keeps its first lines: an element with an attribute that names a file (`<file path="a.py">`), a fenced
  block of more than `MAX_FENCED_LINES` lines, a run of at least `MIN_NUMBERED_LINES` lines with numbers before them.

Time is linear in the text's length, whatever it holds.
"""

from __future__ import annotations

import re

MAX_FENCED_LINES = 40
MIN_NUMBERED_LINES = 20
KEPT_LINES = 5
"""What is kept of a file dump: enough to tell the language and the matter."""

MAX_EXAMINED_CHARACTERS = 200_000
"""Of a longer turn the beginning and the end are looked at, as much of either."""

_TAG = re.compile(r"<(?P<close>/?)(?P<name>[a-z][a-z0-9]*(?:[-_][a-z0-9]+)*)(?P<attributes>\s[^<>]{0,300})?>")
_FILE_ATTRIBUTE = re.compile(r"\s(?:path|file|filename|file_path|file-path)\s*=")
_FENCE = re.compile(r"\s{0,3}(?:```|~~~)")
_NUMBERED = re.compile(r"\s{0,8}\d{1,7}(?:[\t→|:]| {2,})")
_ASKING = frozenset(
    {"feedback", "goal", "input", "instruction", "instructions", "issue", "message", "problem"}
    | {"prompt", "query", "question", "request", "task"}
)
_LEFT_OUT = "…"


def without_boilerplate(text: str) -> str:
    r"""The text of a user turn without tagged blocks and with file dumps cut short; empty if nothing else is there.

    >>> without_boilerplate("<system-reminder>\nThe list is empty.\n</system-reminder>\nName a river.")
    'Name a river.'
    """
    if len(text) > MAX_EXAMINED_CHARACTERS:
        half = MAX_EXAMINED_CHARACTERS // 2
        text = f"{text[:half]}\n{_LEFT_OUT}\n{text[-half:]}"
    if "</" in text:
        text = _without_blocks(text)
    if text.count("\n") >= MIN_NUMBERED_LINES:
        text = "\n".join(_shortened(text.split("\n")))
    return text.strip()


def _without_blocks(text: str) -> str:
    """Whole elements alone are touched, the outermost first."""
    kept: list[str] = []
    position = 0
    for start, end, content_start, content_end, is_file in sorted(_blocks(text)):
        if start < position:
            continue  # inside the one before
        kept.append(text[position:start])
        if is_file:
            lines = text[content_start:content_end].strip("\n").split("\n")
            kept.append("\n".join(_beginning(lines)))
        position = end
    kept.append(text[position:])
    return "".join(kept)


def _blocks(text: str) -> list[tuple[int, int, int, int, bool]]:
    """(start, end, start of content, end of content, is a file) of each element that is boilerplate."""
    found = []
    opened: dict[str, list[re.Match[str]]] = {}
    for tag in _TAG.finditer(text):
        name = tag["name"]
        if not tag["close"]:
            opened.setdefault(name, []).append(tag)
            continue
        if not opened.get(name):
            continue
        first = opened[name].pop()
        is_file = bool(_FILE_ATTRIBUTE.search(first["attributes"] or ""))
        words = re.split("[-_]", name)
        if not is_file and (len(words) == 1 or not _ASKING.isdisjoint(words)):
            continue
        if _begins_line(text, first.start()) and _ends_line(text, tag.end()):
            found.append((first.start(), tag.end(), first.end(), tag.start(), is_file))
    return found


def _begins_line(text: str, position: int) -> bool:
    while position > 0 and text[position - 1] in " \t":
        position -= 1
    # Blocks may follow one another on a line.
    return position == 0 or text[position - 1] in "\n>"


def _ends_line(text: str, position: int) -> bool:
    while position < len(text) and text[position] in " \t\r":
        position += 1
    return position == len(text) or text[position] in "\n<"


def _shortened(lines: list[str]) -> list[str]:
    """The lines with long fenced blocks and numbered runs cut short."""
    kept: list[str] = []
    position = 0
    while position < len(lines):
        if _FENCE.match(lines[position]):
            end = position + 1
            while end < len(lines) and not _FENCE.match(lines[end]):
                end += 1
            if end == len(lines) or end - position - 1 <= MAX_FENCED_LINES:
                kept += lines[position : end + 1]
            else:
                kept += [lines[position], *_beginning(lines[position + 1 : end]), lines[end]]
            position = end + 1
            continue
        end = position
        while end < len(lines) and _NUMBERED.match(lines[end]):
            end += 1
        if end - position >= MIN_NUMBERED_LINES:
            kept += _beginning(lines[position:end])
        else:
            end = max(end, position + 1)
            kept += lines[position:end]
        position = end
    return kept


def _beginning(lines: list[str]) -> list[str]:
    return lines if len(lines) <= KEPT_LINES else [*lines[:KEPT_LINES], _LEFT_OUT]
