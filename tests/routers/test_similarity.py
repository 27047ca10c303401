"""`sw` against the plain thing: a weighted logistic regression over all battles, solved anew for each request."""

from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from turnout.data.battles import Battles
from turnout.data.tiers import lift
from turnout.encoders.base import unit_rows
from turnout.encoders.hashing import HashingEncoder
from turnout.errors import DataError, EmptyDataError, InvalidValueError, NotFittedError, UnknownNameError
from turnout.ranking import RIDGE
from turnout.routers.base import KnowsModels, Router, predict_for_pair
from turnout.routers.learning.similarity_weights import LEAST_HIGHEST, Similarity, cosines, highest_among_others
from turnout.routers.similarity import SimilarityRanking
from turnout.types import FloatArray, ModelPair, VectorArray

FORMS = get_args(Similarity)
WORDS = ("prove", "sum", "integral", "theorem", "story", "poem", "the", "river", "code", "bug", "list", "proof")


def texts(n: int, seed: int) -> list[str]:
    random = np.random.default_rng(seed)
    return [" ".join(random.choice(WORDS, random.integers(2, 9))) for _ in range(n)]


def votes(n: int = 400, n_models: int = 14, seed: int = 0) -> Battles:
    """Graded and weighted votes, some queries many times; the first models are better, more so on proofs."""
    random = np.random.default_rng(seed)
    queries = list(random.choice(texts(n // 2, seed + 1), n))
    a = random.integers(0, n_models, n)
    b = (a + random.integers(1, n_models, n)) % n_models
    edge = (b - a) / 5 * np.array([1.5 if "pro" in query else 0.5 for query in queries])
    share = (random.random(n) < 1 / (1 + np.exp(-edge))).astype(float)
    share[::7] = 0.5
    share[3::11] = 0.8
    names = [f"m{number:02}" for number in range(n_models)]
    return Battles.from_columns(
        queries,
        [names[m] for m in a],
        [names[m] for m in b],
        share,
        weight=random.choice([0.5, 1.0, 3.0], n),
        pair=ModelPair(names[0], names[-1]),
    )


def plain_weights(
    request: FloatArray, past: FloatArray, query_of_battle: Sequence[int], form: Similarity, gamma: float
) -> FloatArray:
    """γ^(1 + S), straight from the formulas, in 64 bits; one for each battle."""
    cosine = past @ request
    if form == "paper":
        highest = np.array([float((past @ one).max()) for one in past])
        highest[highest == 0] = 1  # an empty text resembles nothing, not even itself
    elif form == "paper-without-itself":
        highest = np.array(
            [max(float(past[i] @ past[j]) for j in range(len(past)) if j != i) for i in range(len(past))]
        )
    else:
        highest = np.full(len(past), cosine.max())
    return (gamma ** (1 + cosine / np.maximum(highest, LEAST_HIGHEST)))[list(query_of_battle)]


def plain_ratings(a: Sequence[int], b: Sequence[int], share: FloatArray, weight: FloatArray, m: int) -> FloatArray:
    """Newton on the full design matrix, a row a battle; the first rating fixed at 0, and the same ridge."""
    design = np.zeros((len(a), m))
    design[np.arange(len(a)), list(a)] += 1
    design[np.arange(len(a)), list(b)] -= 1
    design = design[:, 1:]
    beta = np.zeros(m - 1)
    for _ in range(100):
        p = 1 / (1 + np.exp(-design @ beta))
        gradient = design.T @ (weight * (share - p)) - RIDGE * beta
        hessian = design.T @ (design * (weight * p * (1 - p))[:, None]) + RIDGE * np.eye(m - 1)
        step = np.linalg.solve(hessian, gradient)
        beta += step / max(1.0, np.abs(step).max())
        if np.abs(step).max() < 1e-11:
            break
    return np.concatenate([[0.0], beta])


def plain_win_rates(router: SimilarityRanking, battles: Battles, queries: Sequence[str]) -> FloatArray:
    distinct = list(dict.fromkeys(battles.queries))
    past = router.encoder.encode(distinct).astype(np.float64)
    query_of_battle = [distinct.index(query) for query in battles.queries]
    tier = {model: number for number, tier in enumerate(router.tiers_) for model in tier}
    a, b = ([tier[model] for model in column] for column in (battles.model_a, battles.model_b))
    strong, weak = tier[router.pair_.strong], tier[router.pair_.weak]
    win_rates = []
    for request in router.encoder.encode(queries).astype(np.float64):
        weight = battles.weight * plain_weights(request, past, query_of_battle, router.similarity, router.gamma)
        ratings = plain_ratings(a, b, battles.share_a, weight, len(router.tiers_))
        win_rates.append(1 / (1 + np.exp(ratings[weak] - ratings[strong])))
    return np.array(win_rates)


@pytest.mark.parametrize("similarity", FORMS)
@pytest.mark.parametrize("n_tiers", [2, 10, None])
def test_win_rates_are_those_of_a_regression_over_all_battles(similarity: Similarity, n_tiers: int | None) -> None:
    battles = votes()
    router = SimilarityRanking(HashingEncoder(dim=64), similarity=similarity, n_tiers=n_tiers).fit(battles)
    assert len(router.tiers_) == (n_tiers or 14)
    queries = [*texts(6, seed=5), battles.queries[0], "Etwas ganz anderes"]
    win_rates = router.predict_win_rate(queries)
    np.testing.assert_allclose(win_rates, plain_win_rates(router, battles, queries), atol=1e-6)
    assert np.ptp(win_rates) > 0.01  # they do depend on the query


@pytest.mark.parametrize("similarity", FORMS)
def test_lifted_battles_are_two_classes(similarity: Similarity) -> None:
    battles = lift(votes(), ["m00", "m01", "m02"], ["m10", "m11", "m12", "m13"])
    router = SimilarityRanking(HashingEncoder(dim=64), similarity=similarity).fit(battles)
    assert router.tiers_ == [["strong"], ["weak"]]
    queries = texts(5, seed=6)
    np.testing.assert_allclose(router.predict_win_rate(queries), plain_win_rates(router, battles, queries), atol=1e-6)


def test_the_forms_differ_and_gamma_one_ignores_the_query() -> None:
    queries = texts(4, seed=7)
    rates = [SimilarityRanking(HashingEncoder(), similarity=s).fit(votes()).predict_win_rate(queries) for s in FORMS]
    assert all(np.abs(rates[i] - rates[j]).max() > 1e-3 for i, j in [(0, 1), (0, 2), (1, 2)])
    flat = SimilarityRanking(HashingEncoder(), gamma=1).fit(votes()).predict_win_rate(queries)
    assert np.ptp(flat) < 1e-12


def test_similar_battles_decide() -> None:
    pair = ModelPair("big", "small")
    queries = ["prove the theorem", "prove a theorem now", "write a poem", "write one more poem"] * 5
    share = [1.0, 1.0, 0.0, 0.0] * 5
    router = SimilarityRanking(HashingEncoder(dim=512), gamma=100)
    router.fit(Battles.from_columns(queries, "big", "small", share, pair=pair))
    proof, poem = router.predict_win_rate(["prove this theorem", "write me a poem"])
    assert proof > 0.7 > 0.3 > poem
    assert len(router.vectors_) == 4  # votes on one query share its vector


@pytest.mark.parametrize("similarity", FORMS)
@pytest.mark.parametrize("n_tiers", [2, 10])
def test_a_batch_equals_singles_to_the_bit(similarity: Similarity, n_tiers: int) -> None:
    router = SimilarityRanking(HashingEncoder(dim=96), similarity=similarity, n_tiers=n_tiers)
    router.fit(votes(n=1500, seed=3))
    queries = texts(70, seed=8)  # more than are computed at once
    singles = np.concatenate([router.predict_win_rate([query]) for query in queries])
    np.testing.assert_array_equal(router.predict_win_rate(queries), singles)
    np.testing.assert_array_equal(router.predict_win_rate(queries[30:37]), singles[30:37])
    assert router.predict_win_rate([]).shape == (0,)


@pytest.mark.parametrize("similarity", FORMS)
def test_a_saved_router_scores_the_same_to_the_bit(similarity: Similarity, tmp_path: Path) -> None:
    router = SimilarityRanking(HashingEncoder(), similarity=similarity, n_tiers=4).fit(votes())
    router.save(tmp_path / "sw")
    loaded = Router.load(tmp_path / "sw")
    assert isinstance(loaded, SimilarityRanking)
    queries = texts(9, seed=9)
    np.testing.assert_array_equal(loaded.predict_win_rate(queries), router.predict_win_rate(queries))
    other = ModelPair("m03", "m13")
    np.testing.assert_array_equal(
        loaded.predict_win_rate(queries, pair=other), router.predict_win_rate(queries, pair=other)
    )


def test_any_pair_is_scored_by_its_tiers() -> None:
    router = SimilarityRanking(HashingEncoder(), n_tiers=4).fit(votes())
    assert isinstance(router, KnowsModels)
    query = ["prove the theorem"]
    best, middle, worst = router.tiers_[0][0], router.tiers_[1][0], router.tiers_[-1][0]
    forth = predict_for_pair(router, query, ModelPair(best, worst))
    assert not forth.fell_back
    assert forth.win_rates > router.predict_win_rate(query, pair=ModelPair(best, middle)) > 0.5
    np.testing.assert_allclose(router.predict_win_rate(query, pair=ModelPair(worst, best)), 1 - forth.win_rates)
    equals = next(tier for tier in router.tiers_ if len(tier) > 1)
    assert router.predict_win_rate(query * 2, pair=ModelPair(equals[0], equals[1])).tolist() == [0.5, 0.5]
    assert predict_for_pair(router, query, ModelPair("m00", "stranger")).fell_back
    with pytest.raises(UnknownNameError, match="'m99'"):
        router.predict_win_rate(query, pair=ModelPair("m00", "m99"))


def test_fewer_models_than_tiers_are_a_tier_each() -> None:
    router = SimilarityRanking(HashingEncoder()).fit(votes(n_models=5))
    assert sorted(router.tiers_) == [[f"m0{number}"] for number in range(5)]


def test_a_query_without_a_word_gets_the_plain_ranking() -> None:
    battles = votes()
    flat = SimilarityRanking(HashingEncoder(), gamma=1).fit(battles).predict_win_rate([""])
    for similarity in FORMS:
        router = SimilarityRanking(HashingEncoder(), similarity=similarity).fit(battles)
        np.testing.assert_allclose(router.predict_win_rate([""]), flat, atol=1e-6)


def test_one_sided_battles_stay_in_range() -> None:
    battles = Battles.from_columns(texts(30, seed=1), ["a", "b", "a"] * 10, ["b", "c", "c"] * 10, [1.0] * 30)
    router = SimilarityRanking(HashingEncoder()).fit(battles.with_pair(ModelPair("a", "c")))
    assert 0.99 < router.predict_win_rate(["prove"])[0] <= 1
    pair = Battles.from_columns(["x", "y"], "a", "b", [1.0, 1.0], pair=ModelPair("a", "b"))
    assert SimilarityRanking(HashingEncoder()).fit(pair).predict_win_rate(["z"]).tolist() == [1.0]


def test_what_cannot_be_learned_from_is_refused() -> None:
    sw = SimilarityRanking(HashingEncoder(), n_tiers=2)
    with pytest.raises(NotFittedError):
        sw.predict_win_rate(["q"])
    with pytest.raises(EmptyDataError):
        sw.fit(votes().take([]))
    with pytest.raises(InvalidValueError, match="strong"):
        sw.fit(Battles.from_columns(["q"], "a", "b", [1.0]))
    with pytest.raises(UnknownNameError, match="m0"):
        sw.fit(votes().with_pair(ModelPair("m00", "mixtral")))
    with pytest.raises(DataError, match="one of the 2 tiers"):
        sw.fit(votes().with_pair(ModelPair("m00", "m01")))
    apart = Battles.from_columns(["q", "r"], ["a", "c"], ["b", "d"], [1.0, 0.0], pair=ModelPair("a", "b"))
    with pytest.raises(DataError, match="No battle connects"):
        SimilarityRanking(HashingEncoder(), n_tiers=None).fit(apart)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"gamma": 0.5}, "gamma must be from 1"),
        ({"gamma": float("nan")}, "gamma must be from 1"),
        ({"n_tiers": 1}, "n_tiers must be at least 2"),
        ({"similarity": "papr"}, "Did you mean 'paper'"),
    ],
)
def test_settings_out_of_range_are_named(settings: dict[str, object], message: str) -> None:
    with pytest.raises((InvalidValueError, UnknownNameError), match=message):
        SimilarityRanking(HashingEncoder(), **settings).fit(votes())  # type: ignore[arg-type]


def test_cosines_and_the_highest_among_others() -> None:
    random = np.random.default_rng(0)
    vectors: VectorArray = unit_rows(random.normal(size=(700, 1536)).astype(np.float32))  # more than one block
    products = cosines(vectors, vectors)
    np.testing.assert_allclose(products, vectors @ vectors.T, atol=1e-6)
    np.fill_diagonal(products, -1)
    np.testing.assert_allclose(highest_among_others(vectors), products.max(axis=1), atol=1e-6)
    assert highest_among_others(vectors[:1]).tolist() == [1.0]
