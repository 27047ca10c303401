from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from turnout.data.battles import Battles
from turnout.encoders.hashing import HashingEncoder
from turnout.encoders.static import StaticEncoder
from turnout.errors import EncoderMismatchError, NotFittedError
from turnout.routers.base import Router
from turnout.routers.blend import Blend
from turnout.types import ModelPair

PAIR = ModelPair("big", "small")
SUMS = [f"What is {a} * {b}?" for a in range(2, 12) for b in range(3, 9)]
POEMS = [
    f"Write a {kind} poem about {thing}." for kind in ("short", "sad", "merry") for thing in ("rain", "a fox", "home")
]


def battles(queries: list[str], shares: list[float]) -> Battles:
    return Battles.from_columns(queries, "big", "small", shares, pair=PAIR)


LEARNED = battles(SUMS + POEMS, [1.0] * len(SUMS) + [0.0] * len(POEMS))


def test_what_was_seen_is_told_apart() -> None:
    router = Blend(StaticEncoder()).fit(LEARNED)
    hard, easy = router.predict_win_rate(["What is 13 * 14?", "Write a proud poem about the sea."])
    assert hard > 0.8
    assert easy < 0.4


def test_beyond_the_data_the_win_rate_goes_to_the_training_mean() -> None:
    router = Blend(StaticEncoder()).fit(LEARNED)
    odd = "дождь " * 40 + "\\frac{}{}$$ ;;;; |||| 9999999999999999999999999"
    seen, unseen = router.predict_with_uncertainty([SUMS[0]]), router.predict_with_uncertainty([odd])
    assert seen.novelty[0] < 1 < unseen.novelty[0]
    assert unseen.uncertainty[0] > seen.uncertainty[0]
    drawn = router.predict_win_rate([odd])[0] - router.mean_
    router.reach_ *= 1e6  # trusts itself anywhere
    guessed = router.predict_win_rate([odd])[0] - router.mean_
    assert abs(drawn) < abs(guessed)


def test_adapting_keeps_what_helps() -> None:
    shipped = Blend(StaticEncoder()).fit(LEARNED)
    own = battles(
        [f"What is {a} * {a + 5} ?" for a in range(20, 26)] + [f"A poem about {t}." for t in ("tea", "ice")],
        [1.0] * 6 + [0.0] * 2,
    )
    adapted = Blend(StaticEncoder()).fit(own, start=shipped)
    assert adapted.block_shares_["prior"] > 0.4
    assert Blend(StaticEncoder()).fit(own).block_shares_["prior"] == 0.0
    before = shipped.predict_win_rate(SUMS)
    assert np.array_equal(shipped.predict_win_rate(SUMS), before)


def test_adapting_drops_what_is_wrong() -> None:
    shipped = Blend(StaticEncoder()).fit(LEARNED)
    turned = battles(SUMS[::2] + POEMS[::2], [0.0] * len(SUMS[::2]) + [1.0] * len(POEMS[::2]))
    adapted = Blend(StaticEncoder()).fit(turned, start=shipped)
    hard, easy = adapted.predict_win_rate([SUMS[1], POEMS[1]])
    assert hard < easy


def test_only_a_fitted_router_of_the_same_encoder_can_be_a_start() -> None:
    with pytest.raises(NotFittedError):
        Blend(StaticEncoder()).fit(LEARNED, start=Blend(StaticEncoder()))
    with pytest.raises(EncoderMismatchError):
        Blend(StaticEncoder()).fit(LEARNED, start=Blend(HashingEncoder(dim=8)).fit(LEARNED))


WRAP = "You answer the customers of a shop, and are always kind.\nContext: none today.\nQuestion: {}\nNow answer:"


def test_a_route_that_wraps_its_queries_is_scored_as_it_is_bare() -> None:
    router = Blend(StaticEncoder()).fit(LEARNED)
    asked = SUMS[::3] + POEMS
    wrapped = [WRAP.format(query) for query in asked]
    bare = router.predict_win_rate(asked)
    assert not np.allclose(router.predict_win_rate(wrapped), bare, atol=0.02)
    routed = router.for_route(wrapped[::2])
    assert np.array_equal(routed.predict_win_rate(wrapped), bare)


def test_a_template_that_all_training_queries_share_is_learned_saved_and_cut_off(tmp_path: Path) -> None:
    wrap = "Here are the rules of the quiz that you take part in:\n{}\nEnd of the question."
    wrapped = battles([wrap.format(query) for query in LEARNED.queries], LEARNED.share_a.tolist())
    Blend(StaticEncoder()).fit(wrapped).save(tmp_path / "wrapped")
    bare = Blend(StaticEncoder()).fit(LEARNED)
    router = Router.load(tmp_path / "wrapped")
    assert np.array_equal(router.predict_win_rate(SUMS), bare.predict_win_rate(SUMS))
    assert np.array_equal(router.predict_win_rate([wrap.format(SUMS[0])]), bare.predict_win_rate([SUMS[0]]))


def test_a_routes_template_is_cut_off_behind_one_that_was_learned_in_training() -> None:
    answer = "{}\nAnswer:"
    trained = battles([answer.format(query) for query in LEARNED.queries], LEARNED.share_a.tolist())
    router = Blend(StaticEncoder()).fit(trained)
    assert router.templates_
    asked = [answer.format(query) for query in [*SUMS[:6], *POEMS[:6], "Name a river.", "How are you?"]]
    wrapped = [f"As a clerk who helps the customers of a shop, please tell me now: {query}" for query in asked]
    routed = router.for_route(wrapped)
    assert np.array_equal(routed.predict_win_rate(wrapped), router.predict_win_rate(asked))


def test_with_three_sources_whole_sources_are_left_out() -> None:
    sources = [("sums", "poems", "more sums")[row % 3] for row in range(len(LEARNED))]
    one = Blend(StaticEncoder()).fit(LEARNED)
    three = Blend(StaticEncoder()).fit(replace(LEARNED, source=sources))
    assert one.block_shares_ != three.block_shares_


def test_the_shipped_router_prefers_strong_for_what_is_hard() -> None:
    router = Router.load()
    easy = ["What is the capital of France?", "Give me a recipe for pancakes.", "Suggest three names for a cat."]
    hard = [
        "Prove that there are infinitely many primes.",
        "Find all real solutions of x^4 - 5x^2 + 4 = 0 and prove that there are no others.",
        "Let f be continuous on [0,1] with f(0)=f(1). Show that f(x)=f(x+1/2) for some x.",
    ]
    assert router.predict_win_rate(easy).max() < router.predict_win_rate(hard).min()


def test_the_shipped_router_scores_as_it_did_when_it_was_trained() -> None:
    # Its thresholds hold for these very features: who changes one trains it anew (tools/train_shipped_router).
    known = {
        "Prove that there are infinitely many primes.": 0.6557003418,
        "What is the capital of France?": 0.5949301912,
        "Which of these is prime?\nA. 15\nB. 17\nC. 21\nD. 33": 0.6689384538,
        "Schreib ein Gedicht über den Mond.": 0.6103303763,
        "def f(x): return x[0] == {}": 0.6192936209,
        "why " * 3_000: 0.6254672461,  # unlike all it learned from: drawn to the mean
    }
    assert Router.load().predict_win_rate(list(known)) == pytest.approx(list(known.values()), abs=1e-6)
