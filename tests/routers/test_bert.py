from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from turnout.data.battles import Battles
from turnout.errors import InvalidValueError, MissingExtraError, NotFittedError, UnknownNameError
from turnout.routers.base import Router
from turnout.routers.bert_onnx import BertOnnx
from turnout.types import ModelPair

Bert = pytest.importorskip("turnout.routers.bert", exc_type=MissingExtraError).Bert

HARD, EASY = "prove theorem a b c", "poem story a b c"
QUERIES = [HARD, EASY, "hello", "", "the sum of " * 40]


def small(checkpoint, **settings):
    defaults = {"n_steps": 60, "batch_size": 8, "learning_rate": 1e-2, "max_tokens": 32, "evaluate_every": 10}
    return Bert(checkpoint, **{"device": "cpu", **defaults, **settings})


@pytest.fixture(scope="module")
def fitted(tiny_bert, easy_battles):
    return small(tiny_bert).fit(easy_battles)


@pytest.mark.parametrize("n_labels", [1, 3])
def test_it_learns_who_wins_what(tiny_bert, easy_battles, n_labels):
    hard, easy = small(tiny_bert, n_labels=n_labels).fit(easy_battles).predict_win_rate([HARD, EASY])
    assert hard > 0.75
    assert easy < 0.25


def test_unfitted_raises(tiny_bert):
    with pytest.raises(NotFittedError):
        small(tiny_bert).predict_win_rate(["a"])


def test_a_batch_equals_singles(fitted):
    batch = fitted.predict_win_rate(QUERIES)
    singles = np.concatenate([fitted.predict_win_rate([query]) for query in QUERIES])
    np.testing.assert_allclose(batch, singles, atol=1e-6)
    assert batch.shape == (5,)
    assert ((batch >= 0) & (batch <= 1)).all()
    assert fitted.predict_win_rate([]).shape == (0,)


def test_the_same_seed_gives_the_same_router_and_another_another(tiny_bert, easy_battles, fitted):
    again = small(tiny_bert).fit(easy_battles)
    other = small(tiny_bert, seed=1).fit(easy_battles)
    np.testing.assert_array_equal(again.predict_win_rate(QUERIES), fitted.predict_win_rate(QUERIES))
    assert not np.array_equal(other.predict_win_rate(QUERIES), fitted.predict_win_rate(QUERIES))


def test_save_and_load_keep_the_scores_to_the_bit(fitted, tmp_path, monkeypatch):
    fitted.save(tmp_path / "router")
    monkeypatch.setattr(fitted, "checkpoint", "gone")  # what is saved stands alone
    loaded = Router.load(tmp_path / "router")
    assert loaded.pair_ == fitted.pair_
    assert loaded.learning_curve_ == fitted.learning_curve_
    np.testing.assert_array_equal(loaded.predict_win_rate(QUERIES), fitted.predict_win_rate(QUERIES))


def test_ties_are_soft_labels(tiny_bert, easy_battles):
    tied = replace(easy_battles, share_a=np.full(len(easy_battles), 0.5))
    assert small(tiny_bert).fit(tied).predict_win_rate([HARD, EASY]) == pytest.approx([0.5, 0.5], abs=0.1)


def test_a_heavy_battle_counts_for_more(tiny_bert):
    def trained(weight_of_win):
        battles = Battles.from_columns(
            ["hello"] * 8, "big", "small", [1.0, *[0.0] * 7], weight=[weight_of_win, *[1.0] * 7]
        ).for_pair(pair)
        router = small(tiny_bert, validation_fraction=0, n_steps=50).fit(battles)
        return router.predict_win_rate(["hello"])[0]

    pair = ModelPair("big", "small")
    assert trained(1.0) == pytest.approx(1 / 8, abs=0.05)
    assert trained(7.0) == pytest.approx(1 / 2, abs=0.05)


