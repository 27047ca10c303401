import numpy as np
import pytest
from made_up_outcomes import PAIR, FirstWord

from turnout.data.battles import Battles
from turnout.data.outcomes import Outcomes
from turnout.data.split import same_text
from turnout.errors import EmptyDataError, InvalidValueError
from turnout.evaluation.golden import GoldenSplit, golden_replays, golden_splits, named_for, without_test_queries
from turnout.evaluation.pair_table import PairTable


def test_no_text_is_trained_on_and_tested_on(table: PairTable) -> None:
    for split in golden_splits(table, n_labels=20, n_seeds=4):
        train, test = ({same_text(table.outcomes.queries[row]) for row in rows} for rows in (split.train, split.test))
        assert len(train) == 20
        assert not train & test
        assert len(split.train) + len(split.test) == len(table)


def test_each_seed_asks_other_questions_and_always_the_same(table: PairTable) -> None:
    one, other = golden_splits(table, 20, 2)
    assert set(one.train.tolist()) != set(other.train.tolist())
    assert golden_splits(table, 20, 1)[0].train.tolist() == one.train.tolist()


def test_questions_that_served_development_are_never_tested_on(table: PairTable) -> None:
    plain, spared = golden_splits(table, 20, 3), golden_splits(table, 20, 3, development_seed=1)
    for before, after in zip(plain, spared, strict=True):
        assert after.train.tolist() == before.train.tolist()
        assert set(after.test.tolist()) == set(before.test.tolist()) - set(plain[1].train.tolist())


def test_a_router_is_trained_on_the_sample_and_tested_on_the_rest(table: PairTable) -> None:
    routers: list[FirstWord] = []

    def make(seed: int) -> FirstWord:
        routers.append(FirstWord(seed=seed))
        return routers[-1]

    splits = golden_splits(table, 20, 3)
    replays = golden_replays(make, table, splits)
    for router, split, replay in zip(routers, splits, replays, strict=True):
        assert router.seed == split.seed == replay.seed
        assert router.pair_ == PAIR
        assert router.trained_on_ == [table.outcomes.queries[row] for row in split.train]
        tested = [table.outcomes.queries[row] for row in split.test]
        np.testing.assert_array_equal(replay.win_rates, router.predict_win_rate(tested))
        np.testing.assert_array_equal(replay.rows, split.test)


def test_more_battles_are_added_to_the_labels(table: PairTable) -> None:
    router = FirstWord()
    extra = Battles.from_columns(["rare thing"], PAIR.weak, PAIR.strong, [0.0])
    golden_replays(lambda _: router, table, golden_splits(table, 20, 1), extra=extra)
    assert router.trained_on_[-1] == "rare thing"
    assert router.predict_win_rate(["rare thing"]) == [1.0]


def test_lifted_battles_take_the_pairs_names() -> None:
    lifted = named_for(PAIR, Battles.from_columns(["q", "r"], ["strong", "weak"], ["weak", "strong"], [1.0, 0.25]))
    assert lifted.strong_share().tolist() == [1.0, 0.75]
    others = Battles.from_columns(["q"], "llama", "weak", [1.0])
    assert named_for(PAIR, others) is others


def test_battles_about_the_tests_queries_are_left_out(table: PairTable) -> None:
    asked = table.outcomes.queries[7]
    battles = Battles.from_columns([f"  {asked.upper()} ", "another"], PAIR.strong, PAIR.weak, [1.0, 0.0])
    assert list(without_test_queries(battles, table).queries) == ["another"]


def test_near_copies_of_the_tests_queries_are_left_out_too() -> None:
    asked = "Which of these rivers flows through Vienna, Budapest and Belgrade before it reaches the sea?"
    outcomes = Outcomes.from_columns([asked], {PAIR.strong: [1.0], PAIR.weak: [0.0]}).for_pair(PAIR)
    copy = asked.replace("Which", "Say which").replace("the sea", "the Black Sea")
    battles = Battles.from_columns([copy, "Which river flows through Vienna?"], PAIR.strong, PAIR.weak, [1.0, 1.0])
    kept = without_test_queries(battles, PairTable("one", "One", PAIR, outcomes))
    assert list(kept.queries) == ["Which river flows through Vienna?"]


def test_without_labels_battles_teach_alone_and_all_is_test(table: PairTable) -> None:
    router, split = FirstWord(), GoldenSplit.without_labels(table)
    battles = Battles.from_columns(["hard thing", "easy thing"], PAIR.strong, PAIR.weak, [1.0, 0.5])
    (replay,) = golden_replays(lambda _: router, table, [split], extra=battles)
    assert router.trained_on_ == ["hard thing", "easy thing"]
    assert replay.rows.tolist() == [*range(len(table))]
    with pytest.raises(EmptyDataError):
        golden_replays(lambda _: router, table, [split])


@pytest.mark.parametrize(("n_labels", "n_seeds"), [(0, 1), (10_000, 1), (20, 0)])
def test_impossible_splits_are_refused(table: PairTable, n_labels: int, n_seeds: int) -> None:
    with pytest.raises(InvalidValueError):
        golden_splits(table, n_labels, n_seeds)
