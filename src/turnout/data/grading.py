"""Graders: whether a model's answer to a question agrees with the key.

Each built-in grader reads one thing out of an answer by stated rules, and says None where the answer holds nothing of
that kind or more than one. It never guesses: what cannot be read counts as wrong, and is counted.
"""

from __future__ import annotations

import importlib
import math
import re
import sys
import unicodedata
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

from turnout.data.questions import LETTERS, Question
from turnout.errors import DataError, InvalidValueError, UnknownNameError
from turnout.types import JSON

_MAX_READ_CHARACTERS = 50_000
"""Of an answer: only its end is read if it is longer, which is where conclusions stand."""


class Grader(Protocol):
    """Scores answers."""

    instruction: str
    """What is added below a question, so that the answer can be read."""

    def check(self, question: Question) -> None:
        """Raise a ValueError if the question's key cannot be used."""
        ...

    def grade(self, question: Question, answer: str) -> float | None:
        """The answer's score in [0, 1]; None if it cannot be read."""
        ...


class MultipleChoice:
    """Right if the answer names the key's letter.

    The key is a letter, a choice's place counted from 0, or a choice's text.
    """

    instruction = "End with a line that holds only the letter of your choice, in this form:\nAnswer: A"

    def check(self, question: Question) -> None:
        """Raise a ValueError if there are no choices or the key is none of them."""
        self._right_letter(question)

    def grade(self, question: Question, answer: str) -> float | None:
        """1 for the right letter, 0 for another, None if no letter or no single one is given."""
        letter = read_letter(answer, question.choices)
        return None if letter is None else float(letter == self._right_letter(question))

    def _right_letter(self, question: Question) -> str:
        key, choices = question.key, question.choices
        if not choices:
            raise ValueError("multiple choice needs 'choices', a list of texts.")
        if isinstance(key, int) and not isinstance(key, bool) and 0 <= key < len(choices):
            return LETTERS[key]
        if isinstance(key, str):
            if len(key.strip()) == 1 and key.strip().upper() in LETTERS[: len(choices)]:
                return key.strip().upper()
            if choices.count(key) == 1:
                return LETTERS[choices.index(key)]
        raise ValueError(
            f"'key' must be a letter from A to {LETTERS[len(choices) - 1]}, a choice's place from 0 to "
            f"{len(choices) - 1}, or a choice's text, got {key!r}."
        )


class FinalNumber:
    """Right if the last number of the answer equals the key exactly, as fractions: 0.5, .50 and 1/2 are equal.

    The key is a number, or text that ends in one (`#### 18` will do).
    """

    instruction = "End with a line that holds only the number, in this form:\nAnswer: 42"

    def check(self, question: Question) -> None:
        """Raise a ValueError if the key is no number."""
        self._right_number(question)

    def grade(self, question: Question, answer: str) -> float | None:
        """1 for the right number, 0 for another, None if there is none."""
        number = read_number(answer)
        return None if number is None else float(number == self._right_number(question))

    def _right_number(self, question: Question) -> Fraction:
        key = question.key
        number = None
        if isinstance(key, str) or (isinstance(key, int | float) and not isinstance(key, bool) and math.isfinite(key)):
            number = read_number(str(key))
        if number is None:
            raise ValueError(f"'key' must be a number or end in one, got {key!r}.")
        return number


class ExactMatch:
    """Right if the whole answer is the key, or one of several keys, after normalising both (see `normalised`)."""

    instruction = "Answer with nothing but the answer itself, as briefly as can be."

    def check(self, question: Question) -> None:
        """Raise a ValueError if the key is neither text nor a list of texts."""
        self._right_answers(question)

    def grade(self, question: Question, answer: str) -> float | None:
        """1 for a key, 0 for anything else, None for an answer that is empty after normalising."""
        text = normalised(answer)
        return float(text in self._right_answers(question)) if text else None

    def _right_answers(self, question: Question) -> set[str]:
        keys = question.key if isinstance(question.key, list) else [question.key]
        right = {normalised(str(key)) for key in keys if isinstance(key, str | int | float)}
        if len(right) == 0 or "" in right or not all(isinstance(key, str | int | float) for key in keys):
            raise ValueError(f"'key' must be text or a list of texts, got {question.key!r}.")
        return right


