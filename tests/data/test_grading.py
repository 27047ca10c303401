import csv
import os
import sys
import time
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from turnout.data.grading import GRADERS, load_grader, normalised, read_letter, read_number
from turnout.data.importers.routellm_release import STRONG, WEAK
from turnout.data.questions import Question
from turnout.errors import DataError, InvalidValueError, UnknownNameError

CITIES = ("Paris", "Rome", "Oslo", "Bern")


@pytest.mark.parametrize(
    ("answer", "letter"),
    [
        ("B", "B"),
        ("b", "B"),
        ("(b)", "B"),
        ("B.", "B"),
        ("**B**", "B"),
        ("Answer: B", "B"),
        ("ANSWER : (b)", "B"),
        ("Answer:\n\nB", "B"),
        ("The answer is B.", "B"),
        ("The answer is: $B$", "B"),
        ("The correct option is (B), because it is in Italy.", "B"),
        ("So the best choice would be [B].", "B"),
        ("The final answer is option B", "B"),
        (r"Thus $\boxed{B}$.", "B"),
        (r"Thus $\boxed{\text{B}}$.", "B"),
        ("(B) is the correct answer.", "B"),
        ("B is the right choice, not A.", "B"),
        ("The answer is A? No. The answer is B.", "B"),
        ("Answer: A because the Seine is there.", "A"),
        ("The answer is A\nParis is on the Seine.", "A"),
        ("B. Rome", "B"),
        ("B) since it is in Italy", "B"),
        ("(B) Rome, in Italy", "B"),
        ("It is in Italy.\nHence:\nB", "B"),
        ("B\n\nIt is in Italy.", "B"),
        ("Rome", "B"),
        (" rome. ", "B"),
        # A choice that is ruled out on the way to the answer.
        ("A. Paris is in France.\nAnswer: B. Rome", "B"),
        ("Option C is wrong. Option D is wrong. Answer: B", "B"),
    ],
)
def test_a_letter_that_is_given_is_read(answer: str, letter: str) -> None:
    assert read_letter(answer, CITIES) == letter


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "I do not know.",
        "Answer: A or B",
        "Answer: (A) or (B)",
        "Answer: A, B",
        "The answer is A and C.",
        "A\nor maybe\nB",
        "A) Paris\nB) Rome\nC) Oslo\nD) Bern",
        "A. Paris\nB. Rome\nC. Oslo\nD. Bern",
        "The answer is not B.",
        "The answer is A city in Italy.",
        "The answer is a city in Italy.",
        "A city in Italy.",
        "A. Lincoln was born in Kentucky.",
        "Answer: Because of Rome",
        "Answer: E",
        "Answer: Z",
        "Option B looks tempting, but is it?",
        "I would think of Paris and Rome.",
        "A's capital",
    ],
)
def test_an_answer_without_a_single_letter_is_not_guessed_at(answer: str) -> None:
    assert read_letter(answer, CITIES) is None


def test_two_equal_choices_are_told_apart_by_letter_only() -> None:
    assert read_letter("none", ("none", "none", "all")) is None
    assert read_letter("B", ("none", "none", "all")) == "B"


@pytest.mark.parametrize(
    ("answer", "number"),
    [
        ("18", "18"),
        ("She makes $18 a day.", "18"),
        ("9 × 2 = 18.", "18"),
        ("#### 18", "18"),
        ("Step 1: 3\nStep 2: 4\n#### 1,234.50", "1234.5"),
        ("The answer is -7.", "-7"),
        ("The answer is −7.", "-7"),
        ("That is -$5", "-5"),
        ("x=-5", "-5"),
        ("10-5", "5"),
        ("The range is 5-10", "10"),
        (r"\boxed{42}", "42"),
        (r"so $\boxed{\frac{3}{4}}$ of the 8 slices", "3/4"),
        ("Answer: 3/4", "3/4"),
        ("Answer: 1 1/2 cups", "3/2"),
        ("Answer: 50%", "50"),
        (r"Answer: \$1{,}000", "1000"),
        ("Answer: .5", "1/2"),
        ("Answer: 1.5e3", "1500"),
        ("Answer: 5 eggs, or 2 a day", "5"),
        ("Answer: 6\nI checked it 2 times.", "6"),
        ("The answer is 4. No, wait.\nThe answer is 5.", "5"),
        ("The answer is found by adding.\n2 + 3 = 5", "5"),
        ("2^10 bytes are 1,024", "1024"),
        ("It holds 1,2345 things", "1"),
    ],
)
def test_a_final_number_is_read(answer: str, number: str) -> None:
    assert read_number(answer) == Fraction(number)


@pytest.mark.parametrize("answer", ["", "none", "Answer: 1/0", "x2", "1e999999999", "Answer: " + "9" * 5000])
def test_what_is_no_number_or_out_of_bounds_is_none(answer: str) -> None:
    assert read_number(answer) is None


