from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from turnout.data.battles import Battles
from turnout.encoders.hashing import HashingEncoder
from turnout.encoders.static import StaticEncoder
from turnout.errors import EmptyDataError, InvalidValueError, NotFittedError, UnknownNameError
from turnout.routers.base import KnowsModels, Router, predict_for_pair
from turnout.routers.matrix_factorization import WEIGHT_DECAY_CHOICES, EpochProgress, MatrixFactorization
from turnout.testing import FakeEncoder, tiny_battles
from turnout.types import ModelPair, VectorArray

PAIR = ModelPair("big", "small")
ENCODER = HashingEncoder(dim=32)
ONE_QUERY = FakeEncoder({"q": [1.0, 0.0]})
QUICK = {"weight_decay": 1e-3, "epochs": 20}


def votes(shares: Sequence[float], **columns: Any) -> Battles:
    """Battles of the pair, all on one query."""
    return Battles.from_columns(["q"] * len(shares), "big", "small", shares, **columns, pair=PAIR)


def learned_share(battles: Battles, **settings: Any) -> float:
    """What a router makes of votes on one query, with nothing held out and hardly any decay."""
    fixed = {"weight_decay": 1e-6, "validation_fraction": 0, "patience": None, "epochs": 300, "learning_rate": 0.01}
    return float(MatrixFactorization(ONE_QUERY, **{**fixed, **settings}).fit(battles).predict_win_rate(["q"])[0])


@pytest.fixture(scope="module")
def fitted() -> MatrixFactorization:
    return MatrixFactorization(ENCODER).fit(tiny_battles(120))


@pytest.fixture(scope="module")
def of_three() -> MatrixFactorization:
    return MatrixFactorization(ENCODER).fit(tiny_battles(180, models=("big", "middle", "small")))


def test_it_learns_who_wins_what(fitted: MatrixFactorization) -> None:
    hard, even, easy = fitted.predict_win_rate(["prove theorem sum", "explain theorem sum", "rhyme theorem sum"])
    assert easy < 0.3 < even < 0.7 < hard


def test_win_rates_are_the_papers_formula(of_three: MatrixFactorization) -> None:
    queries = ["prove theorem", "rhyme moon", "explain", ""]
    w1, w2, v, b = (of_three.factors_[name].astype(float) for name in ("projection", "output", "models", "bias"))
    v_q = ENCODER.encode(queries).astype(float)
    for pair in (of_three.pair_, ModelPair("middle", "big"), ModelPair("middle", "small")):
        strong, weak = (of_three.models_.index(name) for name in (pair.strong, pair.weak))
        delta = [[w2 @ (v[model] * (w1.T @ x + b)) for model in (strong, weak)] for x in v_q]
        expected = [1 / (1 + np.exp(-(of_strong - of_weak))) for of_strong, of_weak in delta]
        np.testing.assert_allclose(of_three.predict_win_rate(queries, pair=pair), expected, rtol=1e-6)


def test_models_that_never_met_are_compared_by_way_of_others() -> None:
    battles = tiny_battles(200, models=("big", "middle", "small"))
    met = {("big", "middle"), ("middle", "small")}
    chain = battles.take([pair in met for pair in zip(battles.model_a, battles.model_b, strict=True)])
    hard, easy = MatrixFactorization(ENCODER).fit(chain).predict_win_rate(["prove theorem", "rhyme theorem"])
    assert hard > 0.7
    assert easy < 0.3


def test_it_scores_the_pair_asked_for_and_says_when_it_cannot(of_three: MatrixFactorization) -> None:
    assert isinstance(of_three, KnowsModels)
    assert of_three.models_ == ["big", "middle", "small"]
    asked = predict_for_pair(of_three, ["prove"], ModelPair("big", "middle"))
    unknown = predict_for_pair(of_three, ["prove"], ModelPair("big", "nobody"))
    assert (asked.pair, asked.fell_back) == (ModelPair("big", "middle"), False)
    assert (unknown.pair, unknown.fell_back) == (of_three.pair_, True)
    assert asked.win_rates[0] != unknown.win_rates[0]
    with pytest.raises(UnknownNameError, match="Did you mean 'middle'"):
        of_three.predict_win_rate(["prove"], pair=ModelPair("big", "midle"))


def test_ties_and_graded_shares_are_soft_labels() -> None:
    assert learned_share(votes([1.0, 1.0, 0.5, 0.5])) == pytest.approx(0.75, abs=0.01)
    assert learned_share(votes([0.9, 0.7])) == pytest.approx(0.8, abs=0.01)


def test_ties_can_be_dropped() -> None:
    shares = [1.0, 0.0, 0.0, 0.5, 0.5, 0.5, 0.5]
    assert learned_share(votes(shares), ties="drop") == pytest.approx(1 / 3, abs=0.01)
    with pytest.raises(EmptyDataError, match='ties="soft"'):
        learned_share(votes([0.5, 0.5]), ties="drop")