class FunctionGrader:
    """A function of the user's: `grade(question, answer)` gives a score in [0, 1], True or False, or None."""

    instruction = ""

    def __init__(self, function: Callable[[Question, str], JSON], name: str) -> None:
        self.function = function
        self.name = name

    def check(self, question: Question) -> None:
        """Nothing: what a key is, only the function knows."""

    def grade(self, question: Question, answer: str) -> float | None:
        """What the function says.

        Raises:
            DataError: it raised, or gave something else than a score; names the question.
        """
        try:
            score = self.function(question, answer)
        except Exception as error:
            raise DataError(
                f"question '{question.id}': the grader {self.name} failed: {type(error).__name__}: {error}"
            ) from error
        if score is None:
            return None
        if not isinstance(score, bool | int | float) or not 0 <= score <= 1:
            raise DataError(
                f"question '{question.id}': the grader {self.name} must give a score in [0, 1], True, False or None, "
                f"got {score!r}."
            )
        return float(score)


GRADERS: MappingProxyType[str, Grader] = MappingProxyType(
    {"multiple-choice": MultipleChoice(), "number": FinalNumber(), "exact": ExactMatch()}
)


def load_grader(name: str) -> Grader:
    """A built-in grader by name, or the function `module:function`; the module may lie in the current folder.

    Raises:
        UnknownNameError: there is no grader of this name.
        InvalidValueError: the module cannot be imported, or holds no such function.
    """
    module_name, colon, function_name = name.partition(":")
    if not colon:
        if name not in GRADERS:
            raise UnknownNameError("grader", name, [*GRADERS, "module:function"])
        return GRADERS[name]
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        function = getattr(importlib.import_module(module_name), function_name)
    except (ImportError, ValueError, AttributeError) as error:
        raise InvalidValueError(
            f"The grader '{name}' cannot be loaded: {error}. Write it MODULE:FUNCTION, with MODULE in the current "
            "folder or installed."
        ) from error
    finally:
        sys.path.remove(here)
    if not callable(function):
        raise InvalidValueError(f"The grader '{name}' is not a function.")
    return FunctionGrader(function, name)


_LETTER = (
    r"(?:(?i:option|choice|letter)\s+)?(?:[(\[{]\s*(?P<closed{n}>[A-Za-z])\s*[)\]}]|(?P<bare{n}>[A-Z])(?![\w'’-]))"
)
_DECLARED = re.compile(
    # "Answer: C", "the correct option is (c)"
    r"\b(?i:answer|(?:correct|right|best)\s+(?:choice|option)|(?m:^)choice)"
    r"\s*(?:(?i:is|would\s+be|must\s+be|should\s+be)\s*:?|[:=])\s*"
    + _LETTER.replace("{n}", "1")
    # "\boxed{C}", "\boxed{\text{C}}"
    + r"|\\boxed\s*\{\s*(?:\\[a-z]+\s*\{\s*)?\(?(?P<boxed>[A-Za-z])\)?\s*\}"
    # "(C) is the correct answer"
    + r"|(?<![\w'’-])"
    + _LETTER.replace("{n}", "2")
    + r"\s+(?i:is\s+the\s+(?:correct|right|best)\s+(?:answer|choice|option))"
)
_ALTERNATIVE = re.compile(r"\s*(?:,|/|&|\bor\b|\band\b)\s*(?i:option\s+|choice\s+)?[(\[]?[A-Z](?![\w'’-])")
_SENTENCE_GOES_ON = re.compile(r"[ \t]+(?!(?i:because|since|as|for)\b)[A-Za-z]")
_LETTER_ALONE = re.compile(r"[\s(\[\"']*([A-Za-z])[\s)\].:\"']*")
_LABELLED = re.compile(r"\s*(?:\(([A-Z])\)|([A-Z])(?=[).:]))(?P<label>[).:])?\s*(?P<rest>.*)")


def read_letter(answer: str, choices: tuple[str, ...]) -> str | None:
    r"""The letter that an answer settles on, or None if there is none or more than one.

    In this order:

    1. the last declaration (`Answer: C`, `the correct option is (C)`, `C is the right answer`, `\boxed{C}`), unless it
       offers alternatives (`A or B`);
    2. the first or the last line, if it is only a letter, or a letter with its choice (`C. Rome`, `C) because …`);
    3. the whole answer, if it is the text of exactly one choice.

    A letter beyond the choices is None, and the word "A" is not taken for a letter.

    >>> choices = ("Paris", "Rome", "Oslo")
    >>> read_letter("Not A, since that is in France.\n**Answer: (B)**", choices)
    'B'
    >>> read_letter("The answer is A city in Italy.", choices), read_letter("Answer: A or B", choices)
    (None, None)
    """
    text = re.sub(r"[*`$]", "", answer[-_MAX_READ_CHARACTERS:])
    letter = _declared_letter(text)
    if letter is None:
        lines = [line for line in text.splitlines() if line.strip()]
        found = {_line_letter(line, choices) for line in (*lines[:1], *lines[-1:])} - {None}
        if not found:
            same = [LETTERS[place] for place, choice in enumerate(choices) if normalised(choice) == normalised(text)]
            found = set(same)
        letter = found.pop() if len(found) == 1 else None
    return letter if letter and letter in LETTERS[: len(choices)] else None