def test_the_paper_preset_can_be_overridden(tiny_bert):
    router = Bert.from_preset("paper", checkpoint=tiny_bert, n_steps=3)
    assert (router.batch_size, router.learning_rate, router.weight_decay, router.max_tokens) == (16, 1e-5, 0.01, 512)
    assert (router.n_steps, router.checkpoint) == (3, tiny_bert)
    with pytest.raises(UnknownNameError, match="Did you mean 'paper'"):
        Bert.from_preset("papier")


def test_a_model_fine_tuned_elsewhere_is_taken_as_it_is(tiny_bert, easy_battles, tmp_path):
    """The released layout: a Hugging Face folder with three labels, of which a tie goes to weak."""
    released = tmp_path / "released"
    shutil.copytree(tiny_bert, released)
    trained = small(tiny_bert, n_labels=3, score_threshold=2).fit(easy_battles)
    trained._loaded_network().save_pretrained(released)
    taken = Bert.from_fine_tuned(
        str(released), trained.pair_, n_labels=3, score_threshold=2, max_tokens=32, device="cpu"
    )
    np.testing.assert_allclose(taken.predict_win_rate(QUERIES), trained.predict_win_rate(QUERIES), atol=1e-6)
    with pytest.raises(InvalidValueError, match="has 3 labels, but n_labels is 1"):
        Bert.from_fine_tuned(str(released), trained.pair_, max_tokens=32)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_it_learns_in_mixed_precision(tiny_bert, easy_battles, precision):
    router = small(tiny_bert, precision=precision).fit(easy_battles)
    hard, easy = router.predict_win_rate([HARD, EASY])
    assert hard > 0.75
    assert easy < 0.25
    assert {array.dtype for array in router.weights_.values()} <= {np.dtype(np.float32), np.dtype(np.int64)}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_labels": 2}, r"n_labels must be 1 \(sigmoid\) or 3"),
        ({"max_tokens": 65}, "max_tokens must be at most 64, the model's limit, got 65"),
        ({"n_steps": 0}, "n_steps must be at least 1, got 0"),
        ({"precision": "int8"}, "precision must be"),
        ({"device": "tpu9"}, "device must be"),
        ({"validation_fraction": 1.0}, "validation_fraction must be in"),
        ({"learning_rate": 1e30, "max_gradient_norm": 1e30}, "the training diverged"),
    ],
)
def test_a_bad_setting_is_named(tiny_bert, easy_battles, settings, message):
    with pytest.raises(InvalidValueError, match=message):
        small(tiny_bert, **settings).fit(easy_battles)


def test_a_checkpoint_that_is_not_there(easy_battles, tmp_path):
    with pytest.raises(InvalidValueError, match=r"The checkpoint '.*nowhere' cannot be loaded"):
        small(str(tmp_path / "nowhere")).fit(easy_battles)


@pytest.fixture(scope="module")
def exported(fitted):
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    return fitted.to_onnx()


@pytest.mark.slow
def test_the_exported_router_gives_the_same_win_rates(fitted, exported):
    random = np.random.default_rng(0)
    words = ["prove", "poem", "the", "a", "b", "sum", "theorem"]
    queries = [" ".join(random.choice(words, random.integers(0, 40))) for _ in range(64)]
    difference = np.abs(exported.predict_win_rate(queries) - fitted.predict_win_rate(queries)).max()
    assert difference < 1e-5
    assert np.ptp(exported.predict_win_rate(queries)) > 0.1


@pytest.mark.slow
def test_the_exported_router_serves_without_torch(exported, fitted, tmp_path):
    exported.save(tmp_path / "router")
    code = (
        "import sys; from turnout.routers.base import Router;"
        f"router = Router.load({str(tmp_path / 'router')!r}); print(router.predict_win_rate([{HARD!r}])[0]);"
        "assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert float(run.stdout) == pytest.approx(fitted.predict_win_rate([HARD])[0], abs=1e-5)


def test_an_exported_router_is_not_trained(easy_battles):
    with pytest.raises(InvalidValueError, match="Train a 'bert' router; in Python, its to_onnx"):
        BertOnnx().fit(easy_battles)
