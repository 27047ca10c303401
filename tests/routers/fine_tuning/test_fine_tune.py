from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from turnout.errors import ArtifactError, MissingExtraError

Bert = pytest.importorskip("turnout.routers.bert", exc_type=MissingExtraError).Bert
fine_tune = pytest.importorskip("turnout.routers.fine_tuning.fine_tune", exc_type=MissingExtraError)
torch = fine_tune.torch

QUERIES = ["prove theorem a b c", "poem story a b c", "hello"]


def small(checkpoint, **settings):
    defaults = {"n_steps": 12, "batch_size": 8, "learning_rate": 1e-2, "max_tokens": 32, "evaluate_every": 4}
    return Bert(checkpoint, device="cpu", **{**defaults, **settings})


class Killed(Exception):
    """What a kill in mid-run looks like from inside."""


def kill_at(step):
    def progress(seen):
        if seen.step == step:
            raise Killed

    return progress


def test_a_killed_run_resumes_to_the_same_weights(tiny_bert, easy_battles, tmp_path):
    whole = small(tiny_bert).fit(easy_battles)
    with pytest.raises(Killed):
        small(tiny_bert).fit(easy_battles, checkpoint_folder=tmp_path / "run", progress=kill_at(7))
    steps = []
    resumed = small(tiny_bert).fit(
        easy_battles, checkpoint_folder=tmp_path / "run", progress=lambda seen: steps.append(seen.step)
    )
    assert steps == list(range(5, 13))  # step 4 was the last that was kept
    assert resumed.learning_curve_ == whole.learning_curve_
    np.testing.assert_array_equal(resumed.predict_win_rate(QUERIES), whole.predict_win_rate(QUERIES))


def test_a_checkpoint_of_another_run_is_refused(tiny_bert, easy_battles, tmp_path):
    small(tiny_bert, n_steps=4).fit(easy_battles, checkpoint_folder=tmp_path / "run")
    with pytest.raises(ArtifactError, match="belongs to a run with other settings or other battles"):
        small(tiny_bert, n_steps=4, seed=1).fit(easy_battles, checkpoint_folder=tmp_path / "run")
    with pytest.raises(ArtifactError, match="belongs to a run with other settings or other battles"):
        small(tiny_bert, n_steps=4).fit(easy_battles.take(range(30)), checkpoint_folder=tmp_path / "run")


@pytest.mark.parametrize("name", ["state.json", "tensors.safetensors"])
def test_a_damaged_checkpoint_is_named(tiny_bert, easy_battles, tmp_path, name):
    router = small(tiny_bert, n_steps=4)
    router.fit(easy_battles, checkpoint_folder=tmp_path / "run")
    file = tmp_path / "run" / name
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(ArtifactError, match="is damaged"):
        router.fit(easy_battles, checkpoint_folder=tmp_path / "run")


@pytest.mark.parametrize("files", [{"notes.txt": "mine"}, {"state.json": "[1]"}, {"state.json": '{"mine": 1}'}])
def test_a_folder_of_someone_elses_is_left_as_it_is(tiny_bert, easy_battles, tmp_path, files):
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(ArtifactError, match="Name another folder") as caught:
        small(tiny_bert, n_steps=4).fit(easy_battles, checkpoint_folder=tmp_path)
    assert "elete" not in str(caught.value)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == files


def test_an_empty_folder_is_begun_in(tiny_bert, easy_battles, tmp_path):
    small(tiny_bert, n_steps=4).fit(easy_battles, checkpoint_folder=tmp_path)
    assert (tmp_path / "state.json").exists()


def test_it_stops_early_and_keeps_the_best_step(tiny_bert, easy_battles):
    random = np.random.default_rng(0)
    noise = type(easy_battles).from_columns(  # nothing to learn: the validation loss only gets worse
        easy_battles.queries, "big", "small", random.integers(0, 2, 64).astype(float), pair=easy_battles.pair
    )
    router = small(tiny_bert, n_steps=400, patience=2, validation_fraction=0.3).fit(noise)
    losses = [look["validation_loss"] for look in router.learning_curve_]
    assert len(losses) < 100
    assert losses.index(min(losses)) == len(losses) - 3
    kept = small(tiny_bert, n_steps=400, patience=None, validation_fraction=0.3)
    with pytest.raises(Killed):
        kept.fit(noise, progress=kill_at(router.learning_curve_[-1]["step"] + 1))


def test_without_a_validation_split_it_trains_to_the_end(tiny_bert, easy_battles):
    router = small(tiny_bert, validation_fraction=0.0).fit(easy_battles)
    assert [sorted(look) for look in router.learning_curve_] == [["step", "train_loss"]] * 3


def test_no_query_is_both_trained_on_and_validated(tiny_bert, easy_battles, monkeypatch):
    seen = {}

    def spy(network, label_logits, train, validation, *args, **kwargs):
        seen.update(train=train.token_ids, validation=validation.token_ids)
        return []

    monkeypatch.setattr("turnout.routers.fine_tuning.transformer_router.fine_tune", spy)
    doubled = easy_battles.concat([easy_battles, easy_battles])
    small(tiny_bert, validation_fraction=0.25).fit(doubled)
    train, validation = ({tuple(ids) for ids in seen[part]} for part in ("train", "validation"))
    assert validation
    assert not train & validation


def test_micro_batches_give_the_same_result(tiny_bert, easy_battles, tmp_path):
    still = tmp_path / "without_dropout"
    shutil.copytree(tiny_bert, still)
    config = json.loads((still / "config.json").read_text())
    (still / "config.json").write_text(
        json.dumps({**config, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0})
    )
    weights = [
        small(str(still), micro_batch_size=size, n_steps=3).fit(easy_battles).weights_["classifier.weight"]
        for size in (None, 3)
    ]
    np.testing.assert_allclose(*weights, atol=1e-5)


def test_every_row_comes_once_an_epoch_beside_rows_of_like_length():
    recipe = fine_tune.Recipe(n_steps=1, batch_size=4, learning_rate=1, weight_decay=0, seed=3)
    lengths = np.random.default_rng(0).integers(1, 500, 30)
    epoch = [fine_tune._rows_of_step(lengths, recipe, step) for step in range(8)]
    assert sorted(np.concatenate(epoch).tolist()) == list(range(30))
    assert np.mean([np.ptp(lengths[rows]) for rows in epoch]) < 120  # 300 at random
    following = [fine_tune._rows_of_step(lengths, recipe, step) for step in range(8, 16)]
    assert [rows.tolist() for rows in epoch] != [rows.tolist() for rows in following]


def test_torch_randomness_outside_is_left_alone(tiny_bert, easy_battles):
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    small(tiny_bert, n_steps=1).fit(easy_battles)
    assert torch.equal(torch.rand(1), expected)
