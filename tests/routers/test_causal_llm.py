from __future__ import annotations

import numpy as np
import pytest

from turnout.errors import InvalidValueError, MissingExtraError
from turnout.policy import sends_to_strong
from turnout.routers.base import Router

causal_llm = pytest.importorskip("turnout.routers.causal_llm", exc_type=MissingExtraError)
torch, transformers = causal_llm.torch, causal_llm.transformers
tokenizers = pytest.importorskip("tokenizers")
pytest.importorskip("peft")

HARD, EASY = "prove theorem a b c", "poem story a b c"
QUERIES = [HARD, EASY, "hello", "", "the sum of " * 40]


def small(checkpoint, **settings):
    defaults = {"n_steps": 60, "batch_size": 8, "learning_rate": 2e-2, "max_tokens": 128, "evaluate_every": 10}
    return causal_llm.CausalLLM(checkpoint, device="cpu", **{**defaults, **settings})


@pytest.fixture(scope="module")
def fitted(tiny_llama, easy_battles):
    return small(tiny_llama).fit(easy_battles)


@pytest.mark.parametrize("settings", [{}, {"n_labels": 5}, {"lora_rank": None, "learning_rate": 1e-2}], ids=str)
def test_it_learns_who_wins_what(tiny_llama, easy_battles, settings):
    hard, easy = small(tiny_llama, **settings).fit(easy_battles).predict_win_rate([HARD, EASY])
    assert hard > 0.7
    assert easy < 0.3


def test_a_batch_equals_singles(fitted):
    batch = fitted.predict_win_rate(QUERIES)
    singles = np.concatenate([fitted.predict_win_rate([query]) for query in QUERIES])
    np.testing.assert_allclose(batch, singles, atol=1e-6)
    assert np.ptp(batch) > 0.1


def test_save_and_load_keep_the_scores_to_the_bit(fitted, tmp_path):
    fitted.save(tmp_path / "router")
    loaded = Router.load(tmp_path / "router")
    np.testing.assert_array_equal(loaded.predict_win_rate(QUERIES), fitted.predict_win_rate(QUERIES))
    assert loaded.label_ids_ == fitted.label_ids_


def test_the_win_rate_is_the_next_token_softmax_over_the_labels(fitted):
    """Against plain transformers: prompt, forward pass, softmax over the label tokens that follow."""
    network = fitted._loaded_network()
    tokenizer = tokenizers.Tokenizer.from_str(fitted.tokenizer_)
    prompt = [tokenizer.encode(text).ids for text in (causal_llm.INSTRUCTIONS[3], HARD, causal_llm.ANSWER)]
    label_ids = [tokenizer.token_to_id(token) for token in causal_llm.LABEL_TOKENS[3]]
    with torch.no_grad():
        logits = network(torch.tensor([[*prompt[0], *prompt[1], *prompt[2]]])).logits[0, -1, label_ids]
    strong, tie, _ = torch.softmax(logits.double(), dim=0).tolist()
    assert fitted.predict_win_rate([HARD])[0] == pytest.approx(strong + tie / 2, abs=1e-6)


def test_label_tokens_are_new_and_nobody_else_can_write_them(fitted):
    tokens = fitted._tokens()
    ids = tokens.ids(["[[strong]] [[tie]] [[weak]]"])[0]
    assert not set(ids[len(tokens.first) :]) & set(fitted.label_ids_)
    assert set(tokens.first) >= set(fitted.label_ids_)  # our instruction may name them
    assert len(set(fitted.label_ids_)) == 3


def test_lora_leaves_the_other_tokens_alone(tiny_llama, fitted):
    before = transformers.AutoModelForCausalLM.from_pretrained(tiny_llama).get_output_embeddings().weight
    after = fitted._loaded_network().get_output_embeddings().weight
    n = len(before)
    assert sorted(fitted.label_ids_) == list(range(n, n + 3))
    assert torch.equal(before, after[:n])


def test_invalid_output_goes_to_strong_and_is_counted(tiny_llama, easy_battles):
    router = small(tiny_llama, n_steps=1).fit(easy_battles)
    assert router.n_invalid_ == 0
    name = next(name for name in router.weights_ if name.endswith("norm.weight"))
    router.weights_[name] = np.full_like(router.weights_[name], np.nan)
    rates = router.predict_win_rate(["a", "b"])
    assert np.isnan(rates).all()
    assert router.n_invalid_ == 2
    assert sends_to_strong(rates, threshold=0.9).all()


def test_an_answer_that_is_no_label_is_invalid_where_labels_are_required(tiny_llama, easy_battles):
    router = small(tiny_llama, n_steps=1, require_label=True).fit(easy_battles)
    output = "lm_head.weight" if "lm_head.weight" in router.weights_ else "model.embed_tokens.weight"
    router.weights_[output][router.label_ids_] = 0.0  # so that some other token is likelier
    assert np.isnan(router.predict_win_rate(["hello"])).all()
    router.require_label = False
    assert router.predict_win_rate(["hello"]) == pytest.approx([0.5])
    assert router.n_invalid_ == 1


def test_bfloat16_weights_are_kept_as_they_are(tiny_llama, easy_battles, tmp_path):
    router = small(tiny_llama, weights_dtype="bfloat16", n_steps=20).fit(easy_battles)
    router.save(tmp_path / "router")
    loaded = Router.load(tmp_path / "router")
    assert {array.dtype for array in loaded.weights_.values()} == {np.dtype(np.uint16)}
    assert loaded._loaded_network().dtype == torch.bfloat16
    np.testing.assert_array_equal(loaded.predict_win_rate(QUERIES), router.predict_win_rate(QUERIES))


def test_a_model_fine_tuned_elsewhere_is_taken_as_it_is(fitted, tiny_llama, tmp_path):
    """The released layout: a Hugging Face folder whose tokenizer has the label tokens."""
    folder = tmp_path / "released"
    fitted._loaded_network().save_pretrained(folder)
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizers.Tokenizer.from_str(fitted.tokenizer_), pad_token="[PAD]"
    ).save_pretrained(folder)
    taken = causal_llm.CausalLLM.from_fine_tuned(str(folder), fitted.pair_, max_tokens=128, device="cpu")
    np.testing.assert_allclose(taken.predict_win_rate(QUERIES), fitted.predict_win_rate(QUERIES), atol=1e-6)
    with pytest.raises(InvalidValueError, match=r"has no token '\[\[strong\]\]'"):
        causal_llm.CausalLLM.from_fine_tuned(tiny_llama, fitted.pair_, max_tokens=128)


def test_the_prompt_can_be_replaced(tiny_llama, easy_battles):
    router = small(tiny_llama, n_steps=1, instruction="hello: ", answer=" of").fit(easy_battles)
    hello, colon, story, of = (router._tokens()._tokenizer.token_to_id(word) for word in ("hello", ":", "story", "of"))
    assert router._tokens().ids(["story"]) == [[hello, colon, story, of]]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_labels": 4}, "n_labels must be 3 or 5, got 4"),
        ({"score_threshold": 4}, "score_threshold must be from 2 to the 3 labels, got 4"),
        ({"label_within": 0}, "label_within must be at least 1 token, got 0"),
        ({"weights_dtype": "int4"}, "weights_dtype must be"),
        ({"max_tokens": 10}, "to leave room for the query, got 10"),
    ],
)
def test_a_bad_setting_is_named(tiny_llama, easy_battles, settings, message):
    with pytest.raises(InvalidValueError, match=message):
        small(tiny_llama, **settings).fit(easy_battles)
