import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnout.data.split import same_text, sample_rows, split_rows
from turnout.errors import InvalidValueError

QUERIES = st.lists(st.sampled_from(["a", "A ", "b", "c", " c", "d", "e", "f", "g"]), min_size=1, max_size=40)


@given(QUERIES, st.integers(0, 5))
def test_every_row_has_one_side_and_no_text_has_two(queries: list[str], seed: int) -> None:
    parts = split_rows(queries, [0.5, 0.3, 0.2], seed=seed)
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(queries)))
    texts = [{same_text(queries[row]) for row in part} for part in parts]
    assert not texts[0] & texts[1]
    assert not texts[0] & texts[2]
    assert not texts[1] & texts[2]


def test_each_source_is_split_in_proportion() -> None:
    queries = [f"query {n}" for n in range(300)]
    source = ["large"] * 200 + ["small"] * 100
    train, test = split_rows(queries, [0.9, 0.1], source=source)
    assert sum(row < 200 for row in train) == 180
    assert sum(row >= 200 for row in test) == 10


def test_equal_seeds_give_equal_splits_and_others_do_not() -> None:
    queries = [f"query {n}" for n in range(50)]
    first, again, other = (split_rows(queries, [0.5, 0.5], seed=seed)[0].tolist() for seed in (1, 1, 2))
    assert first == again != other


@pytest.mark.parametrize("fractions", [[], [0.5, 0.4], [1.5, -0.5], [1.0, 0.0]])
def test_fractions_must_add_up(fractions: list[float]) -> None:
    with pytest.raises(InvalidValueError, match="add up to 1"):
        split_rows(["a", "b"], fractions)


def test_a_sample_has_the_distinct_queries_asked_for_and_the_rest_none_of_them() -> None:
    queries = [f"query {n % 40}" for n in range(100)]
    sampled, rest = sample_rows(queries, 10, seed=3)
    assert len({queries[row] for row in sampled}) == 10
    assert not {queries[row] for row in sampled} & {queries[row] for row in rest}
    assert len(sampled) + len(rest) == 100


def test_a_sample_must_leave_something() -> None:
    for n_distinct in (0, 2):
        with pytest.raises(InvalidValueError, match=f"from 1 to 1 of the 2 distinct queries, got {n_distinct}"):
            sample_rows(["a", "b", "a"], n_distinct)
