import pytest

from turnout import ModelPair
from turnout.errors import DataError, InvalidValueError, TurnoutError, UnknownNameError


def test_a_pair_is_written_strong_comma_weak() -> None:
    pair = ModelPair.parse(" openai/gpt-4 , mixtral-8x7b ")
    assert (pair.strong, pair.weak) == ("openai/gpt-4", "mixtral-8x7b")
    assert ModelPair.parse(str(pair)) == pair


@pytest.mark.parametrize("text", ["", "one", "a,b,c", "a,", ",b", "same,same"])
def test_what_is_no_pair_is_refused(text: str) -> None:
    with pytest.raises(InvalidValueError):
        ModelPair.parse(text)


def test_data_errors_name_file_and_line() -> None:
    assert str(DataError("broken.", path="votes.jsonl", line=17)) == "votes.jsonl, line 17: broken."


def test_a_long_list_of_known_names_is_cut() -> None:
    error = UnknownNameError("model", "m999", [f"m{n:03}" for n in range(100)])
    assert str(error).endswith("and 60 more.")
    assert isinstance(error, TurnoutError)