@given(st.fractions(max_denominator=10**6).filter(lambda f: abs(f) < 10**12))
def test_every_fraction_is_read_back(value: Fraction) -> None:
    assert read_number(f"Answer: {value}") == value


@given(st.integers(-(10**15), 10**15))
def test_thousands_separators_change_nothing(value: int) -> None:
    assert read_number(f"So it is {value:,}.") == value


@example('0:\r"', CITIES)
@given(st.text(max_size=300), st.sampled_from([CITIES, ("x", "y")]))
def test_any_text_is_read_without_an_error(text: str, choices: tuple[str, ...]) -> None:
    letter = read_letter(text, choices)
    assert letter is None or letter in "ABCD"[: len(choices)]
    read_number(text)
    assert normalised(normalised(text)) == normalised(text)


@pytest.mark.parametrize("text", ["(" * 60_000, "answer " * 9_000, " " * 60_000 + "x", "9," * 30_000, "1 " * 30_000])
def test_a_hostile_answer_is_read_in_good_time(text: str) -> None:
    started = time.process_time()
    read_letter(text, CITIES)
    read_number(text)
    assert time.process_time() - started < 2


@pytest.mark.skipif("TURNOUT_DATA" not in os.environ, reason="needs the released GSM8K answers")
def test_released_answers_that_were_both_marked_right_read_as_the_same_number() -> None:
    path = Path(os.environ["TURNOUT_DATA"]) / "routellm_release" / "gsm8k" / "gsm8k_responses.csv"
    with path.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row[STRONG] == row[WEAK] == "True"]
    same = [read_number(row[f"{STRONG}_response"]) == read_number(row[f"{WEAK}_response"]) for row in rows]
    assert len(rows) > 700
    assert sum(same) / len(rows) > 0.99


@pytest.mark.parametrize("key", ["B", "b", 1, "Rome"])
def test_a_key_may_be_a_letter_a_place_or_the_choice_itself(key: object) -> None:
    question = Question("1", "Which?", key=key, choices=CITIES)
    grade = GRADERS["multiple-choice"].grade
    assert (grade(question, "Answer: B"), grade(question, "Answer: C"), grade(question, "no idea")) == (1.0, 0.0, None)


def test_numbers_are_compared_exactly_and_texts_normalised() -> None:
    number = Question("1", "How many?", key="9 * 2 = 18\n#### 18")
    assert [GRADERS["number"].grade(number, a) for a in ("It is 18.00", "17.999", "many")] == [1.0, 0.0, None]
    assert GRADERS["number"].grade(Question("1", "?", key=0.1), "1/10") == 1.0
    text = Question("1", "Who?", key=["Ada Lovelace", "Lovelace"])
    assert [GRADERS["exact"].grade(text, a) for a in ("ada  LOVELACE.", "Lovelace", "Ada", "!")] == [1, 1, 0, None]


@pytest.mark.parametrize(
    ("grader", "key", "message"),
    [
        ("multiple-choice", "E", "a letter from A to D"),
        ("multiple-choice", 4, "a letter from A to D"),
        ("multiple-choice", True, "a letter from A to D"),
        ("multiple-choice", None, "a letter from A to D"),
        ("number", "many", "must be a number"),
        ("number", float("inf"), "must be a number"),
        ("number", True, "must be a number"),
        ("exact", None, "must be text"),
        ("exact", [], "must be text"),
        ("exact", ["x", {}], "must be text"),
    ],
)
def test_a_key_that_the_grader_cannot_use_is_an_error(grader: str, key: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GRADERS[grader].check(Question("1", "Which?", key=key, choices=CITIES))


def test_multiple_choice_needs_choices() -> None:
    with pytest.raises(ValueError, match="needs 'choices'"):
        GRADERS["multiple-choice"].check(Question("1", "Which?", key="A"))


def test_a_function_of_ones_own_from_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_graders.py").write_text(
        "def length(question, answer): return len(answer) / 10\n"
        "def broken(question, answer): raise KeyError('x')\n"
        "def silent(question, answer): return None\n"
        "constant = 3\n"
    )
    monkeypatch.chdir(tmp_path)
    before = list(sys.path)
    question = Question("q7", "?")
    assert load_grader("my_graders:length").grade(question, "12345") == 0.5
    assert load_grader("my_graders:silent").grade(question, "12345") is None
    with pytest.raises(DataError, match=r"'q7'.*must give a score in \[0, 1\].*got 1.1"):
        load_grader("my_graders:length").grade(question, "12345678901")
    with pytest.raises(DataError, match=r"'q7'.*failed: KeyError"):
        load_grader("my_graders:broken").grade(question, "")
    for name, message in [("my_graders:constant", "not a function"), ("my_graders:absent", "cannot be loaded")]:
        with pytest.raises(InvalidValueError, match=message):
            load_grader(name)
    with pytest.raises(InvalidValueError, match="cannot be loaded"):
        load_grader("no_such_module:grade")
    assert sys.path == before


def test_an_unknown_grader_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'number'"):
        load_grader("numbers")
