import numpy as np
import pytest

from turnout.data.contamination import (
    Match,
    dataset_similarity,
    duplicate_cosine,
    find_contaminated,
    kept_rows,
    nearest_cosine,
)
from turnout.encoders.hashing import HashingEncoder
from turnout.errors import EmptyDataError, InvalidValueError, UnknownNameError

QUESTION = "A train leaves the station at noon and travels for three hours at sixty miles an hour before it stops"
TEMPLATE = "For which of these two scenarios does the main character do something that is clearly wrong: {}"
SCENARIOS = [f"I {verb} my {thing} on {day}" for verb in ("sold", "lent") for thing in "abcdefg" for day in ("Monday",)]


def kinds(queries: list[str], training: list[str]) -> list[tuple[int, int, str]]:
    return [(match.row, match.training_row, match.kind) for match in find_contaminated(queries, training)]


def test_same_text_whatever_its_case_white_space_and_punctuation() -> None:
    assert kinds(["What is 2+2?", "What is 3+3?"], ["x", "what  is 2 + 2"]) == [(0, 1, "same text")]


def test_near_copy_with_other_options() -> None:
    asked, copied = f"{QUESTION}\nA. 60\nB. 180\n", f"{QUESTION}. Options: (1) 20 (2) 180 (3) none of these at all"
    assert kinds([asked, "Name a river."], ["Name a lake.", copied]) == [(0, 1, "near copy")]


def test_a_short_question_inside_a_long_text_is_a_near_copy() -> None:
    assert kinds(
        [QUESTION], [f"Answer the following question with care and in one word, please. {QUESTION} Answer:"]
    ) == [(0, 0, "near copy")]


def test_a_shared_template_is_no_copy() -> None:
    training = [TEMPLATE.format(scenario) for scenario in SCENARIOS]
    assert len(training) > 10
    assert kinds([TEMPLATE.format("I fed the neighbour's dog before sunrise")], training) == []


def words(first: int, last: int) -> str:
    """word1 word2 …: n of them have n − 4 runs of five."""
    return " ".join(f"word{number}" for number in range(first, last + 1))


def test_half_of_the_shorter_texts_runs_make_a_near_copy() -> None:
    assert find_contaminated([words(1, 10)], [words(1, 7) + " other " + words(21, 22)]) == [
        Match(0, 0, "near copy", 3 / 6)
    ]
    assert find_contaminated([words(1, 10)], [words(1, 6) + " other " + words(21, 23)]) == []
    assert find_contaminated([words(1, 20)], [words(1, 7)]) == [Match(0, 0, "near copy", 1.0)]
    assert find_contaminated([words(1, 7)], [words(1, 20)]) == [Match(0, 0, "near copy", 1.0)]


def test_the_text_that_shares_most_is_named_and_of_equals_the_first() -> None:
    training = [words(1, 8) + " other words", words(2, 10) + " end", words(1, 9) + " end"]
    (match,) = find_contaminated([words(1, 10)], training)
    assert (match.training_row, match.score) == (1, 5 / 6)


def test_one_shared_run_is_too_little() -> None:
    assert find_contaminated([words(1, 5)], [words(1, 20)]) == []
    assert find_contaminated([words(1, 6)], [words(1, 20)]) == [Match(0, 0, "near copy", 1.0)]


def test_letters_of_options_do_not_count_and_numbers_do() -> None:
    lettered = " ".join(f"{letter} word{number}" for number, letter in enumerate("abcdefgh", start=1))
    assert find_contaminated([words(1, 8)], [lettered]) == [Match(0, 0, "near copy", 1.0)]
    numbered = ["how much is 4 and 5 and 6 and 7 and 8", "how much is 3 and 2 and 1 and 9 and 0"]
    assert find_contaminated(numbered[:1], numbered[1:]) == []


@pytest.mark.parametrize(("n_training", "n_copies"), [(10, 1), (11, 0)])
def test_what_more_than_ten_training_texts_hold_is_a_template(n_training: int, n_copies: int) -> None:
    training = [f"{words(1, 8)} ending{number}" for number in range(n_training)]
    assert len(find_contaminated([words(1, 8)], training)) == n_copies


def test_similar_only_with_an_encoder_and_its_threshold() -> None:
    encoder = HashingEncoder()
    queries, training = ["alpha beta gamma delta"], ["delta gamma beta alpha"]
    assert find_contaminated(queries, training) == []
    (match,) = find_contaminated(queries, training, encoder=encoder, threshold=0.9)
    assert (match.kind, match.row, match.training_row) == ("similar", 0, 0)
    assert match.score == pytest.approx(1.0)
    assert find_contaminated(["alpha"], training, encoder=encoder, threshold=0.9) == []


def test_each_query_is_named_once_by_its_closest_kind() -> None:
    found = find_contaminated(
        [QUESTION], [QUESTION.upper(), QUESTION + " there"], encoder=HashingEncoder(), threshold=0.5
    )
    assert found == [Match(0, 0, "same text", 1.0)]


def test_threshold_of_an_unknown_encoder_and_out_of_range() -> None:
    with pytest.raises(UnknownNameError, match="hashing"):
        duplicate_cosine(HashingEncoder())
    for wrong in (0, 1.5, float("nan")):
        with pytest.raises(InvalidValueError, match="cosine"):
            duplicate_cosine(HashingEncoder(), wrong)


def test_nothing_on_one_side() -> None:
    assert find_contaminated([], ["x"]) == []
    assert find_contaminated(["x"], [], encoder=HashingEncoder(), threshold=0.9) == []
    with pytest.raises(EmptyDataError):
        nearest_cosine(HashingEncoder(), ["x"], [])
    with pytest.raises(EmptyDataError):
        dataset_similarity(HashingEncoder(), [], ["x"])


def test_kept_rows() -> None:
    assert kept_rows(3, [Match(1, 0, "similar", 0.99)]).tolist() == [True, False, True]


def test_similarity_by_hand() -> None:
    encoder = HashingEncoder()
    training = ["name a river", "what is two and two"]
    queries = ["name a river", "what is two and two", "prove it"]
    similarity = dataset_similarity(encoder, queries, training, slices=["geo", "sums", "sums"])
    far = float((encoder.encode(["prove it"]) @ encoder.encode(training).T).max())
    assert similarity.mean == pytest.approx((2 + far) / 3)
    assert list(similarity.by_slice) == ["geo", "sums"]
    assert similarity.by_slice["sums"] == (2, pytest.approx((1 + far) / 2))


def test_nearest_in_chunks_equals_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder, texts = HashingEncoder(), [f"text {number} of {number % 7}" for number in range(50)]
    whole = nearest_cosine(encoder, texts[:30], texts[30:])
    monkeypatch.setattr("turnout.data.contamination._SIMILARITIES_AT_ONCE", 40)
    parts = nearest_cosine(encoder, texts[:30], texts[30:])
    assert np.array_equal(whole[1], parts[1])
    assert np.allclose(whole[0], parts[0], atol=1e-6)