def test_a_heavy_battle_counts_for_more() -> None:
    assert learned_share(votes([1.0, 0.0], weight=[3.0, 1.0])) == pytest.approx(0.75, abs=0.01)


def test_a_turned_battle_teaches_the_same() -> None:
    turned = Battles.from_columns(["q"] * 4, "small", "big", [0.0, 0.0, 0.0, 1.0], pair=PAIR)
    assert learned_share(turned) == pytest.approx(0.75, abs=0.01)


def test_a_batch_equals_singles_to_the_bit() -> None:
    router = MatrixFactorization(StaticEncoder(), **QUICK).fit(tiny_battles())
    queries = [f"prove {number} {'theorem ' * (number % 9)}" for number in range(257)]
    batch = router.predict_win_rate(queries)
    np.testing.assert_array_equal([router.predict_win_rate([query])[0] for query in queries], batch)
    np.testing.assert_array_equal(router.predict_win_rate(queries[3:50]), batch[3:50])


def test_another_seed_gives_another_router(fitted: MatrixFactorization) -> None:
    other = MatrixFactorization(ENCODER, seed=1).fit(tiny_battles(120))
    assert other.predict_win_rate(["prove"])[0] != fitted.predict_win_rate(["prove"])[0]


def test_what_was_learned_is_saved_with_it(of_three: MatrixFactorization, tmp_path: Any) -> None:
    of_three.save(tmp_path / "router")
    loaded = Router.load(tmp_path / "router")
    assert isinstance(loaded, MatrixFactorization)
    assert (loaded.models_, loaded.weight_decay_, loaded.n_epochs_) == (
        of_three.models_,
        of_three.weight_decay_,
        of_three.n_epochs_,
    )
    assert loaded.learning_curve_ == of_three.learning_curve_
    pair = ModelPair("small", "middle")
    np.testing.assert_array_equal(
        loaded.predict_win_rate(["prove", "x"], pair=pair), of_three.predict_win_rate(["prove", "x"], pair=pair)
    )


def test_fitting_anew_forgets_the_line_of_the_pair() -> None:
    router = MatrixFactorization(ENCODER, **QUICK).fit(tiny_battles())
    before = router.predict_win_rate(["prove"])[0]
    battles = tiny_battles()
    after = router.fit(replace(battles, share_a=1 - battles.share_a)).predict_win_rate(["prove"])[0]
    assert before > 0.5 > after


def test_decay_and_epochs_are_those_with_the_lowest_held_out_loss(fitted: MatrixFactorization) -> None:
    watched = [row for row in fitted.learning_curve_ if "validation_loss" in row]
    best = min(watched, key=lambda row: row["validation_loss"])
    assert {row["weight_decay"] for row in watched} == set(WEIGHT_DECAY_CHOICES)
    assert (fitted.weight_decay_, fitted.n_epochs_) == (best["weight_decay"], best["epoch"])
    last = fitted.learning_curve_[len(watched) :]
    assert [row["epoch"] for row in last] == list(range(1, fitted.n_epochs_ + 1))


def test_large_data_tries_no_decay_beyond_the_best() -> None:
    """One part of 2,000 queries is held out, and two decays in a row that are worse end the search."""
    random = np.random.default_rng(0)
    hard = random.random(4_000) < 0.5
    queries = [f"{'prove' if h else 'rhyme'} {number}" for number, h in enumerate(hard)]
    battles = Battles.from_columns(queries, "big", "small", hard.astype(float), pair=PAIR)
    settings = {"validation_fraction": 0.5, "epochs": 2, "dim": 2}
    router = MatrixFactorization(HashingEncoder(dim=8), **settings).fit(battles)
    assert {row["weight_decay"] for row in router.learning_curve_} == set(WEIGHT_DECAY_CHOICES[:3])
    assert router.weight_decay_ == WEIGHT_DECAY_CHOICES[0]  # labels without noise want no decay


def test_it_stops_when_the_held_out_loss_no_longer_falls() -> None:
    """Labels are noise: more training is worse."""
    battles = tiny_battles(200)
    noise = replace(battles, share_a=np.random.default_rng(0).integers(0, 2, 200).astype(float))
    router = MatrixFactorization(ENCODER, patience=3, weight_decay=1e-6, learning_rate=0.03).fit(noise)
    watched = [row for row in router.learning_curve_ if "validation_loss" in row]
    assert len(watched) == router.n_epochs_ + 3 < router.epochs


def test_noise_ends_near_the_mean_share() -> None:
    """What cannot be learned is not made up: the chosen decay keeps win rates near what is known of any query."""
    random = np.random.default_rng(0)
    words = random.integers(0, 10_000, (300, 4))
    battles = Battles.from_columns(
        [" ".join(map(str, row)) for row in words], "big", "small", (random.random(300) < 0.7).astype(float), pair=PAIR
    )
    rates = MatrixFactorization(ENCODER).fit(battles).predict_win_rate([f"{n} {n + 1}" for n in range(200)])
    assert rates.mean() == pytest.approx(0.7, abs=0.08)
    assert rates.std() < 0.1