def _declared_letter(text: str) -> str | None:
    """The letter of the last declaration; empty if that one offers alternatives; None if nothing is declared."""
    letter = None
    for match in _DECLARED.finditer(text):
        bare = match["bare1"] or match["bare2"]
        if bare in ("A", "I") and match["bare1"] and _SENTENCE_GOES_ON.match(text, match.end()):
            continue
        letter = (bare or match["closed1"] or match["closed2"] or match["boxed"]).upper()
        if not match["boxed"] and _ALTERNATIVE.match(text, match.end()):
            letter = ""
    return letter


def _line_letter(line: str, choices: tuple[str, ...]) -> str | None:
    if alone := _LETTER_ALONE.fullmatch(line):
        return alone[1].upper()
    labelled = _LABELLED.match(line)
    if labelled is None:
        return None
    letter = labelled[1] or labelled[2]
    place = LETTERS.index(letter)
    if labelled["label"] == ".":
        # "C. Rome" is a choice; "C. Darwin was born" is not.
        is_choice = place < len(choices) and normalised(labelled["rest"]).startswith(normalised(choices[place]))
        return letter if is_choice else None
    return letter


_DIGITS = r"(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)"
_NUMBER = re.compile(
    r"(?<![\w.,/^])(?P<sign>[-−+])?[$€£]?(?:(?P<whole>\d+)\s+(?=\d+\s*/\s*\d))?"
    rf"(?P<value>(?>{_DIGITS}(?:\.\d+)?|\.\d+))(?:[eE](?P<power>[-+]?\d{{1,2}})(?!\w))?(?![eE][-+]?\d)"
    r"(?:\s*/\s*(?P<below>\d+))?"
)
_BEFORE_A_RESULT = re.compile(r"####|\\boxed\s*\{|\b(?i:answer)\s*(?:(?i:is)\s*:?|[:=])")
_MOST_DIGITS = 60


def read_number(answer: str) -> Fraction | None:
    r"""The number that an answer ends with, or None if it has none.

    That is the first number behind the last `Answer:`, `the answer is`, `####` or `\boxed{` on the same line, else the
    last number in the text. Thousands separators, currency and per cent signs are passed over; fractions and mixed
    numbers are read as such.

    >>> read_number("16 - 3 - 4 = 9 eggs, so 9 × $2 makes $18.00 a day."), read_number(r"\boxed{\frac{3}{4}}")
    (Fraction(18, 1), Fraction(3, 4))
    >>> read_number("The answer is 1,024 bytes, which is 2^10.")
    Fraction(1024, 1)
    """
    text = answer[-_MAX_READ_CHARACTERS:].replace("{,}", ",").replace("\\$", "$").replace("**", "")
    text = re.sub(r"\\[dt]?frac\s*\{(-?\d+)\}\s*\{(\d+)\}", r"\1/\2", text)
    last_result = None
    for marker in _BEFORE_A_RESULT.finditer(text):
        line_end = text.find("\n", marker.end())
        behind = text[marker.end() : line_end if line_end >= 0 else None]
        number = _NUMBER.search(behind)
        if number:
            last_result = number
    numbers = [last_result] if last_result else list(_NUMBER.finditer(text))
    return _fraction(numbers[-1]) if numbers else None


def _fraction(match: re.Match[str]) -> Fraction | None:
    """The value of a match of `_NUMBER`; None if it is out of all bounds or divides by zero."""
    if len(match[0]) > _MOST_DIGITS:
        return None
    value = Fraction(match["value"].replace(",", "")) * Fraction(10) ** int(match["power"] or 0)
    if match["below"]:
        if int(match["below"]) == 0:
            return None
        value /= int(match["below"])
    if match["whole"]:
        value += int(match["whole"])
    return -value if match["sign"] in ("-", "−") else value


def normalised(text: str) -> str:
    """Text without case, runs of white space, compatibility forms, and signs of punctuation at its ends.

    >>> normalised('  The  “Rhine”. ')
    'the “rhine'
    >>> normalised("“Rhine.”"), normalised("C++")
    ('rhine', 'c++')
    """
    words = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    start, end = 0, len(words)
    while start < end and _is_at_an_end_for_nothing(words[start]):
        start += 1
    while end > start and _is_at_an_end_for_nothing(words[end - 1]):
        end -= 1
    return words[start:end]


def _is_at_an_end_for_nothing(character: str) -> bool:
    """White space and punctuation, but for signs that mean something at the end of an answer."""
    return character == " " or (unicodedata.category(character).startswith("P") and character not in "%#&@")