def test_progress_is_told_after_each_epoch() -> None:
    told: list[EpochProgress] = []
    router = MatrixFactorization(ENCODER, epochs=3, weight_decay=0.01).fit(tiny_battles(), progress=told.append)
    assert router.n_epochs_ == 3  # three to see that it is, three on all battles
    assert [(step.step, step.n_steps) for step in told] == [(n, 6) for n in range(1, 7)]
    assert [step.validation_loss is None for step in told] == [False] * 3 + [True] * 3
    assert told[-1].train_loss == router.learning_curve_[-1]["train_loss"] < told[3].train_loss


def test_nothing_is_held_out_where_nothing_is_to_be_chosen() -> None:
    router = MatrixFactorization(ENCODER, epochs=3, weight_decay=0.01, patience=None).fit(tiny_battles())
    assert [row.keys() for row in router.learning_curve_] == [{"weight_decay", "epoch", "train_loss"}] * 3


def test_the_presets_are_the_papers_and_the_codes() -> None:
    paper = MatrixFactorization.from_preset("paper", ENCODER)
    code = MatrixFactorization.from_preset("released-code", ENCODER, epochs=3)
    for router in (paper, code):
        assert (router.batch_size, router.learning_rate, router.weight_decay) == (64, 3e-4, 1e-5)
    assert (paper.epochs, paper.bias, paper.query_noise, paper.ties) == (10, True, 0.0, "soft")
    assert (code.bias, code.query_noise, code.ties, code.dim, code.normalise_models) == (False, 0.1, "drop", 128, True)
    assert code.epochs == 3
    fitted = code.fit(tiny_battles())
    assert "bias" not in fitted.factors_
    np.testing.assert_allclose(np.linalg.norm(fitted.factors_["models"], axis=1), 1, rtol=1e-6)
    with pytest.raises(UnknownNameError, match="Did you mean 'paper'"):
        MatrixFactorization.from_preset("papper", ENCODER)  # type: ignore[arg-type]


@pytest.mark.parametrize("preset", ["paper", "released-code"])
def test_the_presets_learn(preset: Any) -> None:
    router = MatrixFactorization.from_preset(preset, ENCODER, learning_rate=0.01, epochs=60).fit(tiny_battles(120))
    hard, easy = router.predict_win_rate(["prove theorem sum", "rhyme theorem sum"])
    assert hard > 0.65 > 0.35 > easy


def test_one_query_is_enough_to_learn_from() -> None:
    router = MatrixFactorization(ONE_QUERY).fit(votes([1.0, 1.0, 1.0, 0.0]))
    assert router.predict_win_rate(["q"])[0] == pytest.approx(0.75, abs=0.05)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"dim": 0}, "dim must be at least 1, got 0"),
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"epochs": 0}, "epochs must be at least 1, got 0"),
        ({"patience": 0}, "patience must be at least 1, or None, got 0"),
        ({"learning_rate": 0.0}, "learning_rate must be above 0, got 0.0"),
        ({"learning_rate": float("nan")}, "learning_rate must be above 0, got nan"),
        ({"query_noise": -1.0}, "query_noise must be at least 0"),
        ({"weight_decay": -1.0}, "weight_decay must be at least 0, or None"),
        ({"validation_fraction": 0.6}, r"validation_fraction must be in \[0, 0.5\], got 0.6"),
        ({"validation_fraction": 0}, "weight_decay cannot be chosen with validation_fraction=0"),
        ({"ties": "half"}, "ties must be 'soft' or 'drop', got 'half'"),
        ({"learning_rate": 1e30}, "The training diverged"),
    ],
)
def test_a_bad_setting_is_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidValueError, match=message):
        MatrixFactorization(ENCODER, **settings).fit(tiny_battles())


def test_data_it_cannot_learn_from() -> None:
    router = MatrixFactorization(ENCODER)
    with pytest.raises(EmptyDataError):
        router.fit(tiny_battles().take([]))
    with pytest.raises(InvalidValueError, match="which of the 2 models"):
        router.fit(replace(tiny_battles(), pair=None))
    with pytest.raises(UnknownNameError, match="'bigg'. Did you mean 'big'"):
        router.fit(tiny_battles().with_pair(ModelPair("bigg", "small")))
    with pytest.raises(NotFittedError):
        router.predict_win_rate(["q"])


def test_a_vector_that_is_no_number_is_an_error() -> None:
    class Broken(HashingEncoder):
        def encode(self, texts: Sequence[str]) -> VectorArray:
            return np.full((len(texts), self.dim), np.nan, dtype=np.float32)

    with pytest.raises(InvalidValueError, match="'hashing' gave a vector that is no number"):
        MatrixFactorization(Broken(dim=8)).fit(tiny_battles())
